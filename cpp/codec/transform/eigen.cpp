#include "codec/transform/eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr size_t kGrain = 32;    // rows at a time
constexpr size_t kColumns = 64;  // of the vectors, turned at a time
constexpr size_t kBatch = 1024;  // turns collected before the vectors follow

// A matrix with `diagonal` and `beside` (one shorter) where reflections have brought it. Row k
// keeps the vector of reflection k in its columns from k + 1 on; it is I - weights[k] v v^T.
struct Tridiagonal {
  std::vector<double> diagonal, beside, weights;
};

Tridiagonal reflect(std::vector<double>& a, size_t n) {
  Tridiagonal t{std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> w(n);
  for (size_t k = 0; k < n; ++k) {
    poll_interrupt();
    t.diagonal[k] = a[k * n + k];
    const size_t first = k + 1, m = n - first;
    if (m == 0) break;
    double* v = a.data() + k * n + first;
    const double length = m > 1 ? std::sqrt(ordered_dot(v, v, m)) : 0;
    if (m == 1 || length == std::abs(v[0])) {  // nothing to clear
      t.beside[k] = v[0];
      continue;
    }
    t.beside[k] = v[0] > 0 ? -length : length;
    v[0] -= t.beside[k];
    const double weight = t.weights[k] = 2 / ordered_dot(v, v, m);
    const ParallelOptions options{.grain = kGrain};
    parallel_for(m, options, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i)
        w[i] = weight * ordered_dot(a.data() + (first + i) * n + first, v, m);
    });
    const double along = weight / 2 * ordered_dot(w.data(), v, m);
    for (size_t i = 0; i < m; ++i) w[i] -= along * v[i];
    parallel_for(m, options, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        double* row = a.data() + (first + i) * n + first;
        const double vi = v[i], wi = w[i];
        for (size_t j = 0; j < m; ++j) row[j] -= vi * w[j] + wi * v[j];
      }
    });
  }
  return t;
}

// The product of the reflections, transposed: row r is row r of I through all of them.
std::vector<double> product(const std::vector<double>& a, const Tridiagonal& t, size_t n) {
  std::vector<double> q(n * n);
  parallel_for(n, {.grain = 4}, [&](size_t begin, size_t end, size_t) {
    for (size_t r = begin; r < end; ++r) {
      poll_interrupt();
      double* row = q.data() + r * n;
      row[r] = 1;
      for (size_t k = r; k-- > 0;) {  // the later ones leave the row as it is
        if (t.weights[k] == 0) continue;
        const size_t first = k + 1, m = n - first;
        const double* v = a.data() + k * n + first;
        const double along = t.weights[k] * ordered_dot(row + first, v, m);
        for (size_t j = 0; j < m; ++j) row[first + j] -= along * v[j];
      }
    }
  });
  return q;
}

struct Turn {
  size_t row;  // turned with the row behind it
  double c, s;
};

void turn(std::vector<double>& rows, size_t n, std::vector<Turn>& turns) {
  poll_interrupt();
  parallel_for((n + kColumns - 1) / kColumns, {}, [&](size_t begin, size_t end, size_t) {
    for (size_t chunk = begin; chunk < end; ++chunk) {
      const size_t from = chunk * kColumns, m = std::min(kColumns, n - from);
      for (const Turn& t : turns) {
        double* __restrict low = rows.data() + t.row * n + from;
        double* __restrict high = low + n;
        for (size_t j = 0; j < m; ++j) {
          const double f = high[j];
          high[j] = t.s * low[j] + t.c * f;
          low[j] = t.c * low[j] - t.s * f;
        }
      }
    }
  });
  turns.clear();
}

// Makes the tridiagonal matrix diagonal, and turns `rows` with it.
void diagonalise(Tridiagonal& t, std::vector<double>& rows, size_t n) {
  constexpr int kMostSweeps = 60;
  std::vector<double>&d = t.diagonal, &e = t.beside;
  std::vector<Turn> turns;
  double scale = 0;  // what is nothing beside the whole is nothing
  for (size_t i = 0; i < n; ++i) scale = std::max(scale, std::abs(d[i]) + std::abs(e[i]));
  const double nothing = scale * std::numeric_limits<double>::epsilon();
  for (size_t l = 0; l < n; ++l)
    for (int sweep = 0;; ++sweep) {
      size_t m = l;
      while (m + 1 < n && std::abs(e[m]) > nothing * 1e-3 &&
             std::abs(e[m]) >
                 std::numeric_limits<double>::epsilon() * (std::abs(d[m]) + std::abs(d[m + 1])))
        ++m;
      if (m == l) break;
      if (sweep == kMostSweeps)
        throw ArgumentError(
            "the eigenvalues of the training vectors were not found; are their "
            "values extremely large or small?");
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      double r = std::hypot(g, 1.0);
      g = d[m] - d[l] + e[l] / (g + std::copysign(r, g));
      double s = 1, c = 1, p = 0;
      bool split = false;  // by an entry that vanished on the way
      for (size_t i = m; i-- > l;) {
        const double f = s * e[i];
        const double b = c * e[i];
        r = std::hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          split = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        turns.push_back({i, c, s});
      }
      if (turns.size() >= kBatch) turn(rows, n, turns);
      if (split) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  turn(rows, n, turns);
}

}  // namespace

std::vector<double> eigen_symmetric(std::vector<double>& a, size_t n) {
  Tridiagonal t = reflect(a, n);
  std::vector<double> rows = product(a, t, n);
  diagonalise(t, rows, n);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return t.diagonal[i] > t.diagonal[j]; });
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = t.diagonal[order[i]];
    std::copy_n(rows.data() + order[i] * n, n, a.data() + i * n);
  }
  return values;
}

}  // namespace shortlist
