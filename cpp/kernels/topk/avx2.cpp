#include "kernels/avx2.h"

#include "kernels/topk/topk.h"

namespace shortlist::kernels::topk {
namespace {

struct Half {
  static constexpr size_t kLanes = 8;

  static void range(const float* x, size_t n, float& least, float& most) {
    __m256 low = _mm256_set1_ps(x[0]), high = low;
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      low = _mm256_min_ps(low, _mm256_loadu_ps(x + i));
      high = _mm256_max_ps(high, _mm256_loadu_ps(x + i));
    }
    alignas(32) float lows[kLanes], highs[kLanes];
    _mm256_store_ps(lows, low);
    _mm256_store_ps(highs, high);
    least = lows[0];
    most = highs[0];
    const auto with = [&](float down, float up) {
      if (down < least) least = down;
      if (up > most) most = up;
    };
    for (size_t j = 1; j < kLanes; ++j) with(lows[j], highs[j]);
    for (; i < n; ++i) with(x[i], x[i]);
  }
  static size_t count(const float* x, size_t n, float bound) {
    const __m256 most = _mm256_set1_ps(bound);
    __m256i sums = _mm256_setzero_si256();
    size_t i = 0, within = 0;
    for (; i + kLanes <= n; i += kLanes)
      sums = _mm256_sub_epi32(
          sums, _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(x + i), most, _CMP_LE_OQ)));
    for (; i < n; ++i) within += x[i] <= bound;
    return within + static_cast<size_t>(Avx2::sum(sums));
  }
  static size_t keep(float* x, uint32_t* beside, size_t n, float bound) {
    return keep_each(x, beside, 0, n, bound, 0);
  }
};

}  // namespace

void add_avx2(Table& t) { t.keep_nearest = keep_nearest<Half>; }

}  // namespace shortlist::kernels::topk
