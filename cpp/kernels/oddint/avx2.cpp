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
};

}  // namespace

void add_avx2(Table& t) { t.signs = signs<Signs>; }

}  // namespace shortlist::kernels::oddint
