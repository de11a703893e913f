#include "index/rabitq.h"

#include <algorithm>
#include <limits>
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

OddIntBlocks::How IndexRaBitQ::how(const SearchParameters* params) const {
  const auto* own = dynamic_cast<const RaBitQSearchParameters*>(params);
  return {.grid = own ? own->grid : grid()};
}

// How much rounding adds is not known.
float IndexRaBitQ::margin(const float* q) const {
  return rabitq->bits == 1 && qb ? std::numeric_limits<float>::infinity() : IndexSDC::margin(q);
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
