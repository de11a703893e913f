#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace shortlist::kernels::lut {

void add_reference(Table& t) {
  t.lut32 = [](const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out) {
    for (size_t v = 0; v < 32; ++v) out[v] = 0;
    for (size_t g = 0; g < groups; ++g)
      for (size_t j = 0; j < 16; ++j) {
        const uint8_t code = codes[16 * g + j];
        out[j] += table[16 * g + (code & 15)];
        out[j + 16] += table[16 * g + (code >> 4)];
      }
  };
  t.lut32_small = t.lut32;
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
