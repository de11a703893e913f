// Distances of a query to rows of numbers, a unit of a row at a time.
//
// A body is made from a query, whose units lie where all lanes can read them. add(sum, u, unit)
// takes in a row's u-th unit, in any order; distance(sum, row) is what is told of the row. Smaller
// is nearer. Units past a row's end are zeros on both sides.
#pragma once

#include "host_device.h"

namespace shortlist::cuda {

enum class Measure { l2, ip };

// Four numbers of f32, or eight of a half type, which are widened; the query is f32. Fused
// multiply-adds in the order of the units.
struct F32 {
  static constexpr unsigned kNumbers = 4;
  SL_HD static float widened(const Unit& x, unsigned i) { return bits_as<float>(x.word[i]); }
};
struct F16 {
  static constexpr unsigned kNumbers = 8;
  SL_HD static float widened(const Unit& x, unsigned i) {
    return widen_f16(static_cast<uint16_t>(x.word[i / 2] >> 16 * (i % 2)));
  }
};
struct BF16 {
  static constexpr unsigned kNumbers = 8;
  SL_HD static float widened(const Unit& x, unsigned i) {
    return widen_bf16(static_cast<uint16_t>(x.word[i / 2] >> 16 * (i % 2)));
  }
};

template <class Type, Measure kMeasure>
struct Floats {
  using Sum = float;
  const float* query;  // kNumbers for each unit

  // Bytes of the query for a row of so many units.
  SL_HD static constexpr size_t query_bytes(size_t units) {
    return units * Type::kNumbers * sizeof(float);
  }
  // Of a row that becomes a query, the u-th unit.
  SL_HD static void ask_for(float* query, size_t u, const Unit& x) {
    SL_UNROLL
    for (unsigned i = 0; i < Type::kNumbers; ++i)
      query[u * Type::kNumbers + i] = Type::widened(x, i);
  }
  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    const float* q = query + u * Type::kNumbers;
    SL_UNROLL
    for (unsigned i = 0; i < Type::kNumbers; ++i) {
      const float value = Type::widened(x, i);
      if constexpr (kMeasure == Measure::l2) {
        const float apart = q[i] - value;
        sum = multiply_add(apart, apart, sum);
      } else {
        sum = multiply_add(q[i], value, sum);
      }
    }
  }
  SL_HD float distance(Sum sum, size_t) const { return kMeasure == Measure::l2 ? sum : -sum; }
};

// Bytes on both sides, exact in integers for up to 33,025 dimensions. Word is uint32_t or int32_t.
template <class Word, Measure kMeasure>
struct Bytes {
  using Sum = Word;
  const Unit* query;

  SL_HD static constexpr size_t query_bytes(size_t units) { return units * kUnitBytes; }
  SL_HD static void ask_for(Unit* query, size_t u, const Unit& x) { query[u] = x; }
  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    SL_UNROLL
    for (unsigned w = 0; w < 4; ++w) {
      const Word a = static_cast<Word>(query[u].word[w]), b = static_cast<Word>(x.word[w]);
      if constexpr (kMeasure == Measure::l2) {
        // |a|^2 + |b|^2 - 2 <a, b>, modulo 2^32 on the way
        const uint32_t cross = static_cast<uint32_t>(dot4(a, b, Word{0}));
        const Word squares = dot4(a, a, dot4(b, b, Word{0}));
        sum = static_cast<Word>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(squares) -
                                2 * cross);
      } else {
        sum = dot4(a, b, sum);
      }
    }
  }
  SL_HD float distance(Sum sum, size_t) const {
    const float value = static_cast<float>(sum);
    return kMeasure == Measure::l2 ? value : -value;
  }
};

}  // namespace shortlist::cuda
