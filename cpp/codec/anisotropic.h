// Score-aware product codes (Guo et al. 2020, arXiv 1908.10396): the part of an error along the
// vector changes its products with the queries near to it, and weighs more than the rest.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace shortlist {

// Centroids of M parts, M x ksub x dsub.
struct Parts {
  size_t M, ksub, dsub;
  const float* part(size_t m, const std::vector<float>& centroids) const {
    return centroids.data() + m * ksub * dsub;
  }
};

// The paper's eta of a threshold that is a share of each vector's length (equation 8): how much
// more an error along a vector of d values weighs than one across it; at least 1.
double anisotropic_eta(double threshold, size_t d);

// Chooses the numbers of a code x' of x so that |x - x'|^2 + (eta - 1) <x - x', x / |x|>^2 is
// small: part after part, the others held, until none changes. One for each thread.
class AnisotropicEncoder {
 public:
  // Borrows the centroids.
  AnisotropicEncoder(Parts parts, const std::vector<float>& centroids, double eta);
  // From `numbers`, M of them, or from those of the nearest centroids.
  void encode(const float* x, bool known, uint8_t* numbers);

 private:
  const Parts parts_;
  const std::vector<float>& centroids_;
  const double eta_;
  std::vector<float> squares_, along_;  // of what each centroid leaves of x's part, by M x ksub
};

// Moves the centroids to lessen the sum of that over the rows of x: codes and, part after part, the
// best centroids for them take turns.
void refine_anisotropic(Matrix<const float> x, double eta, size_t turns, Parts parts,
                        std::vector<float>& centroids);

}  // namespace shortlist
