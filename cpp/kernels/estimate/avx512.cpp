#include <immintrin.h>

#include "kernels/kernels.h"

namespace shortlist::kernels::estimate {
namespace {

__m512 widen(const uint16_t* x) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

uint32_t below32(const uint32_t* sums, const uint16_t* add, const uint16_t* rescale,
                 const EstimateTerms& t, float limit, float* out) {
  const __m512 near = _mm512_set1_ps(t.near), offset = _mm512_set1_ps(t.offset),
               step = _mm512_set1_ps(t.step), most = _mm512_set1_ps(limit);
  uint32_t below = 0;
#pragma GCC unroll 2
  for (size_t v = 0; v < 32; v += 16) {
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + v));
    const __m512 product = _mm512_fmadd_ps(step, sum, offset);
    const __m512 estimate =
        _mm512_fmadd_ps(widen(rescale + v), product, _mm512_add_ps(near, widen(add + v)));
    _mm512_storeu_ps(out + v, estimate);
    below |= uint32_t{_mm512_cmp_ps_mask(estimate, most, _CMP_LT_OQ)} << v;
  }
  return below;
}

}  // namespace

void add_avx512(Table& t) { t.estimate32 = below32; }

}  // namespace shortlist::kernels::estimate
