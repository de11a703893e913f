#include "kernels/lut/lut.h"

#include <immintrin.h>

namespace shortlist::kernels::lut {
namespace {

struct Avx2 {
  static constexpr size_t kGroups = 2;
  // Entries are added as u16 pairs of bytes, `both`; the odd bytes alone, `odd`, tell afterwards
  // what they added to the even ones' sums. Vectors 0..15 are low, 16..31 high.
  struct Sums {
    __m256i low_both, low_odd, high_both, high_odd;
  };

  struct Found {
    __m256i low, high;
  };

  static Found find(const uint8_t* codes, const uint8_t* table) {
    return look_up(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)),
                   _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table)));
  }
  static Found find(const uint8_t* codes, const uint8_t* table, size_t /*one*/) {
    return look_up(
        _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))),
        _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))));
  }
  static Found plus(const Found& x, const Found& y) {
    return {_mm256_add_epi8(x.low, y.low), _mm256_add_epi8(x.high, y.high)};
  }
  static void add(Sums& s, const Found& found) {
    s.low_both = _mm256_add_epi16(s.low_both, found.low);
    s.low_odd = _mm256_add_epi16(s.low_odd, _mm256_srli_epi16(found.low, 8));
    s.high_both = _mm256_add_epi16(s.high_both, found.high);
    s.high_odd = _mm256_add_epi16(s.high_odd, _mm256_srli_epi16(found.high, 8));
  }
  struct Totals {
    __m256i eight[4];
  };
  static void widen(const Sums& s, Totals& t) {
    widen(s.low_both, s.low_odd, t.eight);
    widen(s.high_both, s.high_odd, t.eight + 2);
  }
  static void store(const Totals& t, uint32_t* out) {
    for (size_t i = 0; i < 4; ++i)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * i), t.eight[i]);
  }

  struct Terms {
    Terms(const EstimateTerms& t, float most)
        : near(_mm256_set1_ps(t.near)),
          offset(_mm256_set1_ps(t.offset)),
          step(_mm256_set1_ps(t.step)),
          limit(_mm256_set1_ps(most)) {}
    __m256 near, offset, step, limit;
  };
  template <bool kFactors, bool kKeep>
  static uint32_t below(const Totals& totals, const Terms& t, const uint16_t* factors, float* out) {
    uint32_t below = 0;
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      __m256 x = _mm256_fmadd_ps(t.step, _mm256_cvtepi32_ps(totals.eight[i]), t.offset);
      if constexpr (kFactors)
        x = _mm256_fmadd_ps(halves(factors + 32 + 8 * i), x,
                            _mm256_add_ps(t.near, halves(factors + 8 * i)));
      else
        x = _mm256_add_ps(t.near, x);
      if constexpr (kKeep) _mm256_storeu_ps(out + 8 * i, x);
      const int part = _mm256_movemask_ps(_mm256_cmp_ps(x, t.limit, _CMP_LT_OQ));
      below |= static_cast<uint32_t>(part) << 8 * i;
    }
    return below;
  }

 private:
  static Found look_up(__m256i codes, __m256i table) {
    const __m256i nibble = _mm256_set1_epi8(15);
    return {_mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble)),
            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble))};
  }
  static __m128i over_lanes(__m256i x) {
    return _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }
  static void widen(__m256i both, __m256i odd, __m256i* totals) {
    const __m128i odds = over_lanes(odd);
    const __m128i evens = over_lanes(_mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8)));
    const auto put = [&](size_t i, __m128i sums) {
      totals[i] = _mm256_add_epi32(totals[i], _mm256_cvtepu16_epi32(sums));
    };
    put(0, _mm_unpacklo_epi16(evens, odds));
    put(1, _mm_unpackhi_epi16(evens, odds));
  }
  static __m256 halves(const uint16_t* x) {
    const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(some), 16));
  }
};

void tables(const float* q, float scale, size_t groups, uint8_t* table) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256 bit0 = _mm256_setr_ps(0, 1, 0, 1, 0, 1, 0, 1);
  const __m256 bit1 = _mm256_setr_ps(0, 0, 1, 1, 0, 0, 1, 1);
  const __m256 bit2 = _mm256_setr_ps(0, 0, 0, 0, 1, 1, 1, 1);
  for (size_t g = 0; g < groups; ++g, q += 4, table += 16) {
    const auto value = [&](size_t i) {
      return _mm256_mul_ps(_mm256_broadcast_ss(q + i), _mm256_set1_ps(scale));
    };
    const auto least = [&](__m256 x, __m256 y) {
      return _mm256_add_ps(_mm256_min_ps(x, zero), _mm256_min_ps(y, zero));
    };
    const __m256 a = value(0), b = value(1), c = value(2), d = value(3);
    __m256 sums = _mm256_sub_ps(zero, _mm256_add_ps(least(a, c), least(b, d)));
    // Products with 0 and 1 are exact, and leave the rounding of a sum.
    sums = _mm256_fmadd_ps(a, bit0, sums);
    sums = _mm256_fmadd_ps(b, bit1, sums);
    sums = _mm256_fmadd_ps(c, bit2, sums);
    const __m256i low = _mm256_cvtps_epi32(sums);
    const __m256i high = _mm256_cvtps_epi32(_mm256_add_ps(sums, d));
    const __m256i all = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(table),
        _mm_packus_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
  }
}

}  // namespace

void add_avx2(Table& t) {
  t.lut32 = lut32<Avx2>;
  t.estimate = estimate<Avx2, 1>;
  t.estimate_small = estimate<Avx2, kOfSmall>;
  t.lut_tables = tables;
}

}  // namespace shortlist::kernels::lut
