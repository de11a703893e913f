// Dot products of all pairs of rows, over the vectors V of one ISA: a register tile of NA x NB
// sums, which NA + NB loads feed with NA * NB multiply-adds, so that nothing has to be packed.
// V offers, besides what kernels/rows.h lists: Shorts of kShorts lanes, load(const int16_t*[,
// count]), madd(Shorts, Shorts, Ints acc), and kFloatTile, kShortTile, the NA that keep the tile
// in registers.
#pragma once

#include "kernels/rows.h"

namespace shortlist::kernels::gemm {
namespace {

template <class Isa>
struct Floats {
  using V = Isa;
  using Value = float;
  using Sum = float;
  using Acc = typename V::Floats;
  static constexpr size_t kLanes = V::kFloats, kRows = V::kFloatTile;
  static Acc step(Acc acc, typename V::Floats x, typename V::Floats y) { return V::fma(x, y, acc); }
};

template <class Isa>
struct Shorts {
  using V = Isa;
  using Value = int16_t;
  using Sum = int32_t;
  using Acc = typename V::Ints;
  static constexpr size_t kLanes = V::kShorts, kRows = V::kShortTile;
  static Acc step(Acc acc, typename V::Shorts x, typename V::Shorts y) {
    return V::madd(x, y, acc);
  }
};

template <class T, size_t NA, size_t NB>
void tile(const typename T::Value* a, size_t lda, const typename T::Value* b, size_t ldb, size_t d,
          typename T::Sum* out, size_t ldo) {
  using V = typename T::V;
  typename T::Acc acc[NA][NB];
#pragma GCC unroll 8
  for (size_t i = 0; i < NA; ++i)
#pragma GCC unroll 8
    for (size_t j = 0; j < NB; ++j) V::zero(acc[i][j]);
  const auto step = [&](size_t t, auto... count) {
    decltype(V::load(a)) x[NA];
#pragma GCC unroll 8
    for (size_t i = 0; i < NA; ++i) x[i] = V::load(a + i * lda + t, count...);
#pragma GCC unroll 8
    for (size_t j = 0; j < NB; ++j) {
      const auto y = V::load(b + j * ldb + t, count...);
#pragma GCC unroll 8
      for (size_t i = 0; i < NA; ++i) acc[i][j] = T::step(acc[i][j], x[i], y);
    }
  };
  size_t t = 0;
  for (; t + T::kLanes <= d; t += T::kLanes) step(t);
  if (t < d) step(t, d - t);
#pragma GCC unroll 8
  for (size_t i = 0; i < NA; ++i) {
    if constexpr (NB == 4)
      V::sum4(acc[i], out + i * ldo);
    else
#pragma GCC unroll 8
      for (size_t j = 0; j < NB; ++j) out[i * ldo + j] = V::sum(acc[i][j]);
  }
}

template <class T, size_t NA>
void strip(const typename T::Value* a, size_t lda, const typename T::Value* b, size_t ldb,
           size_t nb, size_t d, typename T::Sum* out, size_t ldo) {
  size_t j = 0;
  for (; j + 4 <= nb; j += 4) tile<T, NA, 4>(a, lda, b + j * ldb, ldb, d, out + j, ldo);
  for (; j < nb; ++j) tile<T, NA, 1>(a, lda, b + j * ldb, ldb, d, out + j, ldo);
}

template <class T>
void dot(const typename T::Value* a, size_t lda, size_t na, const typename T::Value* b, size_t ldb,
         size_t nb, size_t d, typename T::Sum* out, size_t ldo) {
  constexpr size_t kRows = T::kRows;
  size_t i = 0;
  for (; i + kRows <= na; i += kRows)
    strip<T, kRows>(a + i * lda, lda, b, ldb, nb, d, out + i * ldo, ldo);
  for (; i < na; ++i) strip<T, 1>(a + i * lda, lda, b, ldb, nb, d, out + i * ldo, ldo);
}

template <class V>
void add(Table& t) {
  t.dot_f32 = dot<Floats<V>>;
  t.dot_s16 = dot<Shorts<V>>;
}

}  // namespace
}  // namespace shortlist::kernels::gemm
