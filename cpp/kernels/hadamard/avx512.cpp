#include "kernels/avx512.h"

#include "kernels/hadamard/hadamard.h"

namespace shortlist::kernels::hadamard {
namespace {

struct Lanes : Avx512 {
  static Floats mul(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
  static void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  // As in avx2.cpp; the masks name the lanes that are taken away.
  static Floats within(Floats x) {
    x = fma(x, sign<0xaaaa>(), _mm512_permute_ps(x, 0xb1));
    x = fma(x, sign<0xcccc>(), _mm512_permute_ps(x, 0x4e));
    x = fma(x, sign<0xf0f0>(), _mm512_shuffle_f32x4(x, x, 0xb1));
    return fma(x, sign<0xff00>(), _mm512_shuffle_f32x4(x, x, 0x4e));
  }

 private:
  template <__mmask16 kNegative>
  static Floats sign() {
    return _mm512_mask_blend_ps(kNegative, _mm512_set1_ps(1), _mm512_set1_ps(-1));
  }
};

}  // namespace

void add_avx512(Table& t) { t.hadamard = transform<Lanes>; }

}  // namespace shortlist::kernels::hadamard
