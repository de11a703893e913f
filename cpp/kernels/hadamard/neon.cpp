#include "kernels/neon.h"

#include "kernels/hadamard/hadamard.h"

namespace shortlist::kernels::hadamard {
namespace {

struct Lanes : Neon {
  static Floats mul(Floats x, Floats y) { return vmulq_f32(x, y); }
  static void store(float* p, Floats x) { vst1q_f32(p, x); }
  // Each lane plus its partner, or the partner minus it: exact products leave one rounding.
  static Floats within(Floats x) {
    constexpr float kNear[4] = {1, -1, 1, -1}, kFar[4] = {1, 1, -1, -1};
    x = fma(x, vld1q_f32(kNear), vrev64q_f32(x));
    return fma(x, vld1q_f32(kFar), vextq_f32(x, x, 2));
  }
};

}  // namespace

void add_neon(Table& t) { t.hadamard = transform<Lanes>; }

}  // namespace shortlist::kernels::hadamard
