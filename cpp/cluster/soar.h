// A second list for a vector: spilling with orthogonality-amplified residuals (Sun, Simcha, Dopson,
// Guo and Kumar 2023, SOAR, arXiv 2404.00774).
//
// A query fails to find a vector x in the list of its centroid c when the query points along the
// residual r = x - c. Of the others the centroid c' is taken with the least
// |x - c'|^2 + lambda <r / |r|, x - c'>^2, whose residual is small and not along r.
#pragma once

#include <span>
#include <vector>

#include "base/types.h"

namespace shortlist::cluster {

class Spill {
 public:
  // Borrows the centroids.
  Spill(Matrix<const float> centroids, float lambda);

  // Of the candidates, kNoSlot among them, the best that is not `first`; kNoSlot if there is none.
  slot_t second(const float* x, slot_t first, std::span<const slot_t> candidates);

 private:
  const Matrix<const float> centroids_;
  const float lambda_;
  std::vector<slot_t> others_;
  std::vector<float> residual_, squares_, products_;
};

}  // namespace shortlist::cluster
