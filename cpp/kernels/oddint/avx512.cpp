#include "kernels/avx512.h"

#include "kernels/oddint/oddint.h"

namespace shortlist::kernels::oddint {
namespace {

struct Signs : Avx512 {
  static Floats mul(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
  static Floats abs(Floats x) { return _mm512_abs_ps(x); }
  static __mmask16 positive(Floats x) {
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
  }
  static uint32_t bits(__mmask16 mask) { return mask; }
  static Floats negated_unless(__mmask16 mask, Floats x) {
    return _mm512_mask_blend_ps(mask, _mm512_xor_ps(x, _mm512_set1_ps(-0.f)), x);
  }
  static float fold(const Floats (&v)[1]) { return sum(v[0]); }
  static void add_set(Floats (&acc)[1], uint16_t bits, const float* q) {
    acc[0] = _mm512_mask_add_ps(acc[0], bits, acc[0], load(q));
  }
};

}  // namespace

void add_avx512(Table& t) {
  t.signs = signs<Signs>;
  t.planes = planes<Signs>;
}

}  // namespace shortlist::kernels::oddint
