// Sums of products over many vectors: the matrices that transforms are learnt from.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace shortlist {

// The n x n sums over `count` vectors of the products of each two of their values: row(i, out)
// writes the n values of vector i. Summed in single precision over a thousand vectors, in double
// over all. Throws ArgumentError where squares are too large for a float.
using WriteRow = std::function<void(size_t i, float* out)>;
std::vector<double> second_moments(size_t count, size_t n, const WriteRow& row);

// The n x m sums of the products of the values of two rows: row(i, out) writes n values,
// other(i, out) m.
std::vector<double> cross_moments(size_t count, size_t n, const WriteRow& row, size_t m,
                                  const WriteRow& other);

// The inner products of all pairs of n rows of m values: n x n.
std::vector<double> inner_products(const float* rows, size_t n, size_t m);

}  // namespace shortlist
