// AVX2 + FMA + F16C vectors for the shared loops; kernels/rows.h says what each name means.
#pragma once

#include <immintrin.h>

#include "kernels/rows.h"

namespace shortlist::kernels {
namespace {

struct Avx2 {
  using Floats = __m256;
  using Ints = __m256i;
  using Bytes = __m256i;
  using Shorts = __m256i;
  static constexpr size_t kFloats = 8, kBytes = 32, kShorts = 16;
  static constexpr size_t kFloatTile = 3, kShortTile = 2;

  static Floats all(float x) { return _mm256_set1_ps(x); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static void zero(Floats& x) { x = _mm256_setzero_ps(); }
  static void zero(Ints& x) { x = _mm256_setzero_si256(); }
  static Floats add(Floats x, Floats y) { return _mm256_add_ps(x, y); }
  static Ints add(Ints x, Ints y) { return _mm256_add_epi32(x, y); }
  static Floats sub(Floats x, Floats y) { return _mm256_sub_ps(x, y); }
  static Ints sub(Ints x, Ints y) { return _mm256_sub_epi32(x, y); }
  static Floats fma(Floats x, Floats y, Floats acc) { return _mm256_fmadd_ps(x, y, acc); }
  static Floats fnma(Floats x, Floats y, Floats acc) { return _mm256_fnmadd_ps(x, y, acc); }
  static Ints madd(Shorts x, Shorts y, Ints acc) { return add(acc, _mm256_madd_epi16(x, y)); }

  static __m128i bytes16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static __m128i bytes16(const std::byte* p, size_t count) {
    const Part some = part(p, count);
    return _mm_set_epi64x(static_cast<int64_t>(some.high), static_cast<int64_t>(some.low));
  }
  static Bytes bytes(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Bytes bytes(const std::byte* p, size_t count) {
    if (count < 16) return _mm256_zextsi128_si256(bytes16(p, count));
    return _mm256_set_m128i(bytes16(p + 16, count - 16), bytes16(p));
  }
  static Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static Floats load(const float* p, size_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i end = _mm256_set1_epi32(static_cast<int>(count));
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(end, lanes));
  }
  static Shorts load(const int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Shorts load(const int16_t* p, size_t count) {
    return bytes(reinterpret_cast<const std::byte*>(p), 2 * count);
  }

  static float sum(Floats v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static int32_t sum(Ints v) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
  }
  static void sum4(const Floats (&v)[4], float* out) {
    const __m256 x = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
  }
  static __m128i sum4(const Ints (&v)[4]) {
    const __m256i x =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }
  static void sum4(const Ints (&v)[4], float* out) { _mm_storeu_ps(out, _mm_cvtepi32_ps(sum4(v))); }
  static void sum4(const Ints (&v)[4], int32_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sum4(v));
  }

  struct F32 {
    static constexpr size_t kSize = 4;
    template <class... Count>
    static Floats floats(const std::byte* row, size_t i, Count... count) {
      return load(reinterpret_cast<const float*>(row) + i, count...);
    }
  };
  struct F16 {
    static constexpr size_t kSize = 2;
    static Floats floats(const std::byte* row, size_t i) {
      return _mm256_cvtph_ps(bytes16(row + 2 * i));
    }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return _mm256_cvtph_ps(bytes16(row + 2 * i, 2 * count));
    }
  };

  // Bytes are widened to s16 as even and odd lanes, which needs no shuffle, and multiplied and
  // added pairwise.
  struct U8 {
    static constexpr size_t kSize = 1;
    static Floats floats(const std::byte* row, size_t i) {
      return widen(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i)));
    }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return widen(bytes16(row + i, count));
    }
    static Ints squares(Ints acc, Bytes q, Bytes x) {
      const Shorts even_delta = _mm256_sub_epi16(even(q), even(x));
      const Shorts odd_delta = _mm256_sub_epi16(odd(q), odd(x));
      return madd(odd_delta, odd_delta, madd(even_delta, even_delta, acc));
    }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      return madd(odd(q), odd(x), madd(even(q), even(x), acc));
    }

   private:
    static Floats widen(__m128i x) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)); }
    static Shorts even(Bytes x) { return _mm256_and_si256(x, _mm256_set1_epi16(0xff)); }
    static Shorts odd(Bytes x) { return _mm256_srli_epi16(x, 8); }
  };
  struct I8 {
    static constexpr size_t kSize = 1;
    static Floats floats(const std::byte* row, size_t i) {
      return widen(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i)));
    }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return widen(bytes16(row + i, count));
    }
    // Flipping the sign bit adds 128 to both sides.
    static Ints squares(Ints acc, Bytes q, Bytes x) { return U8::squares(acc, flip(q), flip(x)); }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      return madd(odd(q), odd(x), madd(even(q), even(x), acc));
    }

   private:
    static Floats widen(__m128i x) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)); }
    static Bytes flip(Bytes x) { return _mm256_xor_si256(x, _mm256_set1_epi8(-128)); }
    static Shorts even(Bytes x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
    static Shorts odd(Bytes x) { return _mm256_srai_epi16(x, 8); }
  };
};

}  // namespace
}  // namespace shortlist::kernels
