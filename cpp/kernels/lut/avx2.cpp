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
  static void widen(const Sums& s, uint32_t* out, bool more) {
    widen(s.low_both, s.low_odd, out, more);
    widen(s.high_both, s.high_odd, out + 16, more);
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
  static void widen(__m256i both, __m256i odd, uint32_t* out, bool more) {
    const __m128i odds = over_lanes(odd);
    const __m128i evens = over_lanes(_mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8)));
    put(out, _mm_unpacklo_epi16(evens, odds), more);
    put(out + 8, _mm_unpackhi_epi16(evens, odds), more);
  }
  static void put(uint32_t* out, __m128i sums, bool more) {
    auto* p = reinterpret_cast<__m256i*>(out);
    const __m256i before = more ? _mm256_loadu_si256(p) : _mm256_setzero_si256();
    _mm256_storeu_si256(p, _mm256_add_epi32(before, _mm256_cvtepu16_epi32(sums)));
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
  t.lut32 = sums32<Avx2, 1>;
  t.lut32_small = sums32<Avx2, kOfSmall>;
  t.lut_tables = tables;
}

}  // namespace shortlist::kernels::lut
