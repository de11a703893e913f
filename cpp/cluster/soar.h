// Further lists for a vector: spilling with orthogonality-amplified residuals (Sun, Simcha, Dopson,
// Guo and Kumar 2023, SOAR, arXiv 2404.00774).
//
// A query fails to find a vector x in the list of its centroid c when the query points along the
// residual r = x - c. Of the others the centroid c' is taken with the least
// |x - c'|^2 + lambda <r / |r|, x - c'>^2, whose residual is small and not along r. The paper stops
// at two lists; here a third and later ones are amplified along the residuals of all before them,
// which are summed.
#pragma once

#include <span>
#include <vector>

#include "base/types.h"

namespace shortlist::cluster {

class Spill {
 public:
  // Borrows the centroids.
  Spill(Matrix<const float> centroids, float lambda);

  // Fills `further`, best first, from the candidates that are not `first`, each once and kNoSlot
  // none of them: of equal cost the one that comes first, kNoSlot where there are too few. A
  // residual of length 0 amplifies nothing.
  void choose(const float* x, slot_t first, std::span<const slot_t> candidates,
              std::span<slot_t> further);

 private:
  void amplify(const float* x, slot_t chosen);

  const Matrix<const float> centroids_;
  const float lambda_;
  std::vector<slot_t> others_;
  std::vector<float> residual_, distances_;
  std::vector<double> costs_;
};

}  // namespace shortlist::cluster
