// A register tile of kRows rows by kColumns vectors of sums, over the vectors of one ISA. V offers
//   Ints, Floats, kVectors             64 sums are kVectors of Ints
//   load(const uint8_t*), floats(const float*)
//   splat(int32_t), splat(const int8_t*)           of four codes
//   dot(acc, codes, word)              acc + four products in each lane
//   passing(acc, row, scale, bias, error)          bits of these lanes, as kernels.h says
#pragma once

#include "kernels/filter/quantize.h"

namespace shortlist::kernels::filter {
namespace {

template <class V, size_t N>
void tile(const int8_t* a, size_t lda, const FilterRow* rows, const FilterBlock& block, size_t d,
          uint64_t* out) {
  constexpr size_t kLanes = 64 / V::kVectors;
#pragma GCC unroll 8
  for (size_t i = 0; i < N; ++i) out[i] = 0;
  for (size_t first = 0; first < V::kVectors; first += V::kColumns) {
    typename V::Ints acc[N][V::kColumns];
#pragma GCC unroll 8
    for (size_t i = 0; i < N; ++i)
#pragma GCC unroll 8
      for (size_t j = 0; j < V::kColumns; ++j) acc[i][j] = V::splat(rows[i].offset);
    const uint8_t* codes = block.codes + first * kLanes * 4;
    for (size_t t = 0; t < d; t += 4, codes += 256) {
      typename V::Ints run[V::kColumns];
#pragma GCC unroll 8
      for (size_t j = 0; j < V::kColumns; ++j) run[j] = V::load(codes + j * kLanes * 4);
#pragma GCC unroll 8
      for (size_t i = 0; i < N; ++i) {
        const auto word = V::splat(a + i * lda + t);
#pragma GCC unroll 8
        for (size_t j = 0; j < V::kColumns; ++j) acc[i][j] = V::dot(acc[i][j], run[j], word);
      }
    }
#pragma GCC unroll 8
    for (size_t j = 0; j < V::kColumns; ++j) {
      const size_t at = (first + j) * kLanes;
      const auto scale = V::floats(block.scale + at), bias = V::floats(block.bias + at),
                 error = V::floats(block.error + at);
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
  t.quantize = quantize;
  t.filter = filter<V>;
}

}  // namespace
}  // namespace shortlist::kernels::filter
