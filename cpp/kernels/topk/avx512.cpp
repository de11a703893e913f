#include "kernels/avx512.h"

#include "kernels/topk/topk.h"

namespace shortlist::kernels::topk {
namespace {

struct Wide {
  static constexpr size_t kLanes = 16;

  static __mmask16 lanes(size_t n) {
    return n < kLanes ? static_cast<__mmask16>((1u << n) - 1) : static_cast<__mmask16>(0xffff);
  }
  static void range(const float* x, size_t n, float& least, float& most) {
    const __m512 first = _mm512_set1_ps(x[0]);
    __m512 low = first, high = first;
    for (size_t i = 0; i < n; i += kLanes) {
      const __m512 some = _mm512_mask_loadu_ps(first, lanes(n - i), x + i);
      low = _mm512_min_ps(low, some);
      high = _mm512_max_ps(high, some);
    }
    least = _mm512_reduce_min_ps(low);
    most = _mm512_reduce_max_ps(high);
  }
  static size_t count(const float* x, size_t n, float bound) {
    const __m512 most = _mm512_set1_ps(bound);
    size_t within = 0;
    for (size_t i = 0; i < n; i += kLanes)
      within += static_cast<size_t>(__builtin_popcount(near(x, i, n, most)));
    return within;
  }
  static size_t keep(float* x, uint32_t* beside, size_t n, float bound) {
    const __m512 most = _mm512_set1_ps(bound);
    size_t kept = 0;
    for (size_t i = 0; i < n; i += kLanes) {
      const __mmask16 there = lanes(n - i), wanted = near(x, i, n, most);
      put(_mm512_maskz_loadu_ps(there, x + i), _mm512_maskz_loadu_epi32(there, beside + i), wanted,
          x, beside, kept);
    }
    return kept;
  }
  // Of 16 those wanted, to place n, which moves on.
  static void put(__m512 distances, __m512i numbers, __mmask16 wanted, float* out, uint32_t* beside,
                  size_t& n) {
    const auto count = static_cast<size_t>(__builtin_popcount(wanted));
    const __mmask16 some = lanes(count);
    _mm512_mask_storeu_ps(out + n, some, _mm512_maskz_compress_ps(wanted, distances));
    _mm512_mask_storeu_epi32(beside + n, some, _mm512_maskz_compress_epi32(wanted, numbers));
    n += count;
  }

 private:
  static __mmask16 near(const float* x, size_t i, size_t n, __m512 most) {
    const __mmask16 there = lanes(n - i);
    return _mm512_mask_cmp_ps_mask(there, _mm512_maskz_loadu_ps(there, x + i), most, _CMP_LE_OQ);
  }
};

size_t take_marked(const float* distances, const uint32_t* masks, size_t blocks, uint32_t first,
                   float* out, uint32_t* beside) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t n = 0;
  for (size_t i = 0; i < blocks; ++i) {
    if (!masks[i]) continue;
    for (uint32_t half = 0; half < 2; ++half) {
      const auto at = static_cast<uint32_t>(32 * i) + 16 * half;
      Wide::put(_mm512_loadu_ps(distances + at),
                _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first + at))),
                static_cast<__mmask16>(masks[i] >> 16 * half), out, beside, n);
    }
  }
  return n;
}

}  // namespace

void add_avx512(Table& t) {
  t.keep_nearest = keep_nearest<Wide>;
  t.take_marked = take_marked;
}

}  // namespace shortlist::kernels::topk
