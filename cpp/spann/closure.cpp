#include "spann/closure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/threads.h"
#include "cluster/soar.h"

namespace shortlist::spann {
namespace {

constexpr size_t kGrain = 256;  // rows that a thread takes at a time

void check_replicas(size_t replicas) {
  if (replicas < 1 || replicas > kMostReplicas)
    throw ArgumentError(text("replicas = ", replicas,
                             "; every vector must be in a list at least, and ", kMostReplicas,
                             " are the most"));
}

}  // namespace

std::vector<slot_t> closure(const Vectors& centroids, const slot_t* candidates, const float* near,
                            size_t rows, size_t width, const ClosureOptions& options) {
  check_replicas(options.replicas);
  if (!(options.rng_factor >= 0) || !(options.epsilon >= 0))
    throw ArgumentError(text("rng_factor = ", options.rng_factor,
                             " and epsilon = ", options.epsilon, "; both must be 0 or more"));
  std::vector<slot_t> out(rows * options.replicas, kNoSlot);
  const float reach = (1 + options.epsilon) * (1 + options.epsilon);
  parallel_for(rows, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    const auto computer = centroids.codec.distance_computer(Metric::l2, centroids.store);
    std::vector<float> apart(options.replicas);
    std::vector<slot_t> lists(options.replicas);
    for (size_t r = begin; r < end; ++r) {
      const slot_t* list = candidates + r * width;
      const float* far = near + r * width;
      slot_t* chosen = &out[r * options.replicas];
      size_t n = 0;
      for (size_t i = 0; i < width && n < options.replicas && list[i] != kNoSlot; ++i) {
        if (n && far[i] > reach * far[0]) break;
        if (n && options.rng_factor > 0) {
          computer->between(list[i], lists.data(), n, apart.data());
          const float least =
              *std::min_element(apart.begin(), apart.begin() + static_cast<long>(n));
          if (options.rng_factor * least < far[i]) continue;
        }
        lists[n] = list[i];
        chosen[n++] = static_cast<slot_t>(i);
      }
    }
  });
  return out;
}

std::vector<slot_t> spill(const Vectors& centroids, const Rows& x, const slot_t* candidates,
                          size_t width, const SpillOptions& options) {
  check_replicas(options.replicas);
  if (!(options.lambda >= 0 && std::isfinite(options.lambda)))
    throw ArgumentError(text("soar_lambda = ", options.lambda, "; it must be 0 or more, as 1.5"));
  std::vector<slot_t> out(x.n * options.replicas, kNoSlot);
  parallel_for(x.n, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> near(width * x.d), scratch;
    std::vector<slot_t> places(width);  // in `near`
    std::iota(places.begin(), places.end(), slot_t{0});
    cluster::Spill rule({near.data(), width, x.d}, options.lambda);
    const float* rows = as_floats(x.slice(begin, end), scratch);
    for (size_t r = begin; r < end; ++r) {
      const slot_t* list = candidates + r * width;
      size_t n = 0;
      for (; n < width && list[n] != kNoSlot; ++n)
        centroids.codec.decode(centroids.store.row(list[n]), 1, &near[n * x.d]);
      if (!n) continue;
      const std::span<slot_t> chosen(&out[r * options.replicas], options.replicas);
      chosen[0] = 0;
      rule.choose(rows + (r - begin) * x.d, 0, {places.data(), n}, chosen.subspan(1));
    }
  });
  return out;
}

}  // namespace shortlist::spann
