#include "codec/transform/query_aware.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/threads.h"
#include "codec/transform/eigen.h"
#include "codec/transform/products.h"
#include "codec/transform/rotation.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr double kShrinkage = 0.02;  // of H where there are many queries
constexpr int kSteps = 15;           // of conjugate gradients; stopping early regularises, too
constexpr double kRidge = 2;         // in queries' and codes' mean squares, for each value of B

double mean_square(Matrix<const float> x) {
  double sum = 0;
  for (size_t i = 0; i < x.rows; ++i) sum += ordered_dot(x.row(i), x.row(i), x.cols);
  return x.rows ? sum / static_cast<double>(x.rows) : 0;
}

// The least-squares problem of B, whose products with the neighbours' codes are compared within a
// query; `level` weighs their mean.
class Fit {
 public:
  Fit(Matrix<const float> queries, size_t k, const int64_t* neighbours, Matrix<const float> codes,
      double level)
      : queries_(queries), k_(k), neighbours_(neighbours), codes_(codes), level_(level) {}

  // J^T W (products - J B), or of no products J^T W J B; d x d.
  std::vector<double> gradient(const std::vector<float>& B, const float* products) const {
    const size_t d = queries_.cols, n = queries_.rows;
    std::vector<float> turned(n * d), sums(n * d);
    parallel_for(n, {.grain = 64}, [&](size_t begin, size_t end, size_t) {
      poll_interrupt();
      multiply(B, queries_.slice(begin, end), turned.data() + begin * d);
      std::vector<double> weights(k_), sum(d);
      for (size_t i = begin; i < end; ++i) {
        double mean = 0;
        for (size_t j = 0; j < k_; ++j) {
          const double dot = ordered_dot(turned.data() + i * d, code(i, j), d);
          weights[j] = products ? products[i * k_ + j] - dot : dot;
          mean += weights[j] / static_cast<double>(k_);
        }
        std::fill(sum.begin(), sum.end(), 0.);
        for (size_t j = 0; j < k_; ++j) {
          const auto w = weights[j] - (1 - level_) * mean;
          const float* x = code(i, j);
          for (size_t t = 0; t < d; ++t) sum[t] += w * x[t];
        }
        std::copy(sum.begin(), sum.end(), sums.data() + i * d);
      }
    });
    const auto row = [d](const float* of) {
      return [of, d](size_t i, float* out) { std::copy_n(of + i * d, d, out); };
    };
    return cross_moments(n, d, row(sums.data()), d, row(queries_.data));
  }

 private:
  const float* code(size_t i, size_t j) const {
    return codes_.row(static_cast<size_t>(neighbours_[i * k_ + j]));
  }

  const Matrix<const float> queries_;
  const size_t k_;
  const int64_t* const neighbours_;
  const Matrix<const float> codes_;
  const double level_;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return ordered_dot(a.data(), b.data(), a.size());
}

}  // namespace

QueryAwareTransform::QueryAwareTransform(size_t d, Objective objective)
    : VectorTransform(d, d), objective(objective) {
  if (d > kMostMatrix / d)
    throw ArgumentError(text("matrices of ", d, " dimensions take more than a GiB; choose fewer"));
  trained_ = false;
}

QueryAwareTransform::Roots::Roots(Matrix<const float> queries) : d_(queries.cols) {
  vectors_ = second_moments(queries.rows, d_,
                            [&](size_t i, float* out) { std::copy_n(queries.row(i), d_, out); });
  const auto n = static_cast<double>(queries.rows), d = static_cast<double>(d_);
  double trace = 0;
  for (size_t i = 0; i < d_; ++i) trace += vectors_[i * d_ + i] / n;
  if (!(trace > 0)) throw ArgumentError("all training queries are zero; pass real ones");
  const double shrinkage = std::max(kShrinkage, std::min(0.5, 0.2 * d / n));
  for (size_t i = 0; i < d_; ++i)
    for (size_t j = 0; j < d_; ++j) {
      double& h = vectors_[i * d_ + j];
      h = (1 - shrinkage) * h / n + (i == j ? shrinkage * trace / d : 0);
    }
  values_ = eigen_symmetric(vectors_, d_);
  for (double& value : values_) value /= trace / d;
}

