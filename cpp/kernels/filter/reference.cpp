#include "kernels/reference.h"

namespace shortlist::kernels::filter {
namespace {

Quantized quantize(const float* x, const float* centre, size_t d, int levels, int8_t* codes) {
  constexpr float kTiny = 0x1p-100f;   // below it 1 / scale could overflow
  constexpr float kRound = 0x1.8p23f;  // adding it leaves no fraction
  float top = 0;
  for (size_t i = 0; i < d; ++i) {
    const float v = x[i] - centre[i], size = v < 0 ? -v : v;
    top = size > top ? size : top;
  }
  const bool tiny = !(top > kTiny);
  const float scale = tiny ? 0 : top / static_cast<float>(levels);
  const float inverse = tiny ? 0 : static_cast<float>(levels) / top;
  Quantized out{scale, 0, 0};
  for (size_t i = 0; i < d; ++i) {
    const float v = x[i] - centre[i], whole = (v * inverse + kRound) - kRound;
    const float rest = v - whole * scale;
    codes[i] = static_cast<int8_t>(static_cast<int>(whole));
    out.square += v * v;
    out.error += rest * rest;
  }
  for (size_t i = d; i % 4; ++i) codes[i] = 0;
  return out;
}

void filter(const int8_t* a, size_t lda, const FilterRow* rows, size_t n, const FilterBlock& block,
            size_t d, uint64_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const FilterRow& row = rows[i];
    out[i] = 0;
    for (size_t j = 0; j < 64; ++j) {
      auto sum = static_cast<uint32_t>(row.offset);
      for (size_t t = 0; t < d; ++t)
        sum += static_cast<uint32_t>(a[i * lda + t] * block.codes[(t / 4 * 64 + j) * 4 + t % 4]);
      const float product = block.scale[j] * static_cast<float>(static_cast<int32_t>(sum));
      const float bound = block.bias[j] - row.size * block.error[j] - row.scale * product;
      out[i] |= uint64_t{!(bound > row.limit)} << j;
    }
  }
}

void filter_f32(const float* a, size_t lda, const float* limits, size_t n, const float* b,
                const float* bias, size_t d, uint64_t* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t j = 0; j < 64; ++j) {
      float bound = bias[j];
      for (size_t t = 0; t < d; ++t) bound -= a[i * lda + t] * b[64 * t + j];
      out[i] |= uint64_t{!(bound > limits[i])} << j;
    }
  }
}

}  // namespace

void add_reference(Table& t) {
  t.quantize = quantize;
  t.filter = filter;
  t.filter_f32 = filter_f32;
}

}  // namespace shortlist::kernels::filter
