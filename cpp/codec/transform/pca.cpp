// Principal components, found as faiss finds them: from the scatter matrix of the training vectors,
// or where those are fewer than their dimensions from their inner products.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "codec/transform/eigen.h"
#include "codec/transform/products.h"
#include "codec/transform/rotation.h"
#include "codec/transform/transform.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr float kNothing = 1e-7f;  // of the largest variance: what rounding leaves
constexpr uint64_t kSeed = 5, kSampleSeed = 1234;

// Where there are more than `most` rows, one of each of `most` runs of them.
class Sample {
 public:
  Sample(Matrix<const float> x, size_t most) : x_(x), n_(std::min(x.rows, most)) {}
  size_t size() const { return n_; }
  const float* row(size_t i) const {
    if (n_ == x_.rows) return x_.row(i);
    const auto at = [&](size_t k) {
      return static_cast<size_t>(static_cast<double>(k) * static_cast<double>(x_.rows) /
                                 static_cast<double>(n_));
    };
    const size_t begin = at(i), end = std::min(std::max(at(i + 1), begin + 1), x_.rows);
    return x_.row(begin + mix64(kSampleSeed ^ i) % (end - begin));
  }
  std::vector<float> mean() const {
    return mean_of(n_, x_.cols, [this](size_t i) { return row(i); });
  }

 private:
  const Matrix<const float> x_;
  const size_t n_;
};

std::vector<float> not_negative(const std::vector<double>& values) {
  std::vector<float> out(values.begin(), values.end());
  for (float& x : out) x = std::max(x, 0.f);
  return out;
}

// Eigenvalues, and directions by rows.
struct Components {
  std::vector<float> values, directions;
};

// From the sums over the vectors of the products of each two dimensions.
Components by_dimensions(const Sample& x, const std::vector<float>& mean) {
  const size_t d = mean.size();
  std::vector<double> scatter = second_moments(x.size(), d, [&](size_t i, float* out) {
    const float* row = x.row(i);
    for (size_t j = 0; j < d; ++j) out[j] = row[j] - mean[j];
  });
  const std::vector<double> values = eigen_symmetric(scatter, d);
  return {not_negative(values), {scatter.begin(), scatter.end()}};
}

// From the products of each two vectors, of which the directions are sums.
Components by_vectors(const Sample& x, const std::vector<float>& mean) {
  const size_t d = mean.size(), n = x.size();
  std::vector<float> rows(n * d);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < d; ++j) rows[i * d + j] = x.row(i)[j] - mean[j];
  std::vector<double> gram = inner_products(rows.data(), n, d);
  const std::vector<double> values = eigen_symmetric(gram, n);
  Components found{not_negative(values), std::vector<float>(n * d)};
  found.values.resize(d);
  parallel_for(n, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    std::vector<double> sum(d);
    for (size_t k = begin; k < end; ++k) {
      poll_interrupt();
      float* direction = found.directions.data() + k * d;
      if (found.values[k] <= kNothing * found.values[0]) {  // any direction: they vary along none
        for (size_t j = 0; j < d; ++j) direction[j] = random_normal(kSeed, k * d + j);
        continue;
      }
      std::fill(sum.begin(), sum.end(), 0.);
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < d; ++j) sum[j] += gram[k * n + i] * rows[i * d + j];
      std::copy(sum.begin(), sum.end(), direction);
      normalize_row(direction, d);
    }
  });
  make_orthonormal(found.directions, n, d);
  return found;
}

// The components' order in so many bins of equal size, each component put into the bin that has
// the least variance so far.
std::vector<size_t> balanced(const std::vector<float>& eigenvalues, size_t n, size_t bins) {
  std::vector<float> held(bins);
  std::vector<size_t> count(bins), place(n);
  for (size_t i = 0; i < n; ++i) {
    size_t best = SIZE_MAX;
    for (size_t j = 0; j < bins; ++j)
      if (count[j] < n / bins && (best == SIZE_MAX || held[j] < held[best])) best = j;
    place[i] = best * (n / bins) + count[best]++;
    held[best] += eigenvalues[i];
  }
  return place;
}

}  // namespace

PCAMatrix::PCAMatrix(size_t d_in, size_t d_out, float eigen_power, bool random_rotation)
    : LinearTransform(d_in, d_out, true),
      eigen_power(eigen_power),
      random_rotation(random_rotation) {
  if (d_out > d_in)
    throw ArgumentError(text("vectors of d_in = ", d_in, " dimensions have no d_out = ", d_out,
                             " principal components; choose at most d_in"));
}

