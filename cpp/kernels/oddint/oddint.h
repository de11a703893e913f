// The loop over a residual and its centre, over the vectors V of one ISA. V offers, besides what
// kernels/rows.h lists:
//   mul(x, y), abs(x)
//   positive(x)                 a mask of the lanes above 0, and bits(mask) as an integer
//   negated_unless(mask, x)     x in the lanes of the mask, -x in the others
//   fold(x[])                   the sum of 16 lanes in 16 / kFloats vectors, by halves
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels::oddint {
namespace {

template <class V, bool kCentred>
SignSums sums_and_bits(const float* r, const float* c, size_t n, uint8_t* bits) {
  constexpr size_t kLanes = V::kFloats, kVectors = 16 / kLanes;
  typename V::Floats size[kVectors], square[kVectors], dot[kVectors], code[kVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) {
    V::zero(size[v]);
    V::zero(square[v]);
    V::zero(dot[v]);
    V::zero(code[v]);
  }
  for (size_t i = 0; i < n; i += 16) {
    uint32_t word = 0;
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t at = i + v * kLanes;
      const auto x = V::load(r + at);
      const auto positive = V::positive(x);
      word |= V::bits(positive) << v * kLanes;
      size[v] = V::add(size[v], V::abs(x));
      square[v] = V::add(square[v], V::mul(x, x));
      if constexpr (kCentred) {
        const auto y = V::load(c + at);
        dot[v] = V::add(dot[v], V::mul(x, y));
        code[v] = V::add(code[v], V::negated_unless(positive, y));
      }
    }
    bits[i / 8] = static_cast<uint8_t>(word);
    bits[i / 8 + 1] = static_cast<uint8_t>(word >> 8);
  }
  return {V::fold(size), V::fold(square), V::fold(dot), V::fold(code)};
}

template <class V>
SignSums signs(const float* r, const float* c, size_t n, uint8_t* bits) {
  return c ? sums_and_bits<V, true>(r, c, n, bits) : sums_and_bits<V, false>(r, c, n, bits);
}

}  // namespace
}  // namespace shortlist::kernels::oddint
