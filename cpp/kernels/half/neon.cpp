#include <arm_neon.h>

#include "kernels/kernels.h"

namespace shortlist::kernels::half {
namespace {

void widen(const uint16_t* x, size_t n, float* out) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + i))));
  for (; i < n; ++i) {
    __fp16 h;
    __builtin_memcpy(&h, x + i, sizeof h);
    out[i] = static_cast<float>(h);
  }
}

void narrow(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
  for (; i < n; ++i) {
    const auto h = static_cast<__fp16>(x[i]);
    __builtin_memcpy(out + i, &h, sizeof h);
  }
}

}  // namespace

void add_neon(Table& t) {
  t.widen_f16 = widen;
  t.narrow_f16 = narrow;
}

}  // namespace shortlist::kernels::half
