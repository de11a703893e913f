#include "codec/anisotropic.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr int kRounds = 10;  // over the parts of a code; few change after the third
constexpr size_t kRowGrain = 64, kClusterGrain = 8;

// Of the squared part of an error along x, per <error, x>^2.
double weight_of(const float* x, size_t d, double eta) {
  const double square = ordered_dot(x, x, d);
  return square > 0 ? (eta - 1) / square : 0;
}

// Solves a v = b in place of b, for a positive definite n x n `a`, whose lower half is overwritten.
void solve(std::vector<double>& a, std::vector<double>& b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(a[j * n + j]);
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
}

// Codes of all rows, and how far each is off along its vector.
class Fitting {
 public:
  Fitting(Matrix<const float> x, double eta, Parts parts, std::vector<float>& centroids)
      : x_(x),
        eta_(eta),
        parts_(parts),
        centroids_(centroids),
        numbers_(x.rows * parts.M),
        weights_(x.rows),
        along_(x.rows) {
    for (size_t i = 0; i < x.rows; ++i) weights_[i] = weight_of(x.row(i), x.cols, eta);
  }

  void encode(bool known) {
    parallel_for(x_.rows, {.grain = kRowGrain}, [&](size_t begin, size_t end, size_t) {
      poll_interrupt();
      AnisotropicEncoder encoder(parts_, centroids_, eta_);
      for (size_t i = begin; i < end; ++i) {
        encoder.encode(x_.row(i), known, &numbers_[i * parts_.M]);
        along_[i] = 0;
        for (size_t m = 0; m < parts_.M; ++m) along_[i] += error_along(i, m);
      }
    });
  }

  // The best centroids of part m for the codes and the other parts.
  void move(size_t m) {
    std::vector<std::vector<size_t>> rows(parts_.ksub);
    for (size_t i = 0; i < x_.rows; ++i) rows[numbers_[i * parts_.M + m]].push_back(i);
    parallel_for(parts_.ksub, {.grain = kClusterGrain}, [&](size_t begin, size_t end, size_t) {
      for (size_t c = begin; c < end; ++c)
        if (!rows[c].empty()) move(m, c, rows[c]);
    });
  }

 private:
  const float* part(size_t i, size_t m) const { return x_.row(i) + m * parts_.dsub; }
  double error_along(size_t i, size_t m) const {
    const float* u = part(i, m);
    const float* c = parts_.part(m, centroids_) + numbers_[i * parts_.M + m] * parts_.dsub;
    double sum = 0;
    for (size_t t = 0; t < parts_.dsub; ++t) sum += (double{u[t]} - c[t]) * u[t];
    return sum;
  }

  // Where the gradient of sum |u - c|^2 + w (others + <u - c, u>)^2 is 0, u being the rows' parts.
  void move(size_t m, size_t cluster, const std::vector<size_t>& rows) {
    const size_t n = parts_.dsub;
    std::vector<double> a(n * n), b(n);
    for (size_t j = 0; j < n; ++j) a[j * n + j] = static_cast<double>(rows.size());
    for (const size_t i : rows) {
      poll_interrupt();
      const float* u = part(i, m);
      along_[i] -= error_along(i, m);
      const double w = weights_[i];
      const double pull = 1 + w * (along_[i] + ordered_dot(u, u, n));
      for (size_t j = 0; j < n; ++j) {
        b[j] += pull * u[j];
        for (size_t k = 0; k <= j; ++k) a[j * n + k] += w * u[j] * u[k];
      }
    }
    solve(a, b);
    float* centroid = centroids_.data() + (m * parts_.ksub + cluster) * n;
    std::copy(b.begin(), b.end(), centroid);
    for (const size_t i : rows) along_[i] += error_along(i, m);
  }

  const Matrix<const float> x_;
  const double eta_;
  const Parts parts_;
  std::vector<float>& centroids_;
  std::vector<uint8_t> numbers_;
  std::vector<double> weights_, along_;  // <x - x', x>
};

}  // namespace

double anisotropic_eta(double threshold, size_t d) {
  const double square = threshold * threshold;
  return std::max(1., static_cast<double>(d - 1) * square / (1 - square));
}

AnisotropicEncoder::AnisotropicEncoder(Parts parts, const std::vector<float>& centroids, double eta)
    : parts_(parts),
      centroids_(centroids),
      eta_(eta),
      squares_(parts.M * parts.ksub),
      along_(squares_.size()) {}

void AnisotropicEncoder::encode(const float* x, bool known, uint8_t* numbers) {
  const auto [M, ksub, dsub] = parts_;
  const double weight = weight_of(x, M * dsub, eta_);
  double along = 0;
  for (size_t m = 0; m < M; ++m) {
    const float* u = x + m * dsub;
    const auto* rows = reinterpret_cast<const std::byte*>(parts_.part(m, centroids_));
    float* squares = &squares_[m * ksub];
    float* part = &along_[m * ksub];
    const auto& kernels = kernels::active().rows;
    kernels[kernels::l2_f32](u, rows, dsub * sizeof(float), nullptr, ksub, dsub, squares);
    kernels[kernels::ip_f32](u, rows, dsub * sizeof(float), nullptr, ksub, dsub, part);
    const float own = ordered_dot(u, u, dsub);
    for (size_t c = 0; c < ksub; ++c) part[c] = own - part[c];
    if (!known)
      numbers[m] = static_cast<uint8_t>(std::min_element(squares, squares + ksub) - squares);
    along += part[numbers[m]];
  }
  bool changed = weight > 0;
  for (int round = 0; changed && round < kRounds; ++round) {
    changed = false;
    for (size_t m = 0; m < M; ++m) {
      const float* squares = &squares_[m * ksub];
      const float* part = &along_[m * ksub];
      const double others = along - part[numbers[m]];
      const auto cost = [&](size_t c) {
        const double off = others + part[c];
        return squares[c] + weight * off * off;
      };
      size_t best = numbers[m];
      double least = cost(best);
      for (size_t c = 0; c < ksub; ++c)
        if (const double now = cost(c); now < least) {
          least = now;
          best = c;
        }
      if (best == numbers[m]) continue;
      numbers[m] = static_cast<uint8_t>(best);
      along = others + part[best];
      changed = true;
    }
  }
}

void refine_anisotropic(Matrix<const float> x, double eta, size_t turns, Parts parts,
                        std::vector<float>& centroids) {
  Fitting fitting(x, eta, parts, centroids);
  for (size_t turn = 0; turn < turns; ++turn) {
    fitting.encode(turn > 0);
    for (size_t m = 0; m < parts.M; ++m) fitting.move(m);
  }
}

}  // namespace shortlist
