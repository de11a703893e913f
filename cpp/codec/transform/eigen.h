// Eigenvectors of a symmetric matrix: the algebra that principal components need.
#pragma once

#include <cstddef>
#include <vector>

namespace shortlist {

// Of a symmetric n x n matrix: its eigenvalues, largest first. The eigenvectors replace its rows.
// Householder's reflections to tridiagonal form, then implicit QL (Golub and Van Loan, Matrix
// Computations, section 8.3): O(n^3), in parallel, the same for any number of threads. Entries
// must be finite.
std::vector<double> eigen_symmetric(std::vector<double>& a, size_t n);

}  // namespace shortlist
