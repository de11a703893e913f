#include <cmath>

#include "kernels/reference.h"

namespace shortlist::kernels::softmax {
namespace {

float exps(float* x, size_t n, float shift) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - shift);
  return sum;
}

float value(float x) { return x; }
float value(uint16_t h) { return widen(h); }

template <class T>
void weighted_sum(const float* weights, const std::byte* base, size_t stride, const uint32_t* rows,
                  size_t n, size_t d, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const std::byte* row = base + (rows ? size_t{rows[i]} : i) * stride;
    for (size_t t = 0; t < d; ++t) out[t] += weights[i] * value(at<T>(row, t));
  }
}

}  // namespace

void add_reference(Table& t) {
  t.exps = exps;
  t.weighted_sum_f32 = weighted_sum<float>;
  t.weighted_sum_f16 = weighted_sum<uint16_t>;
}

}  // namespace shortlist::kernels::softmax
