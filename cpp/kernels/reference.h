// Scalar building blocks of the reference kernels: plain loops, the oracle for every other ISA.
#pragma once

#include <bit>

#include "kernels/kernels.h"

namespace shortlist::kernels {
namespace {

inline float widen(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
  if (exponent == 0x1f)  // inf, or NaN made quiet
    return std::bit_cast<float>(sign | 0x7f800000u | (mantissa ? 0x400000u : 0u) | mantissa << 13);
  if (exponent) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float tiny = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero
  return sign ? -tiny : tiny;
}

inline uint16_t narrow(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)  // NaN: keep the payload's top bits, quiet
    return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to inf
  if (magnitude < 0x38800000u) {  // subnormal half: units of 2^-24
    const float units = std::bit_cast<float>(magnitude) * 0x1p24f;
    const auto whole = static_cast<uint32_t>(units);
    const float rest = units - static_cast<float>(whole);
    const uint32_t up = rest > 0.5f || (rest == 0.5f && (whole & 1));
    return static_cast<uint16_t>(sign | (whole + up));
  }
  const uint32_t rebased = magnitude - (112u << 23);
  const uint32_t rounded = rebased + 0xfff + (rebased >> 13 & 1);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

// Value i of an array of T that may lie at any address.
template <class T>
T at(const void* p, size_t i) {
  T x;
  __builtin_memcpy(&x, static_cast<const std::byte*>(p) + i * sizeof x, sizeof x);
  return x;
}

// Rows one by one; Pair(query, row, d) gives the value.
template <float (*Pair)(const void*, const std::byte*, size_t)>
void each_row(const void* query, const std::byte* base, size_t stride, const uint32_t* rows,
              size_t n, size_t d, float* out) {
  for (size_t i = 0; i < n; ++i)
    out[i] = Pair(query, base + (rows ? size_t{rows[i]} : i) * stride, d);
}

}  // namespace
}  // namespace shortlist::kernels
