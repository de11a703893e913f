// What happens to vectors before an index sees them, under faiss's names.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rwlock.h"
#include "base/types.h"

namespace shortlist {

// Vectors of d_in values become vectors of d_out. May be shared by indexes and changed beside them:
// the public functions lock; who reads or writes the fields of a derived class holds lock().
class VectorTransform {
 public:
  VectorTransform(size_t d_in, size_t d_out);  // throws DimensionError for unusual ones
  virtual ~VectorTransform() = default;
  VectorTransform(const VectorTransform&) = delete;
  VectorTransform& operator=(const VectorTransform&) = delete;

  const size_t d_in, d_out;
  virtual std::string class_name() const = 0;  // the name faiss and Python know
  bool is_trained() const { return trained_; }
  // Throws ArgumentError where what training finds is missing.
  void set_trained(bool trained);

  void train(Matrix<const float> x);
  void apply(Matrix<const float> x, float* out) const;
  // Of queries, which few transforms treat otherwise.
  void apply_queries(Matrix<const float> q, float* out) const;
  // The vectors that become y; what was left out of them is zero.
  void reverse_transform(Matrix<const float> y, float* out) const;
  // Whether both are of one class and do the same to every vector.
  bool same_as(const VectorTransform& other) const;
  virtual size_t memory() const { return 0; }

  RwLock& lock() const { return lock_; }

 protected:
  virtual void do_train(Matrix<const float>) {}
  // Of some rows, from several threads at once.
  virtual void do_apply(Matrix<const float> x, float* out) const = 0;
  virtual void do_apply_queries(Matrix<const float> q, float* out) const { do_apply(q, out); }
  virtual void do_reverse(Matrix<const float> y, float* out) const = 0;
  virtual bool same_values(const VectorTransform& other) const = 0;  // one of the same class
  // Throws NotTrainedError, ArgumentError or UnsupportedError.
  virtual void check_values() const {}
  virtual void check_reversible() const {}

  std::atomic<bool> trained_{true};

 private:
  using Do = void (VectorTransform::*)(Matrix<const float>, float*) const;
  void in_parts(Matrix<const float> x, float* out, Do what) const;

  mutable RwLock lock_;
};

// y = A x + b.
class LinearTransform : public VectorTransform {
 public:
  // Throws ArgumentError for a matrix of more than a GiB.
  LinearTransform(size_t d_in, size_t d_out, bool have_bias = false);
  std::string class_name() const override { return "LinearTransform"; }

  bool have_bias;
  std::vector<float> A, b;  // d_out x d_in by rows, and d_out values; empty before training

  // Whether A's rows, or where they are more its columns, are orthonormal: then its transpose
  // reverses it. Looked at when first asked; after a change of A forget it, or say it.
  bool is_orthonormal() const;
  void forget_orthonormal() { orthonormal_ = kUnknown; }
  void say_orthonormal(bool is) { orthonormal_ = is ? kYes : kNo; }

  size_t memory() const override { return (A.size() + b.size()) * sizeof(float); }

 protected:
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform& other) const override;
  void check_values() const override;
  void check_reversible() const override;

 private:
  enum Known : int { kUnknown, kNo, kYes };
  mutable std::atomic<Known> orthonormal_{kUnknown};
};

// A random rotation, drawn by `init` or `train`. Where d_out is larger, vectors keep their lengths
// and angles; where it is smaller, it is a projection.
class RandomRotationMatrix final : public LinearTransform {
 public:
  RandomRotationMatrix(size_t d_in, size_t d_out) : LinearTransform(d_in, d_out) {}
  std::string class_name() const override { return "RandomRotationMatrix"; }
  void init(uint64_t seed);

 protected:
  void do_train(Matrix<const float> x) override;

 private:
  void draw(uint64_t seed);
};

// Principal components: the d_out directions along which the training vectors vary most, scaled by
// eigenvalue^eigen_power (-0.5: to one variance), and then turned by a random rotation if asked.
class PCAMatrix final : public LinearTransform {
 public:
  // Throws ArgumentError for d_out above d_in.
  PCAMatrix(size_t d_in, size_t d_out, float eigen_power = 0, bool random_rotation = false);
  std::string class_name() const override { return "PCAMatrix"; }

  float eigen_power, epsilon = 0;  // epsilon is added to the eigenvalues
  bool random_rotation;
  size_t max_points_per_d = 1000;
  int balanced_bins = 0;
  // Of the training vectors: d_in values; the squared singular values of what is left without the
  // mean, largest first; their directions by rows.
  std::vector<float> mean, eigenvalues, PCAMat;

  void copy_from(const PCAMatrix& other);
  void prepare_Ab();  // from what training found
  size_t memory() const override;

 protected:
  void do_train(Matrix<const float> x) override;

 private:
  void make_Ab();
};

// Each vector divided by its L2 norm. Reversing leaves vectors as they are.
class NormalizationTransform final : public VectorTransform {
 public:
  explicit NormalizationTransform(size_t d, float norm = 2);  // throws UnsupportedError
  std::string class_name() const override { return "NormalizationTransform"; }
  static constexpr float norm = 2;

 protected:
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform&) const override { return true; }
};

// Vectors without the mean of the training vectors.
class CenteringTransform final : public VectorTransform {
 public:
  explicit CenteringTransform(size_t d);
  std::string class_name() const override { return "CenteringTransform"; }
  std::vector<float> mean;  // d_in values; empty before training
  size_t memory() const override { return mean.size() * sizeof(float); }

 protected:
  void do_train(Matrix<const float> x) override;
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform& other) const override;
  void check_values() const override;
};

// out = A x for each row of x; A has out's values by x's.
void multiply(const std::vector<float>& A, Matrix<const float> x, float* out);

// The mean of n rows of d values, summed in double precision.
std::vector<float> mean_of(size_t n, size_t d, const std::function<const float*(size_t)>& row);

}  // namespace shortlist
