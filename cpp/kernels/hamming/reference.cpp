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

}  // namespace

void add_reference(Table& t) {
  t.rows[kernels::hamming_bits] = each_row<differing>;
  t.near_bits = near_bits;
}

}  // namespace shortlist::kernels::hamming
