// This file needs VPOPCNTDQ beyond what its level has; dispatch.cpp asks for it.
#include "kernels/avx512.h"

#include "kernels/hamming/hamming.h"

namespace shortlist::kernels::hamming {
namespace {

struct Counting : Avx512 {
  static Bytes differing(Bytes x, Bytes y) { return _mm512_xor_si512(x, y); }
  static Bytes common(Bytes x, Bytes y) { return _mm512_and_si512(x, y); }
  static Ints ones(Bytes x) { return _mm512_popcnt_epi64(x); }
};

// For rows that leave half of a vector empty.
struct HalfCounting : Avx2 {
  static Bytes bytes(const std::byte* p) { return Avx2::bytes(p); }
  static Bytes bytes(const std::byte* p, size_t count) {
    return _mm256_maskz_loadu_epi8(static_cast<__mmask32>(Avx512::first(count)), p);
  }
  static Bytes differing(Bytes x, Bytes y) { return _mm256_xor_si256(x, y); }
  static Ints ones(Bytes x) { return _mm256_popcnt_epi64(x); }
};

void rows(const void* query, const std::byte* base, size_t stride, const uint32_t* listed, size_t n,
          size_t d, float* out) {
  const auto run =
      d <= HalfCounting::kBytes ? over_rows<Bits<HalfCounting>> : over_rows<Bits<Counting>>;
  run(query, base, stride, listed, n, d, out);
}

using Counts = __m512i;

// Word v of a 128-bit lane of the result is the sum of that lane of a[v], whose 64-bit counts are
// below 2^15.
Counts fold(const Counts (&a)[8]) {
  const auto four = [](Counts x, Counts y, Counts z, Counts w) {
    const Counts xy = _mm512_mask_shuffle_epi32(x, 0xaaaa, y, _MM_PERM_CCAA);
    const Counts zw = _mm512_mask_shuffle_epi32(z, 0xaaaa, w, _MM_PERM_CCAA);
    return _mm512_packus_epi32(xy, zw);  // x y x y z w z w
  };
  const __m512 low = _mm512_castsi512_ps(four(a[0], a[1], a[2], a[3]));
  const __m512 high = _mm512_castsi512_ps(four(a[4], a[5], a[6], a[7]));
  return _mm512_add_epi16(_mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88)),
                          _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xdd)));
}

__m128i lanes_added(Counts x) {
  const __m256i half = _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

int16_t word_of(uint32_t limit) { return static_cast<int16_t>(limit < 0xffff ? limit : 0xffff); }

// Rows of `kVectors` vectors, the last of which `last` masks: eight at a time.
template <size_t kVectors>
struct LongRows {
  static constexpr size_t kTogether = 8;

  LongRows(const std::byte* query, size_t row_bytes, uint32_t most)
      : bytes(row_bytes),
        last(row_bytes % 64 ? Counting::first(row_bytes % 64) : ~uint64_t{0}),
        limit(_mm_set1_epi16(word_of(most))) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) q[i] = part(query, i);
  }
  __m512i part(const std::byte* row, size_t i) const {
    return i + 1 < kVectors ? _mm512_loadu_si512(row + 64 * i)
                            : _mm512_maskz_loadu_epi8(last, row + 64 * i);
  }
  Counts differing(const std::byte* row) const {
    Counts sum = Counting::ones(_mm512_xor_si512(q[0], part(row, 0)));
#pragma GCC unroll 4
    for (size_t i = 1; i < kVectors; ++i)
      sum = _mm512_add_epi64(sum, Counting::ones(_mm512_xor_si512(q[i], part(row, i))));
    return sum;
  }
  uint64_t near(const std::byte* rows) const {
    const Counts counts[8] = {differing(rows),
                              differing(rows + bytes),
                              differing(rows + 2 * bytes),
                              differing(rows + 3 * bytes),
                              differing(rows + 4 * bytes),
                              differing(rows + 5 * bytes),
                              differing(rows + 6 * bytes),
                              differing(rows + 7 * bytes)};
    return _mm_cmplt_epu16_mask(lanes_added(fold(counts)), limit);
  }

  const size_t bytes;
  const __mmask64 last;
  const __m128i limit;
  __m512i q[kVectors];
};

// Rows of 16 or 32 bytes, several to a vector.
template <size_t kBytes>
struct ShortRows {
  static constexpr size_t kPerVector = 64 / kBytes, kTogether = 8 * kPerVector;

  ShortRows(const std::byte* query, size_t, uint32_t most)
      : limit(_mm512_set1_epi16(word_of(most))) {
    if constexpr (kBytes == 16)
      q = _mm512_broadcast_i32x4(Avx2::bytes16(query));
    else
      q = _mm512_broadcast_i64x4(Avx2::bytes(query));
  }
  Counts differing(const std::byte* rows) const {
    return Counting::ones(_mm512_xor_si512(q, _mm512_loadu_si512(rows)));
  }
  uint64_t near(const std::byte* rows) const {
    const Counts counts[8] = {differing(rows),       differing(rows + 64),  differing(rows + 128),
                              differing(rows + 192), differing(rows + 256), differing(rows + 320),
                              differing(rows + 384), differing(rows + 448)};
    Counts sums = fold(counts);
    if constexpr (kBytes == 32)
      sums = _mm512_add_epi16(sums, _mm512_shuffle_i64x2(sums, sums, 0xb1));
    uint64_t near = 0;
    // Word v of lane l is of row l of those that vector v holds.
    for (uint32_t below = _mm512_cmplt_epu16_mask(sums, limit); below; below &= below - 1) {
      const auto at = static_cast<size_t>(__builtin_ctz(below));
      near |= uint64_t{1} << (at % 8 * kPerVector + at / 8 * kPerVector / 4);
    }
    return near;
  }

  const __m512i limit;
  __m512i q;
};

void near_bits(const std::byte* query, const std::byte* base, size_t n, size_t bytes,
               uint32_t limit, uint64_t* out) {
  if (bytes == 16) return near_rows<Counting, ShortRows<16>>(query, base, n, bytes, limit, out);
  if (bytes == 32) return near_rows<Counting, ShortRows<32>>(query, base, n, bytes, limit, out);
  if (bytes <= 64) return near_rows<Counting, LongRows<1>>(query, base, n, bytes, limit, out);
  if (bytes <= 128) return near_rows<Counting, LongRows<2>>(query, base, n, bytes, limit, out);
  near_any<Counting>(query, base, n, bytes, limit, out);
}

}  // namespace

void add_avx512(Table& t) {
  t.rows[kernels::hamming_bits] = rows;
  t.near_bits = near_bits;
  t.bit_planes = bit_planes<Counting>;
}

}  // namespace shortlist::kernels::hamming
