#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace shortlist::kernels::lut {

namespace {

void lut32(const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out) {
  for (size_t v = 0; v < 32; ++v) out[v] = 0;
  for (size_t g = 0; g < groups; ++g)
    for (size_t j = 0; j < 16; ++j) {
      const uint8_t code = codes[16 * g + j];
      out[j] += table[16 * g + (code & 15)];
      out[j + 16] += table[16 * g + (code >> 4)];
    }
}

float widen(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}

void estimate(const uint8_t* blocks, size_t stride, size_t n, const uint8_t* table, size_t groups,
              const EstimateTerms& t, float limit, float* out, uint32_t* below) {
  for (size_t i = 0; i < n; ++i, blocks += stride) {
    uint32_t sums[32];
    lut32(blocks, table, groups, sums);
    below[i] = 0;
    for (size_t v = 0; v < 32; ++v) {
      uint16_t add = 0, rescale = 0x3f80;  // 1
      if (t.factors) {
        __builtin_memcpy(&add, blocks + 16 * groups + 2 * v, sizeof add);
        __builtin_memcpy(&rescale, blocks + 16 * groups + 64 + 2 * v, sizeof rescale);
      }
      const float product = t.offset + t.step * static_cast<float>(static_cast<int32_t>(sums[v]));
      const float x = (t.near + widen(add)) + widen(rescale) * product;
      below[i] |= uint32_t{x < limit} << v;
      if (out) out[32 * i + v] = x;
    }
  }
}

}  // namespace

void add_reference(Table& t) {
  t.lut32 = lut32;
  t.estimate = estimate;
  t.estimate_small = estimate;
  t.lut_tables = [](const float* q, float scale, size_t groups, uint8_t* table) {
    for (size_t g = 0; g < groups; ++g) {
      float x[4], least[4];
      for (size_t i = 0; i < 4; ++i) {
        x[i] = q[4 * g + i] * scale;
        least[i] = std::min(x[i], 0.f);
      }
      for (size_t j = 0; j < 16; ++j) {
        float sum = -((least[0] + least[2]) + (least[1] + least[3]));
        for (size_t i = 0; i < 4; ++i) sum += j >> i & 1 ? x[i] : 0.f;
        table[16 * g + j] = static_cast<uint8_t>(std::nearbyint(sum));
      }
    }
  };
}

}  // namespace shortlist::kernels::lut
