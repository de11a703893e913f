#include "kernels/neon.h"

#include "kernels/oddint/oddint.h"

namespace shortlist::kernels::oddint {
namespace {

struct Signs : Neon {
  static Floats mul(Floats x, Floats y) { return vmulq_f32(x, y); }
  static Floats abs(Floats x) { return vabsq_f32(x); }
  static uint32x4_t positive(Floats x) { return vcgtzq_f32(x); }
  static uint32_t bits(uint32x4_t mask) {
    constexpr uint32_t kBits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(mask, vld1q_u32(kBits)));
  }
  static Floats negated_unless(uint32x4_t mask, Floats x) {
    return vbslq_f32(mask, x, vnegq_f32(x));
  }
  static float fold(const Floats (&v)[4]) {
    const Floats four = add(add(v[0], v[2]), add(v[1], v[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
  }
};

}  // namespace

void add_neon(Table& t) { t.signs = signs<Signs>; }

}  // namespace shortlist::kernels::oddint