std::vector<float> QueryAwareTransform::Roots::power(double p) const {
  std::vector<float> out(d_ * d_);
  parallel_for(d_, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    std::vector<double> sum(d_);
    for (size_t i = begin; i < end; ++i) {
      poll_interrupt();
      std::fill(sum.begin(), sum.end(), 0.);
      for (size_t k = 0; k < d_; ++k) {
        const double along = std::pow(values_[k], p) * vectors_[k * d_ + i];
        for (size_t j = 0; j < d_; ++j) sum[j] += along * vectors_[k * d_ + j];
      }
      std::copy(sum.begin(), sum.end(), out.data() + i * d_);
    }
  });
  return out;
}

void QueryAwareTransform::set_exponent(const Roots& roots, double exponent) {
  std::vector<float> forth = roots.power(exponent / 2), back = roots.power(-exponent / 2);
  const std::lock_guard hold(lock());
  A = std::move(forth);
  inverse = std::move(back);
  B = inverse;  // it is symmetric
  trained_ = true;
}

void QueryAwareTransform::fit(Matrix<const float> queries, size_t k, const int64_t* neighbours,
                              const float* products, Matrix<const float> codes, double level) {
  const Fit problem(queries, k, neighbours, codes, level);
  const double ridge = kRidge * mean_square(queries) * mean_square(codes);
  std::vector<float> found = B;
  std::vector<double> rest = problem.gradient(found, products), step = rest;
  std::vector<double> change(rest.size());
  double left = dot(rest, rest);
  const double first = left;
  for (int i = 0; i < kSteps && left > 1e-12 * first; ++i) {
    const std::vector<float> direction(step.begin(), step.end());
    std::vector<double> curved = problem.gradient(direction, nullptr);
    for (size_t j = 0; j < curved.size(); ++j) curved[j] += ridge * step[j];
    const double curve = dot(step, curved);
    if (!(curve > 0)) break;
    const double along = left / curve;
    for (size_t j = 0; j < step.size(); ++j) {
      change[j] += along * step[j];
      rest[j] -= along * curved[j];
    }
    const double now = dot(rest, rest);
    for (size_t j = 0; j < step.size(); ++j) step[j] = rest[j] + now / left * step[j];
    left = now;
  }
  for (size_t j = 0; j < found.size(); ++j) found[j] += static_cast<float>(change[j]);
  if (!finite(found.data(), found.size())) return;  // it stays the inverse
  const std::lock_guard hold(lock());
  B = std::move(found);
}

void QueryAwareTransform::do_train(Matrix<const float>) {
  throw ArgumentError(
      "a QueryAwareTransform learns from queries, too: call train(x, queries=...) of the index "
      "that "
      "it stands before, with a sample of the queries to come");
}

void QueryAwareTransform::do_apply(Matrix<const float> x, float* out) const { multiply(A, x, out); }
void QueryAwareTransform::do_apply_queries(Matrix<const float> q, float* out) const {
  multiply(B, q, out);
}
void QueryAwareTransform::do_reverse(Matrix<const float> y, float* out) const {
  multiply(inverse, y, out);
}

bool QueryAwareTransform::same_values(const VectorTransform& other) const {
  const auto& that = dynamic_cast<const QueryAwareTransform&>(other);
  return that.A == A && that.B == B && that.residual == residual;
}

void QueryAwareTransform::check_values() const {
  for (const auto* matrix : {&A, &inverse, &B})
    if (matrix->size() != d_in * d_in)
      throw NotTrainedError(text("this QueryAwareTransform of ", d_in, " dimensions has ",
                                 matrix->size(), " values of a matrix; train it"));
}

}  // namespace shortlist
