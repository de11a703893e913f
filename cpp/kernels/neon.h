// AArch64 vectors for the shared loops; kernels/rows.h says what each name means. Bytes use the
// dot-product instructions where the compiler's target has them.
#pragma once

#include <arm_neon.h>

#include "kernels/rows.h"

namespace shortlist::kernels {
namespace {

struct Neon {
  using Floats = float32x4_t;
  using Ints = int32x4_t;
  using Bytes = uint8x16_t;
  using Shorts = int16x8_t;
  static constexpr size_t kFloats = 4, kBytes = 16, kShorts = 8;
  static constexpr size_t kFloatTile = 4, kShortTile = 4;

  static Floats all(float x) { return vdupq_n_f32(x); }
  static void store(float* p, Floats x) { vst1q_f32(p, x); }
  static void zero(Floats& x) { x = vdupq_n_f32(0); }
  static void zero(Ints& x) { x = vdupq_n_s32(0); }
  static Floats add(Floats x, Floats y) { return vaddq_f32(x, y); }
  static Ints add(Ints x, Ints y) { return vaddq_s32(x, y); }
  static Floats sub(Floats x, Floats y) { return vsubq_f32(x, y); }
  static Ints sub(Ints x, Ints y) { return vsubq_s32(x, y); }
  static Floats fma(Floats x, Floats y, Floats acc) { return vfmaq_f32(acc, x, y); }
  static Floats fnma(Floats x, Floats y, Floats acc) { return vfmsq_f32(acc, x, y); }
  static Ints madd(Shorts x, Shorts y, Ints acc) {
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(x), vget_low_s16(y)), x, y);
  }

  static Bytes bytes(const std::byte* p) { return vld1q_u8(reinterpret_cast<const uint8_t*>(p)); }
  static Bytes bytes(const std::byte* p, size_t count) {
    const Part some = part(p, count);
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(some.low), vcreate_u64(some.high)));
  }
  static Floats load(const float* p) { return vld1q_f32(p); }
  static Floats load(const float* p, size_t count) {
    return vreinterpretq_f32_u8(bytes(reinterpret_cast<const std::byte*>(p), 4 * count));
  }
  static Shorts load(const int16_t* p) { return vld1q_s16(p); }
  static Shorts load(const int16_t* p, size_t count) {
    return vreinterpretq_s16_u8(bytes(reinterpret_cast<const std::byte*>(p), 2 * count));
  }

  static float sum(Floats v) { return vaddvq_f32(v); }
  static int32_t sum(Ints v) { return vaddvq_s32(v); }
  static void sum4(const Floats (&v)[4], float* out) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3])));
  }
  static Ints sum4(const Ints (&v)[4]) {
    return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
  }
  static void sum4(const Ints (&v)[4], int32_t* out) { vst1q_s32(out, sum4(v)); }
  static void sum4(const Ints (&v)[4], float* out) { vst1q_f32(out, vcvtq_f32_s32(sum4(v))); }

  struct F32 {
    static constexpr size_t kSize = 4;
    template <class... Count>
    static Floats floats(const std::byte* row, size_t i, Count... count) {
      return load(reinterpret_cast<const float*>(row) + i, count...);
    }
  };
  struct F16 {
    static constexpr size_t kSize = 2;
    static Floats floats(const std::byte* row, size_t i) {
      return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(word<uint64_t>(row + 2 * i))));
    }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(part(row + 2 * i, 2 * count).low)));
    }
  };
  struct U8 {
    static constexpr size_t kSize = 1;
    template <class... Count>
    static Floats floats(const std::byte* row, size_t i, Count... count) {
      const uint16x8_t wide = vmovl_u8(vcreate_u8(four(row + i, count...)));
      return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
    }
    static Ints squares(Ints acc, Bytes q, Bytes x) {
      const Bytes delta = vabdq_u8(q, x);
      return products(acc, delta, delta);
    }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      uint32x4_t sums = vreinterpretq_u32_s32(acc);
#if defined(__ARM_FEATURE_DOTPROD)
      sums = vdotq_u32(sums, q, x);
#else
      sums = vpadalq_u16(sums, vmull_u8(vget_low_u8(q), vget_low_u8(x)));
      sums = vpadalq_u16(sums, vmull_high_u8(q, x));
#endif
      return vreinterpretq_s32_u32(sums);
    }
  };
  struct I8 {
    static constexpr size_t kSize = 1;
    template <class... Count>
    static Floats floats(const std::byte* row, size_t i, Count... count) {
      const int16x8_t wide = vmovl_s8(vcreate_s8(four(row + i, count...)));
      return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    }
    static Ints squares(Ints acc, Bytes q, Bytes x) {
      const int8x16_t delta = vabdq_s8(vreinterpretq_s8_u8(q), vreinterpretq_s8_u8(x));
      const Bytes size = vreinterpretq_u8_s8(delta);  // up to 255
      return U8::products(acc, size, size);
    }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      const int8x16_t a = vreinterpretq_s8_u8(q), b = vreinterpretq_s8_u8(x);
#if defined(__ARM_FEATURE_DOTPROD)
      return vdotq_s32(acc, a, b);
#else
      acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
      return vpadalq_s16(acc, vmull_high_s8(a, b));
#endif
    }
  };

 private:
  static uint64_t four(const std::byte* p) { return word<uint32_t>(p); }
  static uint64_t four(const std::byte* p, size_t count) { return part(p, count).low; }
};

}  // namespace
}  // namespace shortlist::kernels
