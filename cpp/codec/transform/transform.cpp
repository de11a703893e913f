#include "codec/transform/transform.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>
#include <typeinfo>

#include "base/error.h"
#include "base/threads.h"
#include "codec/transform/rotation.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr size_t kRows = 64;                 // vectors at a time
constexpr size_t kBlock = size_t{1} << 16;   // values of a matrix that stay in a cache
constexpr uint64_t kSeed = 12345;            // where train draws a rotation
constexpr float kOrthonormalWithin = 4e-5f;  // faiss's tolerance

void check_width(const VectorTransform& t, size_t cols, size_t wanted) {
  if (cols != wanted)
    throw DimensionError(text("the vectors have ", cols, " dimensions but this ", t.class_name(),
                              " from ", t.d_in, " to ", t.d_out, " dimensions takes ", wanted,
                              " here; pass an array of shape (n, ", wanted, ")"));
}

}  // namespace

std::vector<float> mean_of(size_t n, size_t d, const std::function<const float*(size_t)>& row) {
  if (n == 0) throw ArgumentError("there are no vectors to train on");
  std::vector<double> sums(d);
  for (size_t i = 0; i < n; ++i) {
    if (i % 1024 == 0) poll_interrupt();
    const float* x = row(i);
    for (size_t j = 0; j < d; ++j) sums[j] += x[j];
  }
  std::vector<float> mean(d);
  for (size_t j = 0; j < d; ++j) mean[j] = static_cast<float>(sums[j] / static_cast<double>(n));
  return mean;
}

VectorTransform::VectorTransform(size_t d_in, size_t d_out) : d_in(d_in), d_out(d_out) {
  for (const size_t d : {d_in, d_out})
    if (d < 1 || d > kMaxDimension)
      throw DimensionError(text("a transform from ", d_in, " to ", d_out,
                                " dimensions is out of range; choose 1 to ", kMaxDimension));
}

void VectorTransform::set_trained(bool trained) {
  const std::lock_guard hold(lock_);
  const bool before = trained_;
  trained_ = trained;
  if (!trained) return;
  try {
    check_values();
  } catch (const Error& e) {
    trained_ = before;
    throw ArgumentError(e.what());
  }
}

void VectorTransform::train(Matrix<const float> x) {
  check_width(*this, x.cols, d_in);
  check_finite(as_rows(x), "train on");
  const std::lock_guard hold(lock_);
  do_train(x);
}

void VectorTransform::apply(Matrix<const float> x, float* out) const {
  in_parts(x, out, &VectorTransform::do_apply);
}

void VectorTransform::apply_queries(Matrix<const float> q, float* out) const {
  in_parts(q, out, &VectorTransform::do_apply_queries);
}

void VectorTransform::in_parts(Matrix<const float> x, float* out, Do what) const {
  check_width(*this, x.cols, d_in);
  const std::shared_lock hold(lock_);
  if (!trained_)
    throw NotTrainedError(text("this ", class_name(),
                               " must be trained before it can transform vectors; call train(x) "
                               "with a sample of them"));
  check_values();
  parallel_for(x.rows, {.grain = kRows}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; i += kRows) {
      poll_interrupt();
      (this->*what)(x.slice(i, std::min(end, i + kRows)), out + i * d_out);
    }
  });
}

void VectorTransform::reverse_transform(Matrix<const float> y, float* out) const {
  check_width(*this, y.cols, d_out);
  const std::shared_lock hold(lock_);
  if (!trained_)
    throw NotTrainedError(
        text("this ", class_name(), " must be trained before it can be reversed; call train(x)"));
  check_values();
  check_reversible();
  parallel_for(y.rows, {.grain = kRows}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; i += kRows) {
      poll_interrupt();
      do_reverse(y.slice(i, std::min(end, i + kRows)), out + i * d_in);
    }
  });
}

bool VectorTransform::same_as(const VectorTransform& other) const {
  if (&other == this) return true;
  if (typeid(*this) != typeid(other) || d_in != other.d_in || d_out != other.d_out) return false;
  const bool first = &lock_ < &other.lock_;  // in one order, whoever asks
  const std::shared_lock hold(first ? lock_ : other.lock_);
  const std::shared_lock hold_other(first ? other.lock_ : lock_);
  return trained_ == other.trained_ && same_values(other);
}

LinearTransform::LinearTransform(size_t d_in, size_t d_out, bool have_bias)
    : VectorTransform(d_in, d_out), have_bias(have_bias) {
  if (d_out > kMostMatrix / d_in)
    throw ArgumentError(text("a matrix from ", d_in, " to ", d_out,
                             " dimensions takes more than a GiB; choose fewer"));
  trained_ = false;
}

void LinearTransform::check_values() const {
  if (A.size() != d_in * d_out || (have_bias && b.size() != d_out))
    throw NotTrainedError(text("this ", class_name(), " from ", d_in, " to ", d_out,
                               " dimensions has ", A.size(), " values of A and ", b.size(),
                               " of b; set A (d_out, d_in)", have_bias ? " and b (d_out,)" : "",
                               ", or call train(x)"));
}

bool LinearTransform::same_values(const VectorTransform& other) const {
  const auto& that = dynamic_cast<const LinearTransform&>(other);
  return that.have_bias == have_bias && that.A == A && (!have_bias || that.b == b);
}

