#include "kernels/avx2.h"

#include "kernels/oddint/oddint.h"

namespace shortlist::kernels::oddint {
namespace {

struct Signs : Avx2 {
  static Floats mul(Floats x, Floats y) { return _mm256_mul_ps(x, y); }
  static Floats abs(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.f), x); }
  static Floats positive(Floats x) { return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ); }
  static uint32_t bits(Floats mask) { return static_cast<uint32_t>(_mm256_movemask_ps(mask)); }
  static Floats negated_unless(Floats mask, Floats x) {
    return _mm256_xor_ps(_mm256_andnot_ps(mask, _mm256_set1_ps(-0.f)), x);
  }
  static float fold(const Floats (&v)[2]) { return sum(add(v[0], v[1])); }
  static void add_set(Floats (&acc)[2], uint16_t bits, const float* q) {
    const __m256i low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i word = _mm256_set1_epi32(bits);
    for (size_t v = 0; v < 2; ++v) {
      const __m256i lane = v ? _mm256_slli_epi32(low, 8) : low;
      const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(word, lane), lane);
      acc[v] = add(acc[v], _mm256_and_ps(_mm256_castsi256_ps(set), load(q + 8 * v)));
    }
  }
};

}  // namespace

void add_avx2(Table& t) {
  t.signs = signs<Signs>;
  t.planes = planes<Signs>;
}

}  // namespace shortlist::kernels::oddint
