#include "index/sdc.h"

#include "base/error.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr size_t kRows = 1024;  // of codes handled at a time

}  // namespace

IndexSDC::IndexSDC(std::shared_ptr<OddIntCodec> codec)
    : IndexRows(codec->d, codec->metric), codec_(std::move(codec)), blocks_(*codec_) {}

void IndexSDC::do_train(const Rows& x) {
  check_empty();
  std::vector<float> scratch;
  codec_->train({as_floats(x, scratch), x.n, x.d});
}

void IndexSDC::do_add(const Rows& x, const AddOptions& options) {
  std::vector<std::byte> codes(x.n * codec_->code_size());
  encode_rows(*codec_, x, codes.data(), &options.progress);
  blocks_.append(codes.data(), x.n);
}

void IndexSDC::nearest(const Rows& x, size_t k, const SelectedSlots* allowed, Hits& hits) const {
  std::vector<float> scratch;
  blocks_.search({as_floats(x, scratch), x.n, x.d}, {.coded = symmetric}, k, allowed, hits.data());
}

void IndexSDC::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  std::vector<float> scratch;
  Hits hits(x.n);
  blocks_.search({as_floats(x, scratch), x.n, x.d}, {.coded = symmetric, .sure = true}, k, nullptr,
                 hits.data());
  write(hits, k, distances, labels);
}

void IndexSDC::within(const Rows& x, float radius, const SelectedSlots* allowed, Hits& hits) const {
  std::vector<float> scratch;
  blocks_.range_search({as_floats(x, scratch), x.n, x.d}, {.coded = symmetric}, radius, allowed,
                       hits.data());
}

size_t IndexSDC::do_remove(const Selector& sel) {
  const Bitmap gone = sel.slots({.slots = ntotal()});
  const size_t before = ntotal(), size = codec_->code_size(), first = gone.next(0);
  if (first == before) return 0;
  // What stays behind the first that goes is appended again.
  const size_t from = first / kBlockVectors * kBlockVectors;
  std::vector<std::byte> kept;
  std::vector<std::byte> codes(kRows * size);
  for (size_t at = from; at < before; at += kRows) {
    const size_t n = std::min(kRows, before - at);
    blocks_.codes(at, n, codes.data());
    for (size_t i = 0; i < n; ++i)
      if (!gone[at + i]) kept.insert(kept.end(), &codes[i * size], &codes[i * size] + size);
  }
  blocks_.truncate(from);
  blocks_.append(kept.data(), kept.size() / size);
  return before - ntotal();
}

void IndexSDC::row(size_t i, float* out) const {
  std::vector<std::byte> code(codec_->code_size());
  blocks_.codes(i, 1, code.data());
  codec_->decode(code.data(), 1, out);
}

void IndexSDC::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  check_same_codes(*codec_, *dynamic_cast<const IndexSDC&>(other).codec_);
}

void IndexSDC::do_merge(Index& other, id_t) {
  auto& from = dynamic_cast<IndexSDC&>(other);
  const size_t n = from.ntotal();
  check_fits(n);
  blocks_.make_room(n);
  std::vector<std::byte> codes(kRows * codec_->code_size());
  for (size_t at = 0; at < n; at += kRows) {
    from.blocks_.codes(at, std::min(kRows, n - at), codes.data());
    blocks_.append(codes.data(), std::min(kRows, n - at));
  }
  from.blocks_.clear();
}

void IndexSDC::do_sa_encode(const Rows& x, std::byte* codes) const {
  encode_rows(*codec_, x, codes);
}

void IndexSDC::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  decode_rows(*codec_, codes, n, x);
}

}  // namespace shortlist
