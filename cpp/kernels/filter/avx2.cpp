#include "kernels/avx2.h"

#include "kernels/filter/filter.h"

namespace shortlist::kernels::filter {
namespace {

struct V {
  using Ints = __m256i;
  using Floats = __m256;
  static constexpr size_t kVectors = 8, kColumns = 2, kRows = 3;

  static Ints load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Floats floats(const float* p) { return _mm256_loadu_ps(p); }
  static Ints splat(int32_t x) { return _mm256_set1_epi32(x); }
  static Ints splat(const int8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return splat(x);
  }
  static Ints dot(Ints acc, Ints codes, Ints word) {
    return Avx2::madd(_mm256_maddubs_epi16(codes, word), _mm256_set1_epi16(1), acc);
  }
  static uint64_t passing(Ints acc, const FilterRow& row, Floats scale, Floats bias, Floats error) {
    const Floats product = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(acc));
    Floats bound = _mm256_fnmadd_ps(_mm256_set1_ps(row.size), error, bias);
    bound = _mm256_fnmadd_ps(_mm256_set1_ps(row.scale), product, bound);
    const Floats passes = _mm256_cmp_ps(bound, _mm256_set1_ps(row.limit), _CMP_NGT_UQ);
    return static_cast<uint32_t>(_mm256_movemask_ps(passes));
  }
};

}  // namespace

void add_avx2(Table& t) { add<V>(t); }

}  // namespace shortlist::kernels::filter
