// Codes of an IndexSDC and its queries, as the plugin's jobs take them.
#pragma once

#include <cstdint>
#include <vector>

#include "codec/oddint/codec.h"

namespace shortlist::gpu {

// A plane of a code in whole units of 16 bytes.
size_t plane_bytes(const OddIntCodec& codec);

// Planes of n codes, bits * plane_bytes() each, and their factors: n addends, then n rescales.
void put_codes(const OddIntCodec& codec, const std::byte* codes, size_t n, std::byte* planes,
               float* factors);

// Queries in whole numbers: of signed bytes, or of bits + 1 bits where the codec compares them by
// their own codes.
struct Queries {
  int bits;
  std::vector<int16_t> values;  // 8 * plane_bytes() each
  std::vector<float> near, scale;
  std::vector<int64_t> offset;  // (2^bits of a code - 1) * the sum of values
};
Queries whole_queries(const OddIntCodec& codec, Matrix<const float> x);
// Their values as planes of two's complement, the sign first, as `scan` takes them.
std::vector<std::byte> as_planes(const OddIntCodec& codec, const Queries& queries);
// The same as bytes in the order of `scan_many`. Throws UnsupportedError if they need more bits.
std::vector<int8_t> as_bytes(const OddIntCodec& codec, const Queries& queries);

}  // namespace shortlist::gpu
