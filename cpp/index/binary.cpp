#include "index/binary.h"

#include "base/error.h"

namespace shortlist {
namespace {

size_t bytes_of(size_t bits) {
  if (bits < 8 || bits % 8 || bits > kMaxDimension)
    throw DimensionError(text("d = ", bits, " bits; binary vectors need a multiple of 8 from 8 to ",
                              kMaxDimension, ": pad them with zeros"));
  return bits / 8;
}

}  // namespace

void IndexBinary::search(const Rows& x, size_t k, int32_t* distances, id_t* labels,
                         const SearchParameters* params) const {
  search_whole([&](float* out) { of_bytes().search(x, k, out, labels, params); }, x.n * k,
               distances);
}

void IndexBinary::search_exact(const Rows& x, size_t k, int32_t* distances, id_t* labels) const {
  search_whole([&](float* out) { of_bytes().search_exact(x, k, out, labels); }, x.n * k, distances);
}

void IndexBinary::reconstruct_batch(const id_t* ids, size_t n, uint8_t* out) const {
  std::vector<float> values(n * code_size());
  of_bytes().reconstruct_batch(ids, n, values.data());
  std::transform(values.begin(), values.end(), out,
                 [](float v) { return static_cast<uint8_t>(v); });
}

IndexBinaryFlat::IndexBinaryFlat(size_t bits)
    : IndexFlatCodes(std::make_shared<BitCodec>(bytes_of(bits)), Metric::l2) {}

void IndexBinaryFlat::do_add_with_ids(const Rows&, const id_t*, const AddOptions&) {
  unsupported("add_with_ids", "wrap it: IndexBinaryIDMap2(index)");
}

IndexBinaryHNSW::IndexBinaryHNSW(size_t bits, size_t M)
    : IndexHNSW(std::make_shared<IndexBinaryFlat>(bits), M) {}

}  // namespace shortlist
