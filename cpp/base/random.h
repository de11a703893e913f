// SplitMix64: a counter hashed to 64 bits, so that draw i does not depend on how draws 0..i-1 were
// batched.
#pragma once

#include <cstdint>

namespace shortlist {

constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Uniform in (0, 1]: never 0, so that its logarithm is finite.
constexpr double uniform(uint64_t seed, uint64_t i) {
  return (static_cast<double>(mix64(mix64(seed) ^ i) >> 11) + 1.0) * 0x1.0p-53;
}

}  // namespace shortlist
