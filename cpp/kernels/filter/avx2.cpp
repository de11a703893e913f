#include "kernels/avx2.h"

#include "kernels/filter/filter.h"

namespace shortlist::kernels::filter {
namespace {

struct V {
  using Isa = Avx2;
  using Ints = Isa::Ints;
  using Floats = Isa::Floats;
  static constexpr size_t kVectors = 8, kRows = 3, kColumns = 2;
  static constexpr size_t kFloatRows = 4, kFloatColumns = 2;

  static Floats larger(Floats a, Floats x) {
    return _mm256_max_ps(a, _mm256_andnot_ps(splat(-0.f), x));
  }
  static float top(Floats x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
  }
  static Floats splat(float x) { return _mm256_set1_ps(x); }
  static Floats mul(Floats x, Floats y) { return _mm256_mul_ps(x, y); }
  static Floats round(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT); }
  static void store(Floats whole, int8_t* out, size_t count = 8) {
    const __m256i wide = _mm256_cvtps_epi32(whole);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    const int64_t bytes = _mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    __builtin_memcpy(out, &bytes, count);
  }

  static Ints load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Ints splat(int32_t x) { return _mm256_set1_epi32(x); }
  static Ints splat(const int8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return splat(x);
  }
  static Ints dot(Ints acc, Ints codes, Ints word) {
    return Avx2::madd(_mm256_maddubs_epi16(codes, word), _mm256_set1_epi16(1), acc);
  }
  static Floats floats(Ints x) { return _mm256_cvtepi32_ps(x); }
  static uint64_t passing(Floats bound, float limit) {
    const Floats passes = _mm256_cmp_ps(bound, splat(limit), _CMP_NGT_UQ);
    return static_cast<uint32_t>(_mm256_movemask_ps(passes));
  }
};

}  // namespace

void add_avx2(Table& t) { add<V>(t); }

}  // namespace shortlist::kernels::filter
