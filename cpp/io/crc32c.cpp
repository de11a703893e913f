#include "io/crc32c.h"

#include <array>
#include <cstring>

#if __SSE4_2__
#include <nmmintrin.h>
#endif

namespace shortlist::io {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

#if __SSE4_2__

// a * b modulo the polynomial, both reflected.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// x^(8 n): multiplying by it moves a checksum past n more bytes.
constexpr uint32_t shift_by(size_t n) {
  uint32_t result = 1u << 31, power = 1u << 23;
  for (; n; n >>= 1) {
    if (n & 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

// The instruction takes three cycles but starts every cycle: three lanes keep it busy.
constexpr size_t kLane = 8192;
constexpr uint32_t kPastLane = shift_by(kLane);

uint64_t word(const unsigned char* p) {
  uint64_t w;
  std::memcpy(&w, p, sizeof w);
  return w;
}

uint32_t update(uint32_t crc, const unsigned char* p, size_t n) {
  uint64_t a = crc;
  for (; n >= 3 * kLane; n -= 3 * kLane, p += 3 * kLane) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      a = _mm_crc32_u64(a, word(p + i));
      b = _mm_crc32_u64(b, word(p + kLane + i));
      c = _mm_crc32_u64(c, word(p + 2 * kLane + i));
    }
    a = multiply(kPastLane, static_cast<uint32_t>(a)) ^ b;
    a = multiply(kPastLane, static_cast<uint32_t>(a)) ^ c;
  }
  for (; n >= 8; n -= 8, p += 8) a = _mm_crc32_u64(a, word(p));
  auto last = static_cast<uint32_t>(a);
  for (; n; --n, ++p) last = _mm_crc32_u8(last, *p);
  return last;
}

#else

// Eight tables: table k moves a byte past k more bytes, so that eight are looked up at once.
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? (c >> 1) ^ kPolynomial : c >> 1;
    t[0][i] = c;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 255];
  return t;
}();

uint32_t update(uint32_t crc, const unsigned char* p, size_t n) {
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t next = 0;
    for (size_t i = 0; i < 8; ++i)
      next ^= kTables[7 - i][p[i] ^ (i < 4 ? crc >> (8 * i) & 255 : 0)];
    crc = next;
  }
  for (; n; --n, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 255];
  return crc;
}

#endif

}  // namespace

uint32_t crc32c(uint32_t crc, const void* data, size_t n) {
  return ~update(~crc, static_cast<const unsigned char*>(data), n);
}

}  // namespace shortlist::io
