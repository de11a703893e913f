#include "codec/transform/itq.h"

#include <algorithm>

#include "base/error.h"
#include "cluster/init.h"
#include "codec/transform/opq.h"
#include "codec/transform/products.h"
#include "codec/transform/rotation.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr uint64_t kSeed = 1234;
constexpr size_t kEnough = 32768;  // vectors to train on, or more where dimensions are many

}  // namespace

void ITQMatrix::do_train(Matrix<const float> x) {
  if (x.rows == 0) throw ArgumentError("there are no vectors to train on");
  if (max_iter < 0) throw ArgumentError(text("max_iter = ", max_iter, "; choose at least 0"));
  const size_t d = d_in;
  std::vector<float> turned(x.rows * d);
  LinearTransform rotation(d, d);
  rotation.A = random_rotation(d, d, static_cast<uint64_t>(seed));
  rotation.set_trained(true);
  for (int turn = 0; turn < max_iter; ++turn) {
    rotation.apply(x, turned.data());
    const auto signs = [&](size_t i, float* out) {
      for (size_t j = 0; j < d; ++j) out[j] = turned[i * d + j] < 0 ? -1.f : 1.f;
    };
    const auto moments = cross_moments(
        x.rows, d, signs, d, [&](size_t i, float* out) { std::copy_n(x.row(i), d, out); });
    rotation.A = nearest_orthonormal(moments, d, d);
  }
  A = std::move(rotation.A);
  say_orthonormal(true);
  trained_ = true;
}

ITQTransform::ITQTransform(size_t d, size_t d_out, bool do_pca)
    : VectorTransform(d, d_out),
      do_pca(do_pca),
      itq(std::make_shared<ITQMatrix>(d_out)),
      pca_then_itq(std::make_shared<LinearTransform>(d, d_out)) {
  if (d_out > d || (!do_pca && d_out != d))
    throw ArgumentError(text("an ITQTransform from ", d, " to ", d_out, " dimensions ",
                             do_pca ? "takes at most as many components as there are dimensions"
                                    : "without do_pca leaves their number as it is"));
  trained_ = false;
}

void ITQTransform::to_sphere(const float* x, float* out) const {
  for (size_t j = 0; j < d_in; ++j) out[j] = x[j] - mean[j];
  normalize_row(out, d_in);
}

void ITQTransform::do_train(Matrix<const float> x) {
  const size_t n = std::min(x.rows, std::max(max_train_per_dim * d_in, kEnough));
  const auto chosen = cluster::sample(x.rows, n, kSeed);
  mean = mean_of(n, d_in, [&](size_t i) { return x.row(chosen[i]); });
  std::vector<float> rows(n * d_in), parts;
  for (size_t i = 0; i < n; ++i) to_sphere(x.row(chosen[i]), &rows[i * d_in]);
  Matrix<const float> seen{rows.data(), n, d_in};
  LinearTransform components(d_in, d_out);
  if (do_pca) {
    PCAMatrix pca(d_in, d_out);
    pca.train(seen);
    components.A = std::move(pca.A);
    components.set_trained(true);
    parts.resize(n * d_out);
    components.apply(seen, parts.data());
    seen = {parts.data(), n, d_out};
  }
  itq->train(seen);
  pca_then_itq->A.assign(d_out * d_in, 0);
  if (do_pca)
    for (size_t i = 0; i < d_out; ++i)
      for (size_t k = 0; k < d_out; ++k)
        for (size_t j = 0; j < d_in; ++j)
          pca_then_itq->A[i * d_in + j] += itq->A[i * d_out + k] * components.A[k * d_in + j];
  else
    pca_then_itq->A = itq->A;
  pca_then_itq->forget_orthonormal();
  pca_then_itq->set_trained(true);
  trained_ = true;
}

void ITQTransform::do_apply(Matrix<const float> x, float* out) const {
  std::vector<float> rows(x.rows * d_in);
  for (size_t i = 0; i < x.rows; ++i) to_sphere(x.row(i), &rows[i * d_in]);
  multiply(pca_then_itq->A, {rows.data(), x.rows, d_in}, out);
}

void ITQTransform::check_values() const {
  if (mean.size() != d_in || pca_then_itq->A.size() != d_in * d_out)
    throw NotTrainedError(text("this ITQTransform has a mean of ", mean.size(), " values, not ",
                               d_in, ", or no matrix; call train(x)"));
}

void ITQTransform::check_reversible() const {
  throw UnsupportedError(
      "an ITQTransform cannot be reversed: it forgets how long vectors are; keep them elsewhere");
}

void ITQTransform::do_reverse(Matrix<const float>, float*) const { check_reversible(); }

bool ITQTransform::same_values(const VectorTransform& other) const {
  const auto& that = dynamic_cast<const ITQTransform&>(other);
  return that.mean == mean && that.pca_then_itq->A == pca_then_itq->A;
}

}  // namespace shortlist
