// How a bound is found, whatever counts distances. An ISA says
//   range(x, n, least, most)        of n >= 1 values
//   count(x, n, bound)              of those at most bound
//   keep(x, beside, n, bound)       moves these to the front, in order; how many
#pragma once

#include "kernels/kernels.h"

namespace shortlist::kernels::topk {
namespace {

// Those from `at` on, to place `kept` and after it.
[[gnu::always_inline]] inline size_t keep_each(float* x, uint32_t* beside, size_t at, size_t n,
                                               float bound, size_t kept) {
  for (; at < n; ++at) {
    const float distance = x[at];
    x[kept] = distance;
    beside[kept] = beside[at];
    kept += distance <= bound;
  }
  return kept;
}

// Between a bound that is too near and one that will do, by how many are within each of them.
template <class V>
size_t keep_nearest(float* x, uint32_t* beside, size_t n, size_t k, float* bound) {
  constexpr int kSteps = 16;
  const size_t enough = k + k / 8 + 4;
  float low, high;
  V::range(x, n, low, high);
  size_t fewer = 0, within = n;
  for (int step = 0; step < kSteps && within > enough; ++step) {
    const auto share =
        static_cast<float>(k + k / 16 + 2 - fewer) / static_cast<float>(within - fewer);
    const float middle = low + (high - low) * (share < 0.0625f   ? 0.0625f
                                               : share > 0.9375f ? 0.9375f
                                                                 : share);
    if (!(low <= middle && middle < high)) break;
    const size_t count = V::count(x, n, middle);
    if (count < k) {
      low = middle;
      fewer = count;
    } else {
      high = middle;
      within = count;
    }
  }
  *bound = high;
  return within < n ? V::keep(x, beside, n, high) : n;
}

}  // namespace
}  // namespace shortlist::kernels::topk
