#include <immintrin.h>

#include "kernels/kernels.h"

namespace shortlist::kernels::half {
namespace {

void widen(const uint16_t* x, size_t n, float* out) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
  for (; i < n; ++i) out[i] = _cvtsh_ss(x[i]);
}

void narrow(const float* x, size_t n, uint16_t* out) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), kNearest));
  for (; i < n; ++i) out[i] = _cvtss_sh(x[i], kNearest);
}

}  // namespace

void add_avx2(Table& t) {
  t.widen_f16 = widen;
  t.narrow_f16 = narrow;
}

}  // namespace shortlist::kernels::half
