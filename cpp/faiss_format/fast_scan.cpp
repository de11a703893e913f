#include "faiss_format/fast_scan.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace shortlist::faiss_format {
namespace {

// Which vector of 32 stands in a place of lut32's.
size_t vector_in(size_t place) {
  const size_t of_half = place % 16;
  return place / 16 * 16 + of_half / 2 + of_half % 2 * 8;
}

}  // namespace

void FastScanBlocks::pack(const std::byte* codes, size_t n, uint8_t* block) const {
  const size_t size = signs_ + rest_;
  std::fill_n(block, this->size(), uint8_t{0});
  std::vector<uint8_t> bits(kBlockVectors * signs_), packed(block_size(8 * signs_));
  for (size_t first = 0; first < n; first += kBlockVectors) {
    std::fill(bits.begin(), bits.end(), uint8_t{0});
    for (size_t place = 0; place < kBlockVectors; ++place)
      if (const size_t v = first + vector_in(place); v < n)
        std::memcpy(bits.data() + place * signs_, codes + v * size, signs_);
    pack32(bits.data(), signs_, kBlockVectors, 8 * signs_, packed.data());
    for (size_t k = 0; k < signs_; ++k)
      std::memcpy(block + k * width_ + first, packed.data() + k * kBlockVectors, kBlockVectors);
  }
  for (size_t v = 0; v < n; ++v)
    std::memcpy(block + width_ * signs_ + v * rest_, codes + v * size + signs_, rest_);
}

void FastScanBlocks::unpack(const uint8_t* block, size_t n, std::byte* codes) const {
  const size_t size = signs_ + rest_;
  std::vector<uint8_t> bits(kBlockVectors * signs_), packed(block_size(8 * signs_));
  for (size_t first = 0; first < n; first += kBlockVectors) {
    for (size_t k = 0; k < signs_; ++k)
      std::memcpy(packed.data() + k * kBlockVectors, block + k * width_ + first, kBlockVectors);
    unpack32(packed.data(), kBlockVectors, 8 * signs_, bits.data(), signs_);
    for (size_t place = 0; place < kBlockVectors; ++place)
      if (const size_t v = first + vector_in(place); v < n)
        std::memcpy(codes + v * size, bits.data() + place * signs_, signs_);
  }
  for (size_t v = 0; v < n; ++v)
    std::memcpy(codes + v * size + signs_, block + width_ * signs_ + v * rest_, rest_);
}

}  // namespace shortlist::faiss_format
