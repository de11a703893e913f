// Rows as whole numbers, and a register tile of kRows rows by kColumns vectors of their products,
// over the vectors of one ISA. V offers
//   Isa, Floats, Ints                  the vectors of kernels/<isa>.h; kVectors Ints are 64 sums
//   larger(Floats a, x), top(Floats)   of absolute values, lane by lane; of all lanes
//   round(Floats)                      to the nearest whole number, ties to even
//   store(Floats, int8_t*[, count])    whole numbers as bytes
//   load(const uint8_t*), splat(int32_t), splat(const int8_t*)     the last of four codes
//   dot(acc, codes, word)              acc + four products in each lane
//   passing(acc, row, scale, bias, error)          bits of these lanes, as kernels.h says
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels::filter {
namespace {

template <class V>
Quantized quantize(const float* x, const float* centre, size_t d, int levels, int8_t* codes) {
  using Isa = typename V::Isa;
  using Floats = typename V::Floats;
  constexpr float kTiny = 0x1p-100f;  // below it 1 / scale could overflow
  const auto over = [&](const auto& step) {
    size_t i = 0;
    for (; i + Isa::kFloats <= d; i += Isa::kFloats)
      step(i, Isa::sub(Isa::load(x + i), Isa::load(centre + i)));
    if (const size_t count = d - i)
      step(i, Isa::sub(Isa::load(x + i, count), Isa::load(centre + i, count)), count);
  };
  Floats most, square, error;
  Isa::zero(most), Isa::zero(square), Isa::zero(error);
  over([&](size_t, Floats v, auto...) { most = V::larger(most, v); });
  const float top = V::top(most);
  const float scale = top > kTiny ? top / static_cast<float>(levels) : 0;
  const Floats inverse = V::splat(top > kTiny ? static_cast<float>(levels) / top : 0);
  const Floats step = V::splat(scale);
  over([&](size_t i, Floats v, auto... count) {
    const Floats whole = V::round(V::mul(v, inverse));
    const Floats rest = Isa::fnma(whole, step, v);
    square = Isa::fma(v, v, square);
    error = Isa::fma(rest, rest, error);
    V::store(whole, codes + i, (count + 3) / 4 * 4 ...);
  });
  return {scale, Isa::sum(square), Isa::sum(error)};
}

template <class V, size_t N>
void tile(const int8_t* a, size_t lda, const FilterRow* rows, const FilterBlock& block, size_t d,
          uint64_t* out) {
  constexpr size_t kWidth = 64 / V::kVectors;
#pragma GCC unroll 8
  for (size_t i = 0; i < N; ++i) out[i] = 0;
  for (size_t first = 0; first < V::kVectors; first += V::kColumns) {
    typename V::Ints acc[N][V::kColumns];
#pragma GCC unroll 8
    for (size_t i = 0; i < N; ++i)
#pragma GCC unroll 8
      for (size_t j = 0; j < V::kColumns; ++j) acc[i][j] = V::splat(rows[i].offset);
    const uint8_t* codes = block.codes + first * kWidth * 4;
    for (size_t t = 0; t < d; t += 4, codes += 256) {
      typename V::Ints run[V::kColumns];
#pragma GCC unroll 8
      for (size_t j = 0; j < V::kColumns; ++j) run[j] = V::load(codes + j * kWidth * 4);
#pragma GCC unroll 8
      for (size_t i = 0; i < N; ++i) {
        const auto word = V::splat(a + i * lda + t);
#pragma GCC unroll 8
        for (size_t j = 0; j < V::kColumns; ++j) acc[i][j] = V::dot(acc[i][j], run[j], word);
      }
    }
#pragma GCC unroll 8
    for (size_t j = 0; j < V::kColumns; ++j) {
      const size_t at = (first + j) * kWidth;
      const auto scale = V::Isa::load(block.scale + at), bias = V::Isa::load(block.bias + at),
                 error = V::Isa::load(block.error + at);
#pragma GCC unroll 8
      for (size_t i = 0; i < N; ++i)
        out[i] |= V::passing(acc[i][j], rows[i], scale, bias, error) << at;
    }
  }
}

template <class V>
void filter(const int8_t* a, size_t lda, const FilterRow* rows, size_t n, const FilterBlock& block,
            size_t d, uint64_t* out) {
  size_t i = 0;
  for (; i + V::kRows <= n; i += V::kRows)
    tile<V, V::kRows>(a + i * lda, lda, rows + i, block, d, out + i);
  for (; i < n; ++i) tile<V, 1>(a + i * lda, lda, rows + i, block, d, out + i);
}

template <class V>
void add(Table& t) {
  t.quantize = quantize<V>;
  t.filter = filter<V>;
}

}  // namespace
}  // namespace shortlist::kernels::filter
