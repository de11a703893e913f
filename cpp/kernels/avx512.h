// AVX-512 F, BW, VL, DQ and VNNI vectors for the shared loops; kernels/rows.h says what each name
// means. Parts of a vector are masked loads, which neither read nor fault past the part.
#pragma once

// GCC's headers leave the lanes that no mask selects undefined, and then warn of it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "kernels/avx2.h"

namespace shortlist::kernels {
namespace {

struct Avx512 {
  using Floats = __m512;
  using Ints = __m512i;
  using Bytes = __m512i;
  using Shorts = __m512i;
  static constexpr size_t kFloats = 16, kBytes = 64, kShorts = 32;
  static constexpr size_t kFloatTile = 4, kShortTile = 4;

  static Floats all(float x) { return _mm512_set1_ps(x); }
  static void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  static void zero(Floats& x) { x = _mm512_setzero_ps(); }
  static void zero(Ints& x) { x = _mm512_setzero_si512(); }
  static Floats add(Floats x, Floats y) { return _mm512_add_ps(x, y); }
  static Ints add(Ints x, Ints y) { return _mm512_add_epi32(x, y); }
  static Floats sub(Floats x, Floats y) { return _mm512_sub_ps(x, y); }
  static Ints sub(Ints x, Ints y) { return _mm512_sub_epi32(x, y); }
  static Floats fma(Floats x, Floats y, Floats acc) { return _mm512_fmadd_ps(x, y, acc); }
  static Floats fnma(Floats x, Floats y, Floats acc) { return _mm512_fnmadd_ps(x, y, acc); }
  static Ints madd(Shorts x, Shorts y, Ints acc) { return _mm512_dpwssd_epi32(acc, x, y); }

  static uint64_t first(size_t count) { return (uint64_t{1} << count) - 1; }  // count < 64
  static __mmask16 first16(size_t count) { return static_cast<__mmask16>(first(count)); }

  static Bytes bytes(const std::byte* p) { return _mm512_loadu_si512(p); }
  static Bytes bytes(const std::byte* p, size_t count) {
    return _mm512_maskz_loadu_epi8(first(count), p);
  }
  static Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static Floats load(const float* p, size_t count) {
    return _mm512_maskz_loadu_ps(first16(count), p);
  }
  static Shorts load(const int16_t* p) { return _mm512_loadu_si512(p); }
  static Shorts load(const int16_t* p, size_t count) {
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(first(count)), p);
  }

  static Avx2::Floats halved(Floats v) {
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  }
  static Avx2::Ints halved(Ints v) {
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  }
  static float sum(Floats v) { return Avx2::sum(halved(v)); }
  static int32_t sum(Ints v) { return Avx2::sum(halved(v)); }
  static void sum4(const Floats (&v)[4], float* out) {
    Avx2::sum4({halved(v[0]), halved(v[1]), halved(v[2]), halved(v[3])}, out);
  }
  template <class T>
  static void sum4(const Ints (&v)[4], T* out) {
    Avx2::sum4({halved(v[0]), halved(v[1]), halved(v[2]), halved(v[3])}, out);
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
      return _mm512_cvtph_ps(Avx2::bytes(row + 2 * i));
    }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first16(count), row + 2 * i));
    }
  };

  // Bytes are widened to s16 as even and odd lanes, which needs no shuffle.
  struct U8 {
    static constexpr size_t kSize = 1;
    static Floats floats(const std::byte* row, size_t i) { return widen(Avx2::bytes16(row + i)); }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return widen(_mm_maskz_loadu_epi8(first16(count), row + i));
    }
    static Ints squares(Ints acc, Bytes q, Bytes x) {
      const Shorts even_delta = _mm512_sub_epi16(even(q), even(x));
      const Shorts odd_delta = _mm512_sub_epi16(odd(q), odd(x));
      return madd(odd_delta, odd_delta, madd(even_delta, even_delta, acc));
    }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      return madd(odd(q), odd(x), madd(even(q), even(x), acc));
    }

   private:
    static Floats widen(__m128i x) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)); }
    static Shorts even(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi16(0xff)); }
    static Shorts odd(Bytes x) { return _mm512_srli_epi16(x, 8); }
  };
  struct I8 {
    static constexpr size_t kSize = 1;
    static Floats floats(const std::byte* row, size_t i) { return widen(Avx2::bytes16(row + i)); }
    static Floats floats(const std::byte* row, size_t i, size_t count) {
      return widen(_mm_maskz_loadu_epi8(first16(count), row + i));
    }
    // Flipping the sign bit adds 128 to both sides.
    static Ints squares(Ints acc, Bytes q, Bytes x) { return U8::squares(acc, flip(q), flip(x)); }
    static Ints products(Ints acc, Bytes q, Bytes x) {
      return madd(odd(q), odd(x), madd(even(q), even(x), acc));
    }

   private:
    static Floats widen(__m128i x) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)); }
    static Bytes flip(Bytes x) { return _mm512_xor_si512(x, _mm512_set1_epi8(-128)); }
    static Shorts even(Bytes x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
    static Shorts odd(Bytes x) { return _mm512_srai_epi16(x, 8); }
  };
};

}  // namespace
}  // namespace shortlist::kernels
