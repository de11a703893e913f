// Random rotations as matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shortlist {

inline constexpr size_t kMostMatrix = size_t{1} << 28;  // values of a matrix, a GiB

// d_out x d_in by rows; of its rows and columns the fewer ones are orthonormal. A seed gives the
// same bits on every ISA.
std::vector<float> random_rotation(size_t d_in, size_t d_out, uint64_t seed);

// Draw i of a seed, of a normal distribution.
float random_normal(uint64_t seed, uint64_t i);
// Makes n rows of m >= n values orthonormal, each by what is left of it beside those before.
void make_orthonormal(std::vector<float>& rows, size_t n, size_t m);

}  // namespace shortlist
