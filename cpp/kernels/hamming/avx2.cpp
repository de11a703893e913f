#include "kernels/avx2.h"

#include "kernels/hamming/hamming.h"

namespace shortlist::kernels::hamming {
namespace {

using Vector = __m256i;

// The ones of each byte, by a table of half bytes (Mula, Kurz and Lemire 2018, arXiv 1611.07612).
Vector byte_ones(Vector x) {
  const Vector table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const Vector low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(
      _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
      _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}

struct Counting : Avx2 {
  static Bytes differing(Bytes x, Bytes y) { return _mm256_xor_si256(x, y); }
  static Bytes common(Bytes x, Bytes y) { return _mm256_and_si256(x, y); }
  static Ints ones(Bytes x) { return _mm256_sad_epu8(byte_ones(x), _mm256_setzero_si256()); }
};

// Rows of a size known here, a multiple of 16 up to 128; four at a time.
template <size_t kBytes>
struct Rows {
  static constexpr size_t kVectors = (kBytes + 31) / 32, kTogether = 4;

  Rows(const std::byte* query, size_t, uint32_t most)
      : limit(_mm_set1_epi32(static_cast<int>(most < 0x7fffffff ? most : 0x7fffffff))) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) q[i] = part(query, i);
  }
  static Vector part(const std::byte* row, size_t i) {
    if (32 * i + 32 > kBytes) return _mm256_zextsi128_si256(Avx2::bytes16(row + 32 * i));
    return Avx2::bytes(row + 32 * i);
  }
  Vector differing(const std::byte* row) const {
    Vector sum = byte_ones(_mm256_xor_si256(q[0], part(row, 0)));
#pragma GCC unroll 4
    for (size_t i = 1; i < kVectors; ++i)
      sum = _mm256_add_epi8(sum, byte_ones(_mm256_xor_si256(q[i], part(row, i))));
    return _mm256_sad_epu8(sum, _mm256_setzero_si256());
  }
  uint64_t near(const std::byte* rows) const {
    const Vector two = _mm256_packs_epi32(differing(rows), differing(rows + kBytes));
    const Vector more =
        _mm256_packs_epi32(differing(rows + 2 * kBytes), differing(rows + 3 * kBytes));
    const Vector lanes = _mm256_hadd_epi32(two, more);
    const __m128i counts =
        _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    return static_cast<uint64_t>(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(limit, counts))));
  }

  const __m128i limit;
  Vector q[kVectors];
};

NearBitsFn near_bits_of(size_t bytes) {
  switch (bytes) {
    case 16:
      return near_rows<Counting, Rows<16>>;
    case 32:
      return near_rows<Counting, Rows<32>>;
    case 48:
      return near_rows<Counting, Rows<48>>;
    case 64:
      return near_rows<Counting, Rows<64>>;
    case 96:
      return near_rows<Counting, Rows<96>>;
    case 128:
      return near_rows<Counting, Rows<128>>;
    default:
      return near_any<Counting>;
  }
}

void near_bits(const std::byte* query, const std::byte* base, size_t n, size_t bytes,
               uint32_t limit, uint64_t* out) {
  near_bits_of(bytes)(query, base, n, bytes, limit, out);
}

}  // namespace

void add_avx2(Table& t) {
  t.rows[kernels::hamming_bits] = over_rows<Bits<Counting>>;
  t.near_bits = near_bits;
  t.bit_planes = bit_planes<Counting>;
}

}  // namespace shortlist::kernels::hamming
