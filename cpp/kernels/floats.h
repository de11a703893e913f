// Rows of any dtype as floats, and whether they are numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace shortlist {

// `rows` as floats: itself, or converted into `scratch`.
const float* as_floats(const Rows& rows, std::vector<float>& scratch);
// Whether none of n values is NaN or Inf.
bool finite(const float* x, size_t n);
// Throws ArgumentError, which names one, if there are any: "cannot <verb> vectors with NaN or ...".
void check_finite(const Rows& x, const char* verb);

// Divides d values by their L2 norm; zeros stay.
void normalize_row(float* x, size_t d);

// The inner product of n values, with the same bits on every ISA.
float ordered_dot(const float* a, const float* b, size_t n);
double ordered_dot(const double* a, const double* b, size_t n);

// bfloat16: the upper half of a float, to nearest even.
inline float widen_bf16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }
inline uint16_t narrow_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace shortlist
