// faiss's blocks of codes for fast scans: IndexRaBitQFastScan's and IndexPQFastScan's files hold
// nothing else of their vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/oddint/lookup.h"

namespace shortlist::faiss_format {

// Blocks of `width` vectors, a multiple of 32. First the signs, or all of a product-quantised code
// of 4 bits a part, which are half bytes too: for each byte of a code, and in it
// for each 32 vectors, the bytes that lut32 reads, with vectors 0, 8, 1, 9 and so on in the places
// of 0, 1, 2, 3. Then, vector by vector, the rest of the codes.
class FastScanBlocks {
 public:
  FastScanBlocks(size_t d, size_t code_size, size_t width)
      : signs_((d + 7) / 8), rest_(code_size - signs_), width_(width) {}

  size_t size() const { return width_ * (signs_ + rest_); }
  // n codes, at most `width`, to and from one block; what is missing is zeros.
  void pack(const std::byte* codes, size_t n, uint8_t* block) const;
  void unpack(const uint8_t* block, size_t n, std::byte* codes) const;

 private:
  const size_t signs_, rest_, width_;
};

}  // namespace shortlist::faiss_format
