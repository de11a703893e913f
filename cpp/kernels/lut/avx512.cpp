#include "kernels/avx512.h"

#include "kernels/lut/lut.h"

namespace shortlist::kernels::lut {
namespace {

struct Wide {
  static constexpr size_t kGroups = 4;
  struct Sums {  // as in avx2.cpp
    __m512i low_both, low_odd, high_both, high_odd;
  };

  struct Found {
    __m512i low, high;
  };

  static Found find(const uint8_t* codes, const uint8_t* table) {
    return look_up(_mm512_loadu_si512(codes), _mm512_loadu_si512(table));
  }
  static Found find(const uint8_t* codes, const uint8_t* table, size_t groups) {
    const auto words = static_cast<__mmask8>((1u << 2 * groups) - 1);  // absent entries are 0
    return look_up(_mm512_maskz_loadu_epi64(words, codes), _mm512_maskz_loadu_epi64(words, table));
  }
  static Found plus(const Found& x, const Found& y) {
    return {_mm512_add_epi8(x.low, y.low), _mm512_add_epi8(x.high, y.high)};
  }
  static void add(Sums& s, const Found& found) {
    s.low_both = _mm512_add_epi16(s.low_both, found.low);
    s.low_odd = _mm512_add_epi16(s.low_odd, _mm512_srli_epi16(found.low, 8));
    s.high_both = _mm512_add_epi16(s.high_both, found.high);
    s.high_odd = _mm512_add_epi16(s.high_odd, _mm512_srli_epi16(found.high, 8));
  }
  struct Totals {
    __m512i low, high;
  };
  static void widen(const Sums& s, Totals& t) {
    // The four lanes of each, added: even and odd vectors of the low half, then of the high one.
    const __m512i low = halved(even(s.low_both, s.low_odd), s.low_odd);
    const __m512i high = halved(even(s.high_both, s.high_odd), s.high_odd);
    const __m512i lanes = _mm512_add_epi16(_mm512_shuffle_i64x2(low, high, 0x88),
                                           _mm512_shuffle_i64x2(low, high, 0xdd));
    alignas(64) static constexpr uint16_t kInOrder[32] = {
        0,  8,  1,  9,  2,  10, 3,  11, 4,  12, 5,  13, 6,  14, 7,  15,
        16, 24, 17, 25, 18, 26, 19, 27, 20, 28, 21, 29, 22, 30, 23, 31};
    const __m512i sums = _mm512_permutexvar_epi16(_mm512_load_si512(kInOrder), lanes);
    t.low = _mm512_add_epi32(t.low, _mm512_cvtepu16_epi32(_mm512_castsi512_si256(sums)));
    t.high = _mm512_add_epi32(t.high, _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(sums, 1)));
  }
  static void store(const Totals& t, uint32_t* out) {
    _mm512_storeu_si512(out, t.low);
    _mm512_storeu_si512(out + 16, t.high);
  }

  struct Terms {
    Terms(const EstimateTerms& t, float most)
        : near(_mm512_set1_ps(t.near)),
          offset(_mm512_set1_ps(t.offset)),
          step(_mm512_set1_ps(t.step)),
          limit(_mm512_set1_ps(most)) {}
    __m512 near, offset, step, limit;
  };
  template <bool kFactors, bool kKeep>
  static uint32_t below(const Totals& totals, const Terms& t, const uint16_t* factors, float* out) {
    const __m512i sums[2] = {totals.low, totals.high};
    uint32_t below = 0;
#pragma GCC unroll 2
    for (size_t h = 0; h < 2; ++h) {
      __m512 x = _mm512_fmadd_ps(t.step, _mm512_cvtepi32_ps(sums[h]), t.offset);
      if constexpr (kFactors)
        x = _mm512_fmadd_ps(halves(factors + 32 + 16 * h), x,
                            _mm512_add_ps(t.near, halves(factors + 16 * h)));
      else
        x = _mm512_add_ps(t.near, x);
      if constexpr (kKeep) _mm512_storeu_ps(out + 16 * h, x);
      below |= uint32_t{_mm512_cmp_ps_mask(x, t.limit, _CMP_LT_OQ)} << 16 * h;
    }
    return below;
  }

 private:
  static Found look_up(__m512i codes, __m512i table) {
    const __m512i nibble = _mm512_set1_epi8(15);
    return {_mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble)),
            _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble))};
  }
  static __m512i even(__m512i both, __m512i odd) {
    return _mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8));
  }
  // Lanes 0 and 1 are half of x's sum each, 2 and 3 of y's.
  static __m512i halved(__m512i x, __m512i y) {
    return _mm512_add_epi16(_mm512_shuffle_i64x2(x, y, 0x44), _mm512_shuffle_i64x2(x, y, 0xee));
  }
  static __m512 halves(const uint16_t* x) {
    const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(some), 16));
  }
};

}  // namespace

void add_avx512(Table& t) {
  t.lut32 = lut32<Wide>;
  t.estimate = estimate<Wide, 1>;
  t.estimate_small = estimate<Wide, kOfSmall>;
}

}  // namespace shortlist::kernels::lut
