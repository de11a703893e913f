#include "index/rabitq.h"

#include <algorithm>
#include <shared_mutex>

#include "base/error.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr size_t kSlice = 1024;  // codes at a time

}  // namespace

IndexRaBitQ::IndexRaBitQ(std::shared_ptr<RaBitQCodec> codec)
    : IndexSDC(codec), rabitq(std::move(codec)) {}

std::string IndexRaBitQ::summary() const { return text(rabitq->bits, " bits"); }

void IndexRaBitQ::faiss_codes(size_t begin, size_t n, std::byte* out) const {
  const size_t size = rabitq->code_size();
  std::vector<std::byte> own(std::min(kSlice, n) * size);
  for (size_t at = 0; at < n; at += kSlice) {
    const size_t some = std::min(kSlice, n - at);
    blocks().codes(begin + at, some, own.data());
    for (size_t i = 0; i < some; ++i, out += rabitq->faiss_size())
      rabitq->to_faiss(own.data() + i * size, out);
  }
}

void IndexRaBitQ::append_faiss_codes(const std::byte* codes, size_t n) {
  const size_t size = rabitq->code_size();
  std::vector<std::byte> own(std::min(kSlice, n) * size);
  for (size_t at = 0; at < n; at += kSlice) {
    const size_t some = std::min(kSlice, n - at);
    for (size_t i = 0; i < some; ++i, codes += rabitq->faiss_size())
      rabitq->from_faiss(codes, own.data() + i * size);
    restore_codes(own.data(), some);
  }
}

void IndexRaBitQ::learn_from_codes() {
  if (rabitq->bits == 1 || ntotal() == 0) return;
  const size_t n = std::min(kSlice, ntotal());
  std::vector<float> x(n * d);
  for (size_t i = 0; i < n; ++i) row(i * (ntotal() / n), x.data() + i * d);
  rabitq->measure_slack({x.data(), n, d});
}

void IndexRaBitQ::not_below_zero(Hits& hits) const {
  if (metric_type != Metric::l2) return;
  for (auto& of_query : hits)
    for (hit_t& hit : of_query)
      if (distance_of(hit) < 0) hit = make_hit(0, slot_of(hit));
}

void IndexRaBitQ::nearest(const Rows& x, size_t k, const SelectedSlots* allowed, Hits& hits) const {
  IndexSDC::nearest(x, k, allowed, hits);
  not_below_zero(hits);
}

void IndexRaBitQ::within(const Rows& x, float radius, const SelectedSlots* allowed,
                         Hits& hits) const {
  if (metric_type == Metric::l2 && !(radius > 0)) return;
  IndexSDC::within(x, radius, allowed, hits);
  not_below_zero(hits);
}

void IndexRaBitQ::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  IndexSDC::do_search_exact(x, k, distances, labels);
  if (metric_type == Metric::l2)
    std::transform(distances, distances + x.n * k, distances,
                   [](float distance) { return std::max(distance, 0.f); });
}

void IndexRaBitQ::do_sa_encode(const Rows& x, std::byte* codes) const {
  std::vector<std::byte> own;
  for (size_t at = 0; at < x.n; at += kSlice) {
    const Rows part = x.slice(at, std::min(x.n, at + kSlice));
    own.resize(part.n * rabitq->code_size());
    encode_rows(*rabitq, part, own.data());
    for (size_t i = 0; i < part.n; ++i, codes += rabitq->faiss_size())
      rabitq->to_faiss(own.data() + i * rabitq->code_size(), codes);
  }
}

void IndexRaBitQ::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  std::vector<std::byte> own(rabitq->code_size());
  for (size_t i = 0; i < n; ++i, codes += rabitq->faiss_size()) {
    rabitq->from_faiss(codes, own.data());
    rabitq->decode(own.data(), 1, x + i * d);
  }
}

IndexRaBitQFastScan::IndexRaBitQFastScan(std::shared_ptr<RaBitQCodec> codec, int bbs)
    : IndexRaBitQ(std::move(codec)), bbs(checked_block(bbs)) {
  qb = kMostQueryBits;
}

IndexRaBitQFastScan::IndexRaBitQFastScan(const IndexRaBitQ& from, int bbs)
    : IndexRaBitQFastScan(
          std::make_shared<RaBitQCodec>(from.d, from.rabitq->bits, from.metric_type), bbs) {
  const std::shared_lock hold(from.lock());
  if (from.qb) qb = from.qb.load();
  centered = from.centered.load();
  if (!from.is_trained()) return;
  rabitq->set_centres(from.rabitq->centre, from.rabitq->centre);
  rabitq->slack = from.rabitq->slack;
  std::vector<std::byte> codes(kSlice * rabitq->code_size());
  for (size_t at = 0; at < from.ntotal(); at += kSlice) {
    const size_t n = std::min(kSlice, from.ntotal() - at);
    from.blocks().codes(at, n, codes.data());
    restore_codes(codes.data(), n);
  }
}

}  // namespace shortlist
