#include "kernels/avx2.h"

#include "kernels/softmax/softmax.h"

namespace shortlist::kernels::softmax {
namespace {

struct Lanes : Avx2 {
  static Floats mul(Floats x, Floats y) { return _mm256_mul_ps(x, y); }
  static Floats at_least(Floats x, Floats floor) { return _mm256_max_ps(floor, x); }
  static Floats round(Floats x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Floats scaled(Floats x, Floats n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
};

}  // namespace

void add_avx2(Table& t) { add<Lanes>(t); }

}  // namespace shortlist::kernels::softmax
