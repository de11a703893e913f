// Iterative quantisation (Gong and Lazebnik 2011), under faiss's names: what stands before signs.
#pragma once

#include "codec/transform/transform.h"

namespace shortlist {

// The rotation behind which vectors lie nearest to their signs. Taking signs and rotating take
// turns, the latter to what is nearest to the signs (Procrustes).
class ITQMatrix final : public LinearTransform {
 public:
  explicit ITQMatrix(size_t d) : LinearTransform(d, d) {}
  std::string class_name() const override { return "ITQMatrix"; }
  int max_iter = 50;  // turns
  int seed = 123;     // of the rotation they begin with

 protected:
  void do_train(Matrix<const float> x) override;
};

// Vectors less their mean, of length 1, then d_out principal components, then an ITQMatrix.
class ITQTransform final : public VectorTransform {
 public:
  // Throws ArgumentError for a d_out above d, or another than d without components.
  ITQTransform(size_t d, size_t d_out, bool do_pca);
  std::string class_name() const override { return "ITQTransform"; }

  const bool do_pca;
  size_t max_train_per_dim = 10;  // training takes so many vectors for each dimension, or 32768
  // Filled by training: d values, the rotation, and both matrices in one.
  std::vector<float> mean;
  const std::shared_ptr<ITQMatrix> itq;
  const std::shared_ptr<LinearTransform> pca_then_itq;

  size_t memory() const override { return itq->memory() + pca_then_itq->memory(); }

 protected:
  void do_train(Matrix<const float> x) override;
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform& other) const override;
  void check_values() const override;
  void check_reversible() const override;

 private:
  void to_sphere(const float* x, float* out) const;
};

}  // namespace shortlist
