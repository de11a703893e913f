// Rounding to whole numbers, as plain loops over 16 lanes, which each ISA's compiler vectorises.
#pragma once

#include "kernels/kernels.h"

namespace shortlist::kernels::filter {
namespace {

constexpr size_t kQuantizeLanes = 16;

inline Quantized quantize(const float* x, const float* centre, size_t d, int levels,
                          int8_t* codes) {
  constexpr float kTiny = 0x1p-100f;   // below it 1 / scale could overflow
  constexpr float kRound = 0x1.8p23f;  // adding it leaves no fraction
  float most[kQuantizeLanes] = {}, square[kQuantizeLanes] = {}, error[kQuantizeLanes] = {};
  const auto by_lanes = [&](const auto& step) {
    size_t i = 0;
    for (; i + kQuantizeLanes <= d; i += kQuantizeLanes)
      for (size_t l = 0; l < kQuantizeLanes; ++l) step(i + l, l);
    for (size_t l = 0; i + l < d; ++l) step(i + l, l);
  };
  by_lanes([&](size_t i, size_t l) {
    const float v = x[i] - centre[i], size = v < 0 ? -v : v;
    most[l] = size > most[l] ? size : most[l];
  });
  float top = 0;
  for (float m : most) top = m > top ? m : top;
  const float scale = top > kTiny ? top / static_cast<float>(levels) : 0;
  const float inverse = top > kTiny ? static_cast<float>(levels) / top : 0;
  by_lanes([&](size_t i, size_t l) {
    const float v = x[i] - centre[i];
    const float whole = (v * inverse + kRound) - kRound, rest = v - whole * scale;
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(whole));
    square[l] += v * v;
    error[l] += rest * rest;
  });
  for (size_t i = d; i % 4; ++i) codes[i] = 0;
  Quantized out{scale, 0, 0};
  for (size_t l = 0; l < kQuantizeLanes; ++l) out.square += square[l], out.error += error[l];
  return out;
}

}  // namespace
}  // namespace shortlist::kernels::filter
