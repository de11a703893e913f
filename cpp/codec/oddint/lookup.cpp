#include "codec/oddint/lookup.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"

namespace shortlist {

void pack32(const uint8_t* bits, size_t stride, size_t n, size_t m, uint8_t* block) {
  constexpr size_t kHalf = kBlockVectors / 2;
  const auto byte = [&](size_t v, size_t k) { return v < n ? bits[v * stride + k] : 0; };
  for (size_t k = 0; k < m / 8; ++k, block += 2 * kHalf)
    for (size_t j = 0; j < kHalf; ++j) {
      const int low = byte(j, k), high = byte(j + kHalf, k);
      block[j] = static_cast<uint8_t>((low & 15) | high << 4);
      block[j + kHalf] = static_cast<uint8_t>(low >> 4 | (high & 0xf0));
    }
}

void unpack32(const uint8_t* block, size_t n, size_t m, uint8_t* bits, size_t stride) {
  constexpr size_t kHalf = kBlockVectors / 2;
  for (size_t k = 0; k < m / 8; ++k, block += 2 * kHalf)
    for (size_t v = 0; v < n; ++v) {
      const int first = block[v % kHalf], second = block[v % kHalf + kHalf];
      bits[v * stride + k] = static_cast<uint8_t>(v < kHalf ? (first & 15) | second << 4
                                                            : first >> 4 | (second & 0xf0));
    }
}

void QueryTable::set(const float* q, size_t m) {
  groups = m / kTableDims;
  entries.resize(16 * groups);
  constexpr size_t kLanes = 4;  // sums that do not wait for each other
  float most[kLanes]{}, sums[kLanes]{};
  for (size_t i = 0; i < m; i += kLanes * kTableDims)
    for (size_t l = 0; l < kLanes; ++l) {
      const float* x = q + i + l * kTableDims;
      const float range = std::abs(x[0]) + std::abs(x[1]) + std::abs(x[2]) + std::abs(x[3]);
      most[l] = std::max(most[l], range);
      sums[l] += range;
    }
  const float widest = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
  const float size = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  // The least partial sums come to all negative q_i; less half of all q_i, that is -|q_i| / 2 each.
  offset = -size / 2;
  step = widest / 255;
  const float scale = 255 / widest;
  // Of zero, of numbers too small to divide by, and of Inf and NaN, which stay in `offset`.
  if (!(scale > 0 && scale <= std::numeric_limits<float>::max() && std::isfinite(size))) {
    step = 0;
    std::fill(entries.begin(), entries.end(), uint8_t{0});
    return;
  }
  kernels::active().lut_tables(q, scale, groups, entries.data());
}

}  // namespace shortlist
