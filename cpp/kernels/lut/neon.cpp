#include <arm_neon.h>

#include "kernels/lut/lut.h"

namespace shortlist::kernels::lut {
namespace {

struct Neon {
  static constexpr size_t kGroups = 1;
  struct Sums {  // of vectors 0..7, 8..15, ...
    uint16x8_t eight[4];
  };

  struct Found {
    uint8x16_t low, high;
  };

  static Found find(const uint8_t* codes, const uint8_t* table, size_t /*one*/ = 1) {
    const uint8x16_t pairs = vld1q_u8(codes), entries = vld1q_u8(table);
    return {vqtbl1q_u8(entries, vandq_u8(pairs, vdupq_n_u8(15))),
            vqtbl1q_u8(entries, vshrq_n_u8(pairs, 4))};
  }
  static Found plus(const Found& x, const Found& y) {
    return {vaddq_u8(x.low, y.low), vaddq_u8(x.high, y.high)};
  }
  static void add(Sums& s, const Found& found) {
    s.eight[0] = vaddw_u8(s.eight[0], vget_low_u8(found.low));
    s.eight[1] = vaddw_high_u8(s.eight[1], found.low);
    s.eight[2] = vaddw_u8(s.eight[2], vget_low_u8(found.high));
    s.eight[3] = vaddw_high_u8(s.eight[3], found.high);
  }
  struct Totals {
    uint32x4_t four[8];
  };
  static void widen(const Sums& s, Totals& t) {
    for (size_t i = 0; i < 4; ++i) {
      t.four[2 * i] = vaddw_u16(t.four[2 * i], vget_low_u16(s.eight[i]));
      t.four[2 * i + 1] = vaddw_high_u16(t.four[2 * i + 1], s.eight[i]);
    }
  }
  static void store(const Totals& t, uint32_t* out) {
    for (size_t i = 0; i < 8; ++i) vst1q_u32(out + 4 * i, t.four[i]);
  }

  struct Terms {
    Terms(const EstimateTerms& t, float most)
        : near(vdupq_n_f32(t.near)),
          offset(vdupq_n_f32(t.offset)),
          step(vdupq_n_f32(t.step)),
          limit(vdupq_n_f32(most)) {}
    float32x4_t near, offset, step, limit;
  };
  template <bool kFactors, bool kKeep>
  static uint32_t below(const Totals& totals, const Terms& t, const uint16_t* factors, float* out) {
    constexpr uint32_t kBits[4] = {1, 2, 4, 8};
    uint32_t below = 0;
    for (size_t i = 0; i < 8; ++i) {
      const float32x4_t sum = vcvtq_f32_s32(vreinterpretq_s32_u32(totals.four[i]));
      float32x4_t x = vfmaq_f32(t.offset, t.step, sum);
      if constexpr (kFactors)
        x = vfmaq_f32(vaddq_f32(t.near, halves(factors + 4 * i)), halves(factors + 32 + 4 * i), x);
      else
        x = vaddq_f32(t.near, x);
      if constexpr (kKeep) vst1q_f32(out + 4 * i, x);
      below |= vaddvq_u32(vandq_u32(vcltq_f32(x, t.limit), vld1q_u32(kBits))) << 4 * i;
    }
    return below;
  }

 private:
  static float32x4_t halves(const uint16_t* x) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(x), 16));
  }
};

void tables(const float* q, float scale, size_t groups, uint8_t* table) {
  constexpr uint32_t kBit0[4] = {0, ~0u, 0, ~0u}, kBit1[4] = {0, 0, ~0u, ~0u};
  const uint32x4_t bit0 = vld1q_u32(kBit0), bit1 = vld1q_u32(kBit1);
  const auto where = [](uint32x4_t lanes, float x) {
    return vreinterpretq_f32_u32(vandq_u32(lanes, vreinterpretq_u32_f32(vdupq_n_f32(x))));
  };
  for (size_t g = 0; g < groups; ++g, table += 16) {
    const float32x4_t x = vmulq_n_f32(vld1q_f32(q + 4 * g), scale);
    const float32x4_t least = vminq_f32(x, vdupq_n_f32(0));
    const float32x2_t half = vadd_f32(vget_low_f32(least), vget_high_f32(least));
    float32x4_t low = vdupq_n_f32(-vpadds_f32(half));
    low = vaddq_f32(low, where(bit0, vgetq_lane_f32(x, 0)));
    low = vaddq_f32(low, where(bit1, vgetq_lane_f32(x, 1)));
    const float32x4_t high = vaddq_f32(low, vdupq_laneq_f32(x, 2));
    const float32x4_t last = vdupq_laneq_f32(x, 3);
    const auto eight = [](float32x4_t a, float32x4_t b) {
      return vqmovn_u16(vcombine_u16(vqmovn_u32(vcvtnq_u32_f32(a)), vqmovn_u32(vcvtnq_u32_f32(b))));
    };
    vst1q_u8(table,
             vcombine_u8(eight(low, high), eight(vaddq_f32(low, last), vaddq_f32(high, last))));
  }
}

}  // namespace

void add_neon(Table& t) {
  t.lut32 = lut32<Neon>;
  t.estimate = estimate<Neon, 1>;
  t.estimate_small = estimate<Neon, kOfSmall>;
  t.lut_tables = tables;
}

}  // namespace shortlist::kernels::lut
