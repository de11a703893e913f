#include "index/multi_index.h"

#include <algorithm>
#include <cfloat>

#include "base/error.h"
#include "flat/least_sums.h"

namespace shortlist {

MultiIndexQuantizer::MultiIndexQuantizer(std::shared_ptr<ProductQuantizer> quantizer)
    : Index(quantizer->d, Metric::l2), pq(without_offset(std::move(quantizer), "a multi-index")) {
  if (bits() > kMostBits)
    throw ArgumentError(text("M = ", pq->M, " parts of nbits = ", pq->nbits, " are 2^", bits(),
                             " cells; choose fewer, at most 2^", kMostBits));
}

std::string MultiIndexQuantizer::summary() const {
  return text(pq->M, " parts of ", pq->ksub(), " centroids");
}

void MultiIndexQuantizer::do_train(const Rows& x) {
  std::vector<float> scratch;
  pq->train({as_floats(x, scratch), x.n, x.d});
}

void MultiIndexQuantizer::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                                    const SearchParameters* params) const {
  if (params && params->sel)
    unsupported("filtered searches", "leave sel out: cells are no vectors to choose from");
  std::vector<float> scratch;
  const Matrix<const float> q{as_floats(x, scratch), x.n, x.d};
  std::fill_n(distances, x.n * k, FLT_MAX);
  std::fill_n(labels, x.n * k, kNoId);
  parallel_for(x.n, {.grain = 16}, [&](size_t begin, size_t end, size_t) {
    LeastSums sums(pq->M, static_cast<size_t>(pq->nbits));
    std::vector<float> table(pq->M * pq->ksub());
    for (size_t i = begin; i < end; ++i) {
      if (!finite(q.row(i), d)) continue;
      pq->table(q.row(i), Metric::l2, table.data());
      size_t at = i * k;
      for (const LeastSums::Sum& sum : sums.find(table.data(), k)) {
        distances[at] = sum.value;
        labels[at++] = static_cast<id_t>(sum.entries);
      }
    }
  });
}

void MultiIndexQuantizer::do_search_exact(const Rows& x, size_t k, float* distances,
                                          id_t* labels) const {
  do_search(x, k, distances, labels, nullptr);
}

void MultiIndexQuantizer::do_reconstruct(id_t id, float* out) const {
  if (id < 0 || static_cast<size_t>(id) >= ntotal())
    throw IdError(text("cell ", id, " is not in this ", class_name(),
                       "; its cells are 0 to ntotal - 1 = ", static_cast<id_t>(ntotal()) - 1));
  for (size_t m = 0; m < pq->M; ++m, id >>= pq->nbits)
    out = std::copy_n(pq->part(m) + (static_cast<size_t>(id) & (pq->ksub() - 1)) * pq->dsub(),
                      pq->dsub(), out);
}

void MultiIndexQuantizer::do_add(const Rows&, const AddOptions&) {
  unsupported("add", "train(x) makes all of its cells; add to the IndexIVF it is the quantizer of");
}

void MultiIndexQuantizer::do_reset() {
  unsupported("reset", "its cells are what training made of it; make a new one");
}

}  // namespace shortlist
