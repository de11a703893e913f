// Optimised product quantisation (Ge, He, Ke and Sun 2013), under faiss's names.
#pragma once

#include "codec/product.h"
#include "codec/transform/transform.h"

namespace shortlist {

// The rotation behind which a product quantiser of M parts keeps most of the vectors. Quantising
// and rotating take turns: centroids for the rotated vectors, then the rotation nearest to the
// centroids they got (Procrustes).
class OPQMatrix final : public LinearTransform {
 public:
  // d2 values behind it, or d. Throws ArgumentError unless M divides them.
  OPQMatrix(size_t d, size_t M = 1, size_t d2 = 0);
  std::string class_name() const override { return "OPQMatrix"; }

  const size_t M;
  int niter = 50;       // turns
  int niter_pq = 4;     // iterations of k-means in a turn
  int niter_pq_0 = 40;  // in the first one
  size_t max_train_points = size_t{256} * 256;
  // Tells M and the bits of a part, 8 without it; training leaves it as it is.
  std::shared_ptr<ProductQuantizer> pq;

 protected:
  void do_train(Matrix<const float> x) override;
};

// Of all n x m matrices with orthonormal rows (or columns, where n is larger) the one that is
// nearest to `a`: U V^T of its singular value decomposition. Where `a` says nothing, any.
std::vector<float> nearest_orthonormal(const std::vector<double>& a, size_t n, size_t m);

}  // namespace shortlist