void multiply(const std::vector<float>& A, Matrix<const float> x, float* out) {
  const auto dot = kernels::active().dot_f32;
  const size_t d_in = x.cols, d_out = A.size() / d_in;
  const size_t step = std::max<size_t>(4, kBlock / d_in / 4 * 4);
  for (size_t j = 0; j < d_out; j += step)
    dot(x.data, d_in, x.rows, A.data() + j * d_in, d_in, std::min(step, d_out - j), d_in, out + j,
        d_out);
}

void LinearTransform::do_apply(Matrix<const float> x, float* out) const {
  multiply(A, x, out);
  if (!have_bias) return;
  for (size_t i = 0; i < x.rows; ++i)
    for (size_t j = 0; j < d_out; ++j) out[i * d_out + j] += b[j];
}

bool LinearTransform::is_orthonormal() const {
  if (const Known known = orthonormal_; known != kUnknown) return known == kYes;
  if (A.size() != d_in * d_out) return false;
  const size_t n = std::min(d_in, d_out), m = std::max(d_in, d_out);
  std::vector<float> columns;
  if (d_out > d_in) {
    columns.resize(n * m);
    for (size_t i = 0; i < m; ++i)
      for (size_t j = 0; j < n; ++j) columns[j * m + i] = A[i * n + j];
  }
  const float* rows = d_out > d_in ? columns.data() : A.data();
  std::atomic<bool> is = true;
  parallel_for(n, {.grain = kRows}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> dots(kRows * kRows);
    for (size_t i = begin; i < end && is; i += kRows)
      for (size_t j = 0; j <= i && is; j += kRows) {
        poll_interrupt();
        const size_t ni = std::min(kRows, end - i), nj = std::min(kRows, n - j);
        kernels::active().dot_f32(rows + i * m, m, ni, rows + j * m, m, nj, m, dots.data(), kRows);
        for (size_t a = 0; a < ni; ++a)
          for (size_t c = 0; c < nj; ++c) {
            const float wanted = i + a == j + c ? 1.f : 0.f;
            if (!(std::abs(dots[a * kRows + c] - wanted) <= kOrthonormalWithin)) is = false;
          }
      }
  });
  orthonormal_ = is ? kYes : kNo;
  return is;
}

void LinearTransform::check_reversible() const {
  if (!is_orthonormal())
    throw UnsupportedError(
        text("this ", class_name(), " from ", d_in, " to ", d_out,
             " dimensions cannot be reversed: the rows of A are not orthonormal (whitening scales "
             "them); keep the vectors elsewhere, or use a transform without eigen_power"));
}

void LinearTransform::do_reverse(Matrix<const float> y, float* out) const {
  std::fill_n(out, y.rows * d_in, 0.f);
  for (size_t j = 0; j < d_out; ++j) {
    const float* row = A.data() + j * d_in;
    for (size_t i = 0; i < y.rows; ++i) {
      float* x = out + i * d_in;
      const float along = y.row(i)[j] - (have_bias ? b[j] : 0.f);
      for (size_t k = 0; k < d_in; ++k) x[k] += along * row[k];
    }
  }
}

void RandomRotationMatrix::draw(uint64_t seed) {
  A = random_rotation(d_in, d_out, seed);
  say_orthonormal(true);
  trained_ = true;
}

void RandomRotationMatrix::init(uint64_t seed) {
  const std::lock_guard hold(lock());
  draw(seed);
}

void RandomRotationMatrix::do_train(Matrix<const float>) { draw(kSeed); }

NormalizationTransform::NormalizationTransform(size_t d, float norm) : VectorTransform(d, d) {
  if (norm != 2)
    throw UnsupportedError(
        text("vectors cannot be normalised to norm = ", norm, "; only the L2 norm (2) is known"));
}

void NormalizationTransform::do_apply(Matrix<const float> x, float* out) const {
  std::copy_n(x.data, x.rows * d_in, out);
  for (size_t i = 0; i < x.rows; ++i) normalize_row(out + i * d_in, d_in);
}

void NormalizationTransform::do_reverse(Matrix<const float> y, float* out) const {
  std::copy_n(y.data, y.rows * d_in, out);
}

CenteringTransform::CenteringTransform(size_t d) : VectorTransform(d, d) { trained_ = false; }

void CenteringTransform::do_train(Matrix<const float> x) {
  mean = mean_of(x.rows, d_in, [&](size_t i) { return x.row(i); });
  trained_ = true;
}

void CenteringTransform::check_values() const {
  if (mean.size() != d_in)
    throw NotTrainedError(text("this CenteringTransform has a mean of ", mean.size(),
                               " values, not ", d_in, "; call train(x), or set mean (d_in,)"));
}

void CenteringTransform::do_apply(Matrix<const float> x, float* out) const {
  for (size_t i = 0; i < x.rows; ++i)
    for (size_t j = 0; j < d_in; ++j) out[i * d_in + j] = x.row(i)[j] - mean[j];
}

void CenteringTransform::do_reverse(Matrix<const float> y, float* out) const {
  for (size_t i = 0; i < y.rows; ++i)
    for (size_t j = 0; j < d_in; ++j) out[i * d_in + j] = y.row(i)[j] + mean[j];
}

bool CenteringTransform::same_values(const VectorTransform& other) const {
  return dynamic_cast<const CenteringTransform&>(other).mean == mean;
}

}  // namespace shortlist
