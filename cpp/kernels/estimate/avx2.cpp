#include <immintrin.h>

#include "kernels/kernels.h"

namespace shortlist::kernels::estimate {
namespace {

__m256 widen(const uint16_t* x) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

uint32_t below32(const uint32_t* sums, const uint16_t* add, const uint16_t* rescale,
                 const EstimateTerms& t, float limit, float* out) {
  const __m256 near = _mm256_set1_ps(t.near), offset = _mm256_set1_ps(t.offset),
               step = _mm256_set1_ps(t.step), most = _mm256_set1_ps(limit);
  uint32_t below = 0;
#pragma GCC unroll 4
  for (size_t v = 0; v < 32; v += 8) {
    const __m256 sum =
        _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + v)));
    const __m256 product = _mm256_fmadd_ps(step, sum, offset);
    const __m256 estimate =
        _mm256_fmadd_ps(widen(rescale + v), product, _mm256_add_ps(near, widen(add + v)));
    _mm256_storeu_ps(out + v, estimate);
    const int part = _mm256_movemask_ps(_mm256_cmp_ps(estimate, most, _CMP_LT_OQ));
    below |= static_cast<uint32_t>(part) << v;
  }
  return below;
}

}  // namespace

void add_avx2(Table& t) { t.estimate32 = below32; }

}  // namespace shortlist::kernels::estimate
