#include "kernels/avx512.h"

#include "kernels/filter/filter.h"

namespace shortlist::kernels::filter {
namespace {

struct V {
  using Ints = __m512i;
  using Floats = __m512;
  static constexpr size_t kVectors = 4, kColumns = 4, kRows = 4;

  static Ints load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Floats floats(const float* p) { return _mm512_loadu_ps(p); }
  static Ints splat(int32_t x) { return _mm512_set1_epi32(x); }
  static Ints splat(const int8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return splat(x);
  }
  static Ints dot(Ints acc, Ints codes, Ints word) { return _mm512_dpbusd_epi32(acc, codes, word); }
  static uint64_t passing(Ints acc, const FilterRow& row, Floats scale, Floats bias, Floats error) {
    const Floats product = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(acc));
    Floats bound = _mm512_fnmadd_ps(_mm512_set1_ps(row.size), error, bias);
    bound = _mm512_fnmadd_ps(_mm512_set1_ps(row.scale), product, bound);
    return _mm512_cmp_ps_mask(bound, _mm512_set1_ps(row.limit), _CMP_NGT_UQ);
  }
};

}  // namespace

void add_avx512(Table& t) { add<V>(t); }

}  // namespace shortlist::kernels::filter
