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

template <class V>
float sum_set(const float* q, const std::byte* plane, size_t m) {
  constexpr size_t kVectors = 16 / V::kFloats;
  typename V::Floats even[kVectors], odd[kVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) {
    V::zero(even[v]);
    V::zero(odd[v]);
  }
  const auto bits = [&](size_t i) {
    uint16_t out;
    __builtin_memcpy(&out, plane + i / 8, sizeof out);
    return out;
  };
  size_t i = 0;
  for (; i + 32 <= m; i += 32) {
    V::add_set(even, bits(i), q + i);
    V::add_set(odd, bits(i + 16), q + i + 16);
  }
  if (i < m) V::add_set(even, bits(i), q + i);
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) even[v] = V::add(even[v], odd[v]);
  return V::fold(even);
}

template <class V>
void planes(const float* q, const std::byte* base, size_t stride, const uint32_t* rows, size_t n,
            size_t m, size_t bits, double* out) {
  const auto row = [&](size_t r) { return base + (rows ? size_t{rows[r]} : r) * stride; };
  const auto fetch = [&](size_t r) {
    for (size_t at = 0; at < stride; at += kLineBytes) __builtin_prefetch(row(r) + at);
  };
  const size_t plane = m / 8, ahead = kAheadBytes / (stride + 1) + 1;
  if (rows)
    for (size_t r = 0; r < n && r < ahead; ++r) fetch(r);
  for (size_t r = 0; r < n; ++r) {
    if (rows && r + ahead < n) fetch(r + ahead);
    double sum = 0;
    for (size_t b = 0; b < bits; ++b) sum = 2 * sum + sum_set<V>(q, row(r) + b * plane, m);
    out[r] = sum;
  }
}

}  // namespace
}  // namespace shortlist::kernels::oddint
