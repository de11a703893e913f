#include "kernels/reference.h"

namespace shortlist::kernels::hamming {
namespace {

float differing(const void* query, const std::byte* row, size_t d) {
  int64_t sum = 0;
  for (size_t i = 0; i < d; ++i)
    sum += std::popcount(static_cast<uint8_t>(at<uint8_t>(query, i) ^ at<uint8_t>(row, i)));
  return static_cast<float>(sum);
}

void near_bits(const std::byte* query, const std::byte* base, size_t n, size_t bytes,
               uint32_t limit, uint64_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const uint64_t near = differing(query, base + i * bytes, bytes) < static_cast<float>(limit);
    out[i / 64] = (i % 64 ? out[i / 64] : 0) | near << i % 64;
  }
}

int64_t value(const std::byte* planes, size_t bits, size_t plane, size_t i, bool sign) {
  int64_t out = 0;
  for (size_t b = 0; b < bits; ++b) {
    const int bit = static_cast<int>(planes[b * plane + i / 8]) >> i % 8 & 1;
    out = 2 * out + (sign && b == 0 ? -bit : bit);
  }
  return out;
}

void bit_planes(const std::byte* query, size_t query_bits, const std::byte* base, size_t stride,
                const uint32_t* rows, size_t n, size_t m, size_t bits, double* out) {
  for (size_t r = 0; r < n; ++r) {
    const std::byte* row = base + (rows ? size_t{rows[r]} : r) * stride;
    int64_t sum = 0;
    for (size_t i = 0; i < m; ++i)
      sum += value(query, query_bits, m / 8, i, true) * value(row, bits, m / 8, i, false);
    out[r] = static_cast<double>(sum);
  }
}

}  // namespace

void add_reference(Table& t) {
  t.rows[kernels::hamming_bits] = each_row<differing>;
  t.near_bits = near_bits;
  t.bit_planes = bit_planes;
}

}  // namespace shortlist::kernels::hamming
