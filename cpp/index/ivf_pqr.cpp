#include "index/ivf_pqr.h"

#include <algorithm>

#include "base/error.h"

namespace shortlist {
namespace {

constexpr size_t kPoints = 1000;  // of which a second code's centroid is trained, as in faiss

std::shared_ptr<ProductQuantizer> fitting(std::shared_ptr<ProductQuantizer> refine_pq, size_t d) {
  if (refine_pq->d != d)
    throw DimensionError(text("the refining quantizer has d = ", refine_pq->d, "; it must have ", d,
                              " dimensions as the first"));
  return without_offset(std::move(refine_pq), "an inverted file");
}

}  // namespace

IndexIVFPQR::IndexIVFPQR(std::shared_ptr<Index> quantizer, size_t nlist,
                         std::shared_ptr<ProductQuantizer> pq,
                         std::shared_ptr<ProductQuantizer> refine_pq)
    : IndexIVFPQR(std::move(quantizer), nlist, pq, refine_pq,
                  std::make_shared<lists::RefinedForm>(without_offset(pq, "an inverted file"),
                                                       fitting(refine_pq, pq->d))) {}

IndexIVFPQR::IndexIVFPQR(std::shared_ptr<Index> quantizer, size_t nlist,
                         std::shared_ptr<ProductQuantizer> pq,
                         std::shared_ptr<ProductQuantizer> refine_pq_,
                         std::shared_ptr<lists::RefinedForm> form)
    : IndexIVFPQ(std::move(quantizer), nlist, std::move(pq), Metric::l2, form),
      refine_pq(std::move(refine_pq_)),
      form_(std::move(form)) {
  refine_pq->cp.max_points_per_centroid = kPoints;
}

std::string IndexIVFPQR::summary() const {
  return text("k_factor ", k_factor(), "; ", IndexIVF::summary());
}

void IndexIVFPQR::set_k_factor(float factor) {
  if (!(factor >= 1 && factor <= kMostFactor))
    throw ArgumentError(text("k_factor = ", factor, "; it must be between 1 and ", kMostFactor));
  k_factor_ = factor;
}

std::unique_ptr<lists::Scanner> IndexIVFPQR::scanner(const SearchParameters*, bool whole) const {
  return whole ? form_->whole_scanner() : form_->scanner();
}

size_t IndexIVFPQR::candidates(size_t k) const {  // as faiss rounds
  return std::max(k, static_cast<size_t>(static_cast<float>(k) * k_factor()));
}

void IndexIVFPQR::rank_again(const float* q, std::vector<hit_t>& hits) const {
  std::vector<slot_t> slots;
  for (const hit_t hit : hits) slots.push_back(slot_of(hit));
  std::vector<float> rows(hits.size() * d), distances(hits.size());
  ivf().decode(slots, rows.data());
  kernels::active().rows[kernels::l2_f32](q, reinterpret_cast<const std::byte*>(rows.data()),
                                          d * sizeof(float), nullptr, hits.size(), d,
                                          distances.data());
  for (size_t i = 0; i < hits.size(); ++i) hits[i] = make_hit(distances[i], slots[i]);
  std::sort(hits.begin(), hits.end());
}

}  // namespace shortlist
