// Exponentials and weighted sums of rows over the vectors V of one ISA. V offers, besides what
// kernels/rows.h lists: mul(x, y), at_least(x, floor), which keeps NaN, round(x), and scaled(x, n),
// which is x * 2^n for a whole n >= -126.
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels::softmax {
namespace {

constexpr size_t kColumns = 8;  // vectors of a row that are summed at a time

// exp(x) = 2^n exp(r), with n whole and |r| <= log(2) / 2. log(2) is taken away in two parts, the
// first of so few bits that its product with n is exact; exp(r) is Taylor's series, whose first
// term left out, r^7 / 5040, is below 2^-23.
template <class V>
typename V::Floats exp(typename V::Floats x) {
  constexpr float kTerms[] = {1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2, 1, 1};
  x = V::at_least(x, V::all(-87));
  const auto n = V::round(V::mul(x, V::all(0x1.715476p+0f)));
  const auto r = V::fnma(n, V::all(0x1.7f7d1cp-20f), V::fnma(n, V::all(0x1.62e4p-1f), x));
  auto sum = V::all(1.f / 720);
#pragma GCC unroll 8
  for (float term : kTerms) sum = V::fma(sum, r, V::all(term));
  return V::scaled(sum, n);
}

template <class V>
float exps(float* x, size_t n, float shift) {
  constexpr size_t kLanes = V::kFloats;
  typename V::Floats sums;
  V::zero(sums);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto e = exp<V>(V::sub(V::load(x + i), V::all(shift)));
    V::store(x + i, e);
    sums = V::add(sums, e);
  }
  float sum = V::sum(sums);
  if (i < n) {
    float rest[kLanes];
    V::store(rest, exp<V>(V::sub(V::load(x + i, n - i), V::all(shift))));
    for (size_t j = 0; i < n; ++i, ++j) sum += x[i] = rest[j];
  }
  return sum;
}

// kMany vectors of columns of all rows, or the last `count` columns.
template <class V, class Row, size_t kMany, class... Count>
void columns(const float* weights, const std::byte* base, size_t stride, const uint32_t* rows,
             size_t n, size_t begin, float* out, Count... count) {
  typename V::Floats acc[kMany];
#pragma GCC unroll 8
  for (size_t u = 0; u < kMany; ++u) V::zero(acc[u]);
  // Only these columns are prefetched: rows may lie far apart, with those of other heads between.
  constexpr size_t kBytes = kMany * V::kFloats * Row::kSize, kAhead = kAheadBytes / kBytes + 1;
  const auto row = [&](size_t i) { return base + (rows ? size_t{rows[i]} : i) * stride; };
  for (size_t i = 0; i < n; ++i) {
    if (rows && i + kAhead < n)
      for (size_t at = 0; at < kBytes; at += kLineBytes)
        __builtin_prefetch(row(i + kAhead) + begin * Row::kSize + at);
    const auto weight = V::all(weights[i]);
#pragma GCC unroll 8
    for (size_t u = 0; u < kMany; ++u)
      acc[u] = V::fma(weight, Row::floats(row(i), begin + u * V::kFloats, count...), acc[u]);
  }
#pragma GCC unroll 8
  for (size_t u = 0; u < kMany; ++u) {
    float* to = out + begin + u * V::kFloats;
    const auto sum = V::add(V::load(to, count...), acc[u]);
    if constexpr (sizeof...(count) == 0) {
      V::store(to, sum);
    } else {
      float rest[V::kFloats];
      V::store(rest, sum);
      for (size_t j = 0; j < (count + ...); ++j) to[j] = rest[j];
    }
  }
}

template <class V, class Row>
void weighted_sum(const float* weights, const std::byte* base, size_t stride, const uint32_t* rows,
                  size_t n, size_t d, float* out) {
  size_t t = 0;
  for (; t + kColumns * V::kFloats <= d; t += kColumns * V::kFloats)
    columns<V, Row, kColumns>(weights, base, stride, rows, n, t, out);
  for (; t + V::kFloats <= d; t += V::kFloats)
    columns<V, Row, 1>(weights, base, stride, rows, n, t, out);
  if (t < d) columns<V, Row, 1>(weights, base, stride, rows, n, t, out, d - t);
}

template <class V>
void add(Table& t) {
  t.exps = exps<V>;
  t.weighted_sum_f32 = weighted_sum<V, typename V::F32>;
  t.weighted_sum_f16 = weighted_sum<V, typename V::F16>;
}

}  // namespace
}  // namespace shortlist::kernels::softmax
