#include <cmath>

#include "kernels/kernels.h"

namespace shortlist::kernels::oddint {
namespace {

constexpr size_t kLanes = 16;

float total(float (&lanes)[kLanes]) {
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  return lanes[0];
}

}  // namespace

void add_reference(Table& t) {
  t.signs = [](const float* r, const float* c, size_t n, uint8_t* bits) -> SignSums {
    float size[kLanes]{}, square[kLanes]{}, dot[kLanes]{}, code[kLanes]{};
    for (size_t k = 0; k < n / 8; ++k) bits[k] = 0;
    for (size_t i = 0; i < n; ++i) {
      const size_t l = i % kLanes;
      const bool positive = r[i] > 0;
      bits[i / 8] |= static_cast<uint8_t>(positive << i % 8);
      size[l] += std::abs(r[i]);
      square[l] += r[i] * r[i];
      if (!c) continue;
      dot[l] += r[i] * c[i];
      code[l] += positive ? c[i] : -c[i];
    }
    return {total(size), total(square), total(dot), total(code)};
  };
  t.planes = [](const float* q, const std::byte* base, size_t stride, const uint32_t* rows,
                size_t n, size_t m, size_t bits, double* out) {
    for (size_t r = 0; r < n; ++r) {
      const std::byte* row = base + (rows ? size_t{rows[r]} : r) * stride;
      double sum = 0;
      for (size_t b = 0; b < bits; ++b, row += m / 8) {
        float of_plane = 0;
        for (size_t i = 0; i < m; ++i)
          if (static_cast<int>(row[i / 8]) >> i % 8 & 1) of_plane += q[i];
        sum = 2 * sum + of_plane;
      }
      out[r] = sum;
    }
  };
}

}  // namespace shortlist::kernels::oddint
