// The loop of the kernels over upright rows, whose lanes are rows: no sum goes across a vector.
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels {
namespace {

// kMany vectors of rows, or the last `count` rows. Step: as the Kernel of kernels/rows.h.
template <class Step, size_t kMany, class... Count>
void some_columns(const float* query, const float* columns, size_t n, size_t d, float* out,
                  Count... count) {
  using V = typename Step::V;
  typename V::Floats acc[kMany];
#pragma GCC unroll 8
  for (size_t u = 0; u < kMany; ++u) V::zero(acc[u]);
  for (size_t t = 0; t < d; ++t, columns += n) {
    const auto q = V::all(query[t]);
#pragma GCC unroll 8
    for (size_t u = 0; u < kMany; ++u)
      acc[u] = Step::step(acc[u], q, V::load(columns + u * V::kFloats, count...));
  }
#pragma GCC unroll 8
  for (size_t u = 0; u < kMany; ++u) V::store(out + u * V::kFloats, acc[u]);
}

template <class Step>
void over_columns(const float* query, const float* columns, size_t n, size_t d, float* out) {
  constexpr size_t kMany = 8;  // as many sums as hide the latency of adding
  constexpr size_t kLanes = Step::V::kFloats;
  size_t i = 0;
  for (; i + kMany * kLanes <= n; i += kMany * kLanes)
    some_columns<Step, kMany>(query, columns + i, n, d, out + i);
  for (; i + kLanes <= n; i += kLanes) some_columns<Step, 1>(query, columns + i, n, d, out + i);
  if (i == n) return;
  float rest[kLanes];
  some_columns<Step, 1>(query, columns + i, n, d, rest, n - i);
  __builtin_memcpy(out + i, rest, (n - i) * sizeof(float));
}

}  // namespace
}  // namespace shortlist::kernels
