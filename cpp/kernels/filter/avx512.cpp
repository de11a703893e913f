#include "kernels/avx512.h"

#include "kernels/filter/filter.h"

namespace shortlist::kernels::filter {
namespace {

struct V {
  using Isa = Avx512;
  using Ints = Isa::Ints;
  using Floats = Isa::Floats;
  static constexpr size_t kVectors = 4, kRows = 4, kColumns = 4;
  static constexpr size_t kFloatRows = 4, kFloatColumns = 4;

  static Floats larger(Floats a, Floats x) { return _mm512_max_ps(a, _mm512_abs_ps(x)); }
  static float top(Floats x) { return _mm512_reduce_max_ps(x); }
  static Floats splat(float x) { return _mm512_set1_ps(x); }
  static Floats mul(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
  static Floats round(Floats x) { return _mm512_roundscale_ps(x, 0); }
  static void store(Floats whole, int8_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(whole)));
  }
  static void store(Floats whole, int8_t* out, size_t count) {
    const auto lanes = static_cast<__mmask16>((1u << count) - 1);
    _mm512_mask_cvtepi32_storeu_epi8(out, lanes, _mm512_cvtps_epi32(whole));
  }

  static Ints load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Ints splat(int32_t x) { return _mm512_set1_epi32(x); }
  static Ints splat(const int8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return splat(x);
  }
  static Ints dot(Ints acc, Ints codes, Ints word) { return _mm512_dpbusd_epi32(acc, codes, word); }
  static Floats floats(Ints x) { return _mm512_cvtepi32_ps(x); }
  static uint64_t passing(Floats bound, float limit) {
    return _mm512_cmp_ps_mask(bound, splat(limit), _CMP_NGT_UQ);
  }
};

}  // namespace

void add_avx512(Table& t) { add<V>(t); }

}  // namespace shortlist::kernels::filter
