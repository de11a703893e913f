#include "kernels/avx512.h"

#include "kernels/softmax/softmax.h"

namespace shortlist::kernels::softmax {
namespace {

struct Lanes : Avx512 {
  static Floats mul(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
  static Floats at_least(Floats x, Floats floor) { return _mm512_max_ps(floor, x); }
  static Floats round(Floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Floats scaled(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }
};

}  // namespace

void add_avx512(Table& t) { add<Lanes>(t); }

}  // namespace shortlist::kernels::softmax
