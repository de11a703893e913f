#include "cluster/init.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "base/threads.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist::cluster {
namespace {

constexpr size_t kChunk = 1024;  // rows whose masses are added up together

}  // namespace

std::vector<size_t> sample(size_t n, size_t count, uint64_t seed) {
  std::vector<size_t> chosen;
  chosen.reserve(count);
  for (size_t i = 0; chosen.size() < count; ++i) {
    if (i % kChunk == 0) poll_interrupt();
    const auto left = static_cast<double>(n - i);
    if (uniform(seed, i) * left <= static_cast<double>(count - chosen.size())) chosen.push_back(i);
  }
  return chosen;
}

void kmeans_plus_plus(const Rows& x, const float* weights, uint64_t seed, size_t known,
                      Matrix<float> centroids) {
  const size_t chunks = (x.n + kChunk - 1) / kChunk;
  std::vector<float> nearest(x.n, 1.f);  // squared distances; before there are any, all alike
  std::vector<double> mass(chunks);      // of a chunk's rows
  const auto mass_of = [&](size_t i) { return double{nearest[i]} * (weights ? weights[i] : 1.f); };
  const auto add_up = [&](size_t c) {
    mass[c] = 0;
    for (size_t i = c * kChunk; i < std::min(x.n, (c + 1) * kChunk); ++i) mass[c] += mass_of(i);
  };
  const auto draw = [&](double u) {
    const double total = std::accumulate(mass.begin(), mass.end(), 0.);
    if (!(total > 0)) return std::min(x.n - 1, static_cast<size_t>(u * static_cast<double>(x.n)));
    double at = u * total;
    size_t c = 0;
    while (c + 1 < chunks && at > mass[c]) at -= mass[c++];
    size_t i = c * kChunk;
    const size_t last = std::min(x.n, i + kChunk) - 1;
    while (i < last && at > mass_of(i)) at -= mass_of(i++);
    return i;
  };

  for (size_t c = 0; c < chunks; ++c) add_up(c);
  for (size_t j = 0; j < centroids.rows; ++j) {
    float* centroid = centroids.row(j);
    if (j >= known) {
      std::vector<float> scratch;
      const size_t i = draw(uniform(seed, j));
      std::copy_n(as_floats(x.slice(i, i + 1), scratch), x.d, centroid);
    }
    parallel_for(chunks, {}, [&](size_t begin, size_t end, size_t) {
      std::vector<float> scratch;
      float distances[kChunk];
      for (size_t c = begin; c < end; ++c) {
        poll_interrupt();
        const size_t first = c * kChunk;
        const Rows part = x.slice(first, std::min(x.n, first + kChunk));
        const auto* rows = reinterpret_cast<const std::byte*>(as_floats(part, scratch));
        kernels::active().rows[kernels::l2_f32](centroid, rows, x.d * sizeof(float), nullptr,
                                                part.n, x.d, distances);
        for (size_t i = 0; i < part.n; ++i)
          nearest[first + i] = j ? std::min(nearest[first + i], distances[i]) : distances[i];
        add_up(c);
      }
    });
  }
}

}  // namespace shortlist::cluster
