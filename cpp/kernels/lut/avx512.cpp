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
  static void widen(const Sums& s, uint32_t* out, bool more) {
    widen(s.low_both, s.low_odd, out, more);
    widen(s.high_both, s.high_odd, out + 16, more);
  }

 private:
  static Found look_up(__m512i codes, __m512i table) {
    const __m512i nibble = _mm512_set1_epi8(15);
    return {_mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble)),
            _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble))};
  }
  static __m128i over_lanes(__m512i x) {
    const __m256i half =
        _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static void widen(__m512i both, __m512i odd, uint32_t* out, bool more) {
    const __m128i odds = over_lanes(odd);
    const __m128i evens = over_lanes(_mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8)));
    const __m256i sums =
        _mm256_set_m128i(_mm_unpackhi_epi16(evens, odds), _mm_unpacklo_epi16(evens, odds));
    const __m512i before = more ? _mm512_loadu_si512(out) : _mm512_setzero_si512();
    _mm512_storeu_si512(out, _mm512_add_epi32(before, _mm512_cvtepu16_epi32(sums)));
  }
};

}  // namespace

void add_avx512(Table& t) {
  t.lut32 = sums32<Wide, 1>;
  t.lut32_small = sums32<Wide, kOfSmall>;
}

}  // namespace shortlist::kernels::lut
