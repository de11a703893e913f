// The loops over a residual and its centre, and over a query and codes, over the vectors V of one
// ISA. V offers, besides what kernels/rows.h lists:
//   mul(x, y), abs(x)
//   positive(x)                 a mask of the lanes above 0, and bits(mask) as an integer
//   negated_unless(mask, x)     x in the lanes of the mask, -x in the others
//   fold(x[])                   the sum of 16 lanes in 16 / kFloats vectors, by halves
//   add_set(acc[], bits, q)     adds to 16 lanes those of q[16] whose bits are set
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

// The sums of kPlanes planes, side by side: one sum alone would wait for its additions.
template <class V, size_t kPlanes>
double sum_sets(const float* q, const std::byte* planes, size_t m, double before) {
  constexpr size_t kVectors = 16 / V::kFloats, kChains = kPlanes == 1 ? 2 : 1;
  const size_t plane = m / 8;
  typename V::Floats acc[kPlanes][kChains][kVectors];
#pragma GCC unroll 4
  for (size_t b = 0; b < kPlanes; ++b)
#pragma GCC unroll 2
    for (size_t c = 0; c < kChains; ++c)
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) V::zero(acc[b][c][v]);
  const auto step = [&](size_t c, size_t i) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kPlanes; ++b) {
      uint16_t bits;
      __builtin_memcpy(&bits, planes + b * plane + i / 8, sizeof bits);
      V::add_set(acc[b][c], bits, q + i);
    }
  };
  size_t i = 0;
  for (; i + 16 * kChains <= m; i += 16 * kChains)
#pragma GCC unroll 2
    for (size_t c = 0; c < kChains; ++c) step(c, i + 16 * c);
  if (i < m) step(0, i);
  double sum = before;
#pragma GCC unroll 4
  for (size_t b = 0; b < kPlanes; ++b) {
    if constexpr (kChains == 2)
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) acc[b][0][v] = V::add(acc[b][0][v], acc[b][1][v]);
    sum = 2 * sum + V::fold(acc[b][0]);
  }
  return sum;
}

template <class V>
void planes(const float* q, const std::byte* base, size_t stride, const uint32_t* rows, size_t n,
            size_t m, size_t bits, double* out) {
  const size_t plane = m / 8;
  each_row<1>(base, stride, rows, n, [&](size_t i, const std::byte* const(&row)[1]) {
    const std::byte* at = row[0];
    double sum = 0;
    size_t left = bits;
    for (; left >= 4; left -= 4, at += 4 * plane) sum = sum_sets<V, 4>(q, at, m, sum);
    if (left == 3) sum = sum_sets<V, 3>(q, at, m, sum);
    if (left == 2) sum = sum_sets<V, 2>(q, at, m, sum);
    if (left == 1) sum = sum_sets<V, 1>(q, at, m, sum);
    out[i] = sum;
  });
}

}  // namespace
}  // namespace shortlist::kernels::oddint
