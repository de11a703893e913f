#include "kernels/neon.h"

#include "kernels/softmax/softmax.h"

namespace shortlist::kernels::softmax {
namespace {

struct Lanes : Neon {
  static Floats mul(Floats x, Floats y) { return vmulq_f32(x, y); }
  static Floats at_least(Floats x, Floats floor) { return vmaxq_f32(floor, x); }
  static Floats round(Floats x) { return vrndnq_f32(x); }
  static Floats scaled(Floats x, Floats n) {
    const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
  }
};

}  // namespace

void add_neon(Table& t) { add<Lanes>(t); }

}  // namespace shortlist::kernels::softmax
