#include "kernels/avx2.h"

#include "kernels/hadamard/hadamard.h"

namespace shortlist::kernels::hadamard {
namespace {

struct Lanes : Avx2 {
  static Floats mul(Floats x, Floats y) { return _mm256_mul_ps(x, y); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  // Each lane plus its partner, or the partner minus it: exact products leave one rounding.
  static Floats within(Floats x) {
    x = fma(x, _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1), _mm256_permute_ps(x, 0xb1));
    x = fma(x, _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1), _mm256_permute_ps(x, 0x4e));
    return fma(x, _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1), _mm256_permute2f128_ps(x, x, 1));
  }
};

}  // namespace

void add_avx2(Table& t) { t.hadamard = transform<Lanes>; }

}  // namespace shortlist::kernels::hadamard
