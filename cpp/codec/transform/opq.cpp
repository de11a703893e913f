#include "codec/transform/opq.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "cluster/init.h"
#include "codec/transform/eigen.h"
#include "codec/transform/products.h"
#include "codec/transform/rotation.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr uint64_t kSeed = 1234;
constexpr double kNothing = 1e-12;  // of the largest squared singular value

std::vector<double> transposed(const std::vector<double>& a, size_t n, size_t m) {
  std::vector<double> out(a.size());
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j) out[j * n + i] = a[i * m + j];
  return out;
}

// Principal components, so that each part has a like share of the variance, where there are any
// (the paper's parametric solution).
std::vector<float> first_rotation(Matrix<const float> x, size_t d_out, size_t M) {
  if (d_out > x.cols || x.rows < x.cols) return random_rotation(x.cols, d_out, kSeed);
  PCAMatrix pca(x.cols, d_out);
  pca.balanced_bins = static_cast<int>(M);
  pca.train(x);
  return std::move(pca.A);
}

}  // namespace

std::vector<float> nearest_orthonormal(const std::vector<double>& a, size_t n, size_t m) {
  if (n > m) {
    const std::vector<float> other = nearest_orthonormal(transposed(a, n, m), m, n);
    std::vector<float> out(other.size());
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < m; ++j) out[i * m + j] = other[j * n + i];
    return out;
  }
  std::vector<double> left(n * n);  // becomes U^T
  parallel_for(n, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i)
      for (size_t j = 0; j < n; ++j)
        left[i * n + j] = ordered_dot(a.data() + i * m, a.data() + j * m, m);
  });
  const std::vector<double> squares = eigen_symmetric(left, n);
  std::vector<float> right(n * m);  // becomes V^T
  parallel_for(n, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    std::vector<double> sum(m);
    for (size_t k = begin; k < end; ++k) {
      poll_interrupt();
      float* row = right.data() + k * m;
      if (!(squares[k] > kNothing * squares[0])) {
        for (size_t j = 0; j < m; ++j) row[j] = random_normal(kSeed, k * m + j);
        continue;
      }
      std::fill(sum.begin(), sum.end(), 0.);
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < m; ++j) sum[j] += left[k * n + i] * a[i * m + j];
      const double length = std::sqrt(squares[k]);
      for (size_t j = 0; j < m; ++j) row[j] = static_cast<float>(sum[j] / length);
    }
  });
  make_orthonormal(right, n, m);  // small singular values leave it inexact
  std::vector<float> out(n * m);
  parallel_for(n, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    std::vector<double> sum(m);
    for (size_t i = begin; i < end; ++i) {
      poll_interrupt();
      std::fill(sum.begin(), sum.end(), 0.);
      for (size_t k = 0; k < n; ++k)
        for (size_t j = 0; j < m; ++j) sum[j] += left[k * n + i] * right[k * m + j];
      std::copy(sum.begin(), sum.end(), out.data() + i * m);
    }
  });
  return out;
}

OPQMatrix::OPQMatrix(size_t d, size_t M_, size_t d2)
    : LinearTransform(d, d2 ? d2 : d, false), M(M_) {
  if (M < 1 || d_out % M)
    throw ArgumentError(text("M = ", M, " parts do not divide the ", d_out,
                             " dimensions behind the rotation evenly; choose a divisor, or another "
                             "d2"));
}

void OPQMatrix::do_train(Matrix<const float> x) {
  if (pq && (pq->M != M || pq->d != d_out))
    throw ArgumentError(text("pq is a ", pq->name(), " of ", pq->d, " dimensions, but M = ", M,
                             " and d_out = ", d_out, "; pass one like these"));
  if (niter < 0 || niter_pq < 1 || niter_pq_0 < 1)
    throw ArgumentError(text("niter = ", niter, ", niter_pq = ", niter_pq,
                             ", niter_pq_0 = ", niter_pq_0, "; choose at least 0, 1 and 1"));
  ProductQuantizer quantizer(d_out, M, pq ? pq->nbits : 8);
  const size_t n = std::min(x.rows, std::max<size_t>(max_train_points, 1));
  if (n < quantizer.ksub())
    throw ArgumentError(text("an OPQMatrix of ", quantizer.nbits, " bits a part was given ", n,
                             " training vectors (of at most max_train_points = ", max_train_points,
                             "); it needs at least ", quantizer.ksub()));
  const auto chosen = cluster::sample(x.rows, n, kSeed);
  const std::vector<float> mean = mean_of(n, d_in, [&](size_t i) { return x.row(chosen[i]); });
  std::vector<float> centred(n * d_in), turned(n * d_out);
  std::vector<slot_t> nearest(M * n, kNoSlot);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < d_in; ++j) centred[i * d_in + j] = x.row(chosen[i])[j] - mean[j];

  LinearTransform rotation(d_in, d_out);
  rotation.A = first_rotation({centred.data(), n, d_in}, d_out, M);
  rotation.set_trained(true);
  for (int turn = 0; turn < niter; ++turn) {
    rotation.apply({centred.data(), n, d_in}, turned.data());
    const auto steps = static_cast<size_t>(turn ? niter_pq : niter_pq_0);
    quantizer.refine({turned.data(), n, d_out}, steps, nearest.data());
    const size_t dsub = quantizer.dsub();
    const auto rounded = [&](size_t i, float* out) {
      for (size_t m = 0; m < M; ++m, out += dsub)
        std::copy_n(quantizer.part(m) + nearest[m * n + i] * dsub, dsub, out);
    };
    const auto moments = cross_moments(n, d_out, rounded, d_in, [&](size_t i, float* out) {
      std::copy_n(&centred[i * d_in], d_in, out);
    });
    rotation.A = nearest_orthonormal(moments, d_out, d_in);
  }
  A = std::move(rotation.A);
  say_orthonormal(true);
  trained_ = true;
}

}  // namespace shortlist