size_t PCAMatrix::memory() const {
  return LinearTransform::memory() +
         (mean.size() + eigenvalues.size() + PCAMat.size()) * sizeof(float);
}

void PCAMatrix::do_train(Matrix<const float> x) {
  if (x.rows < d_out)
    throw ArgumentError(text(d_out,
                             " principal components need at least as many training vectors, "
                             "but there are ",
                             x.rows, "; pass more, or lower d_out"));
  const Sample sample(x, std::max<size_t>(max_points_per_d, 1) * d_in);
  std::vector<float> centre = have_bias ? sample.mean() : std::vector<float>(d_in);
  Components found =
      sample.size() >= d_in ? by_dimensions(sample, centre) : by_vectors(sample, centre);
  std::swap(mean, centre);
  std::swap(eigenvalues, found.values);
  std::swap(PCAMat, found.directions);
  try {
    make_Ab();
  } catch (...) {
    std::swap(mean, centre);
    std::swap(eigenvalues, found.values);
    std::swap(PCAMat, found.directions);
    throw;
  }
}

void PCAMatrix::copy_from(const PCAMatrix& other) {
  if (other.d_in != d_in)
    throw DimensionError(text("the other PCAMatrix has d_in = ", other.d_in, ", not ", d_in));
  if (&other == this) return;
  std::vector<float> parts[3];
  {
    const std::shared_lock hold(other.lock());
    parts[0] = other.mean;
    parts[1] = other.eigenvalues;
    parts[2] = other.PCAMat;
  }
  const std::lock_guard hold(lock());
  mean = std::move(parts[0]);
  eigenvalues = std::move(parts[1]);
  PCAMat = std::move(parts[2]);
  make_Ab();
}

void PCAMatrix::prepare_Ab() {
  const std::lock_guard hold(lock());
  make_Ab();
}

void PCAMatrix::make_Ab() {
  if (mean.size() != d_in || eigenvalues.size() < d_out || PCAMat.size() < d_out * d_in)
    throw NotTrainedError(text("this PCAMatrix from ", d_in, " to ", d_out, " dimensions knows ",
                               PCAMat.size() / d_in,
                               " directions; call train(x) with more vectors"));
  if (balanced_bins < 0)
    throw ArgumentError(text("balanced_bins = ", balanced_bins, "; it must be at least 0"));
  const auto bins = static_cast<size_t>(balanced_bins);
  if (bins && random_rotation)
    throw ArgumentError(text("balanced_bins = ", bins,
                             " orders the components, which random_rotation mixes again; "
                             "choose one of them"));
  if (bins && d_out % bins)
    throw ArgumentError(text("balanced_bins = ", bins, " does not divide d_out = ", d_out));
  const float nothing = kNothing * eigenvalues[0];
  std::vector<float> scaled(PCAMat.begin(), PCAMat.begin() + static_cast<ptrdiff_t>(d_out * d_in));
  for (size_t i = 0; i < d_out && eigen_power != 0; ++i) {
    const float value = std::max(eigenvalues[i], 0.f) + epsilon;
    if (eigen_power < 0 && !(value > nothing))
      throw ArgumentError(text("the training vectors vary along ", i, " directions only, so that ",
                               d_out, " cannot be whitened; lower d_out, or set epsilon above 0"));
    const float factor = std::pow(value, eigen_power);
    for (size_t j = 0; j < d_in; ++j) scaled[i * d_in + j] *= factor;
  }
  std::vector<float> rows(d_out * d_in);
  if (random_rotation) {
    const std::vector<float> turns = shortlist::random_rotation(d_out, d_out, kSeed);
    parallel_for(d_out, {.grain = 16}, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        poll_interrupt();
        float* row = rows.data() + i * d_in;
        for (size_t k = 0; k < d_out; ++k)
          for (size_t j = 0; j < d_in; ++j) row[j] += turns[i * d_out + k] * scaled[k * d_in + j];
      }
    });
  } else if (bins) {
    const auto place = balanced(eigenvalues, d_out, bins);
    for (size_t i = 0; i < d_out; ++i)
      std::copy_n(scaled.data() + i * d_in, d_in, rows.data() + place[i] * d_in);
  } else {
    rows = std::move(scaled);
  }
  std::vector<float> offset(d_out);
  for (size_t i = 0; i < d_out; ++i)
    for (size_t j = 0; j < d_in; ++j) offset[i] -= mean[j] * rows[i * d_in + j];
  A = std::move(rows);
  b = std::move(offset);
  say_orthonormal(eigen_power == 0);
  trained_ = true;
}

}  // namespace shortlist
