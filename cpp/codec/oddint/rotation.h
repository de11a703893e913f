// A random rotation in O(m log m), which spreads a vector's energy evenly over its coordinates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shortlist {

// Orthogonal, from d values padded with zeros to m, a multiple of 64. Four rounds, each of
// random signs and Hadamard transforms of blocks, the powers of two that make up m: the largest
// first and last in turn. If there are several blocks, each round then turns all (i, i + m / 2) by
// 45 degrees, so that energy crosses between them. A seed gives the same bits on every ISA.
class Rotation {
 public:
  Rotation(size_t d, size_t m, uint64_t seed);
  Rotation(size_t d, uint64_t seed) : Rotation(d, (d + 63) / 64 * 64, seed) {}

  size_t d() const { return d_; }
  size_t m() const { return m_; }
  void apply(const float* x, float* out) const;          // d values to m
  void apply_inverse(const float* y, float* out) const;  // m to m, of which the first d are x

 private:
  size_t d_, m_;
  std::vector<float> factors_;  // of each round: signs over the norms of the blocks' transforms
};

}  // namespace shortlist
