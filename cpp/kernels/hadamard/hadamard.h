// The transform over the vectors V of one ISA: pieces of kPiece values at a time in registers, then
// passes over all values that take two distances each, which halves the loads and stores.
// V offers, besides what kernels/rows.h lists: mul(x, y), store(float*, x), and within(x), the
// transform of the lanes of one vector.
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels::hadamard {
namespace {

constexpr size_t kPiece = 64;

template <class V>
void butterfly(typename V::Floats& x, typename V::Floats& y) {
  const auto a = x, b = y;
  x = V::add(a, b);
  y = V::sub(a, b);
}

// Distances below kPiece.
template <class V>
void piece(const float* factors, float* x) {
  constexpr size_t kLanes = V::kFloats, kVectors = kPiece / kLanes;
  typename V::Floats v[kVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kVectors; ++i) {
    v[i] = V::load(x + i * kLanes);
    if (factors) v[i] = V::mul(v[i], V::load(factors + i * kLanes));
    v[i] = V::within(v[i]);
  }
#pragma GCC unroll 4
  for (size_t h = 1; h < kVectors; h *= 2)
#pragma GCC unroll 8
    for (size_t i = 0; i < kVectors / 2; ++i) {
      const size_t at = i / h * 2 * h + i % h;
      butterfly<V>(v[at], v[at + h]);
    }
#pragma GCC unroll 16
  for (size_t i = 0; i < kVectors; ++i) V::store(x + i * kLanes, v[i]);
}

// Distances h and 2h, or h alone.
template <class V>
void two_distances(float* x, size_t n, size_t h) {
  for (size_t begin = 0; begin < n; begin += 4 * h)
    for (float* p = x + begin; p < x + begin + h; p += V::kFloats) {
      auto a = V::load(p), b = V::load(p + h), c = V::load(p + 2 * h), d = V::load(p + 3 * h);
      butterfly<V>(a, b);
      butterfly<V>(c, d);
      butterfly<V>(a, c);
      butterfly<V>(b, d);
      V::store(p, a);
      V::store(p + h, b);
      V::store(p + 2 * h, c);
      V::store(p + 3 * h, d);
    }
}
template <class V>
void one_distance(float* x, size_t n, size_t h) {
  for (size_t begin = 0; begin < n; begin += 2 * h)
    for (float* p = x + begin; p < x + begin + h; p += V::kFloats) {
      auto a = V::load(p), b = V::load(p + h);
      butterfly<V>(a, b);
      V::store(p, a);
      V::store(p + h, b);
    }
}

template <class V>
void transform(const float* factors, float* x, size_t n) {
  for (size_t i = 0; i < n; i += kPiece) piece<V>(factors ? factors + i : nullptr, x + i);
  size_t h = kPiece;
  for (; 4 * h <= n; h *= 4) two_distances<V>(x, n, h);
  if (h < n) one_distance<V>(x, n, h);
}

}  // namespace
}  // namespace shortlist::kernels::hadamard
