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
  static void add_set(Floats (&acc)[4], uint16_t bits, const float* q) {
    constexpr uint32_t kBits[4] = {1, 2, 4, 8};
    const uint32x4_t lane = vld1q_u32(kBits);
    for (size_t v = 0; v < 4; ++v) {
      const uint32x4_t set = vtstq_u32(vdupq_n_u32(uint32_t{bits} >> 4 * v), lane);
      const uint32x4_t x = vandq_u32(set, vreinterpretq_u32_f32(load(q + 4 * v)));
      acc[v] = add(acc[v], vreinterpretq_f32_u32(x));
    }
  }
};

}  // namespace

void add_neon(Table& t) {
  t.signs = signs<Signs>;
  t.planes = planes<Signs>;
}

}  // namespace shortlist::kernels::oddint
