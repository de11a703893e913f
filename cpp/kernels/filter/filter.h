// Rows as whole numbers, and register tiles of kRows rows by kColumns vectors of sums of products,
// over the vectors of one ISA. V offers
//   Isa, Floats, Ints                  the vectors of kernels/<isa>.h; kVectors of them are 64
//   lanes kRows, kColumns, kFloatRows, kFloatColumns     what keeps a tile in registers
//   larger(Floats a, x), top(Floats)   of absolute values, lane by lane; of all lanes
//   round(Floats)                      to the nearest whole number, ties to even
//   store(Floats, int8_t*[, count])    whole numbers as bytes
//   splat(float), mul(x, y), floats(Ints)
//   load(const uint8_t*), splat(int32_t), splat(const int8_t*)     the last of four codes
//   dot(acc, codes, word)              acc + four products in each lane
//   passing(Floats, float limit)       a bit for each lane: whether not above the limit
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

// What a tile adds up, and what it makes of a sum; row i and vector j of the 64 others.
template <class V>
struct Codes {
  using Sum = typename V::Ints;
  static constexpr size_t kRows = V::kRows, kColumns = V::kColumns, kVectors = V::kVectors;
  static constexpr size_t kWidth = 64 / kVectors;
  const int8_t* a;
  size_t lda;
  const FilterRow* rows;
  FilterBlock block;
  size_t steps;

  Sum start(size_t i, size_t /*j*/) const { return V::splat(rows[i].offset); }
  Sum others(size_t t, size_t j) const { return V::load(block.codes + 4 * (64 * t + kWidth * j)); }
  Sum word(size_t i, size_t t) const { return V::splat(a + i * lda + 4 * t); }
  static Sum add(Sum acc, Sum x, Sum y) { return V::dot(acc, x, y); }
  uint64_t passing(Sum acc, size_t i, size_t j) const {
    using Isa = typename V::Isa;
    const FilterRow& row = rows[i];
    const auto product = V::mul(Isa::load(block.scale + kWidth * j), V::floats(acc));
    auto bound = Isa::load(block.bias + kWidth * j);
    bound = Isa::fnma(V::splat(row.size), Isa::load(block.error + kWidth * j), bound);
    bound = Isa::fnma(V::splat(row.scale), product, bound);
    return V::passing(bound, row.limit);
  }
};

template <class V>
struct Values {
  using Sum = typename V::Floats;
  static constexpr size_t kRows = V::kFloatRows, kColumns = V::kFloatColumns;
  static constexpr size_t kVectors = V::kVectors, kWidth = 64 / kVectors;
  const float* a;
  size_t lda;
  const float *limits, *b, *bias;
  size_t steps;

  Sum start(size_t /*i*/, size_t j) const { return V::Isa::load(bias + kWidth * j); }
  Sum others(size_t t, size_t j) const { return V::Isa::load(b + 64 * t + kWidth * j); }
  Sum word(size_t i, size_t t) const { return V::splat(a[i * lda + t]); }
  static Sum add(Sum acc, Sum x, Sum y) { return V::Isa::fnma(x, y, acc); }
  uint64_t passing(Sum acc, size_t i, size_t /*j*/) const { return V::passing(acc, limits[i]); }
};

template <size_t N, class T>
void tile(const T& of, size_t row, size_t first, uint64_t* out) {
  typename T::Sum acc[N][T::kColumns], others[T::kColumns];
#pragma GCC unroll 8
  for (size_t i = 0; i < N; ++i)
#pragma GCC unroll 8
    for (size_t j = 0; j < T::kColumns; ++j) acc[i][j] = of.start(row + i, first + j);
  for (size_t t = 0; t < of.steps; ++t) {
#pragma GCC unroll 8
    for (size_t j = 0; j < T::kColumns; ++j) others[j] = of.others(t, first + j);
#pragma GCC unroll 8
    for (size_t i = 0; i < N; ++i) {
      const auto word = of.word(row + i, t);
#pragma GCC unroll 8
      for (size_t j = 0; j < T::kColumns; ++j) acc[i][j] = T::add(acc[i][j], others[j], word);
    }
  }
#pragma GCC unroll 8
  for (size_t j = 0; j < T::kColumns; ++j)
#pragma GCC unroll 8
    for (size_t i = 0; i < N; ++i)
      out[row + i] |= of.passing(acc[i][j], row + i, first + j) << (first + j) * T::kWidth;
}

template <class T>
void tiles(const T& of, size_t n, uint64_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = 0;
  for (size_t first = 0; first < T::kVectors; first += T::kColumns) {
    size_t i = 0;
    for (; i + T::kRows <= n; i += T::kRows) tile<T::kRows>(of, i, first, out);
    for (; i < n; ++i) tile<1>(of, i, first, out);
  }
}

template <class V>
void filter(const int8_t* a, size_t lda, const FilterRow* rows, size_t n, const FilterBlock& block,
            size_t d, uint64_t* out) {
  tiles(Codes<V>{a, lda, rows, block, d / 4}, n, out);
}

template <class V>
void filter_f32(const float* a, size_t lda, const float* limits, size_t n, const float* b,
                const float* bias, size_t d, uint64_t* out) {
  tiles(Values<V>{a, lda, limits, b, bias, d}, n, out);
}

template <class V>
void add(Table& t) {
  t.quantize = quantize<V>;
  t.filter = filter<V>;
  t.filter_f32 = filter_f32<V>;
}

}  // namespace
}  // namespace shortlist::kernels::filter
