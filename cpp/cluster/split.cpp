#include "cluster/split.h"

#include <cmath>
#include <queue>

#include "base/random.h"

namespace shortlist::cluster {
namespace {

// Puts b beside a, each as far from where a was, in a direction drawn for cluster e.
void move_apart(float* a, float* b, size_t d, double variance, uint64_t seed, size_t e) {
  constexpr double kStep = 1. / 16;  // at most, of the standard deviation along one dimension
  const double step = kStep * std::sqrt(variance / static_cast<double>(d));
  for (size_t t = 0; t < d; ++t) {
    const auto by = static_cast<float>(step * (2 * uniform(seed + e, t) - 1));
    b[t] = a[t] - by;
    a[t] += by;
  }
}

struct Part {
  double squares, variance;  // the variance is that of the cluster it began as
  size_t points, cluster;
  bool operator<(const Part& o) const {
    return squares != o.squares ? squares < o.squares : cluster > o.cluster;
  }
};

}  // namespace

size_t split_largest(Matrix<float> centroids, const std::vector<Spread>& clusters, size_t first,
                     uint64_t seed) {
  std::vector<size_t> empty;
  std::priority_queue<Part> parts;
  const auto offer = [&](const Part& part) {
    if (part.points > 1 && part.squares > 0) parts.push(part);
  };
  for (size_t c = first; c < centroids.rows; ++c) {
    const Spread& whole = clusters[c];
    if (whole.weight > 0)
      offer({whole.squares, whole.squares / whole.weight, whole.points, c});
    else
      empty.push_back(c);
  }
  size_t splits = 0;
  for (; splits < empty.size() && !parts.empty(); ++splits) {
    Part half = parts.top();
    parts.pop();
    const size_t c = half.cluster, e = empty[splits];
    move_apart(centroids.row(c), centroids.row(e), centroids.cols, half.variance, seed, e);
    half.squares /= 2;
    half.points /= 2;
    offer(half);
    half.cluster = e;
    offer(half);
  }
  return splits;
}

}  // namespace shortlist::cluster
