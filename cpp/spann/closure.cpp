#include "spann/closure.h"

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"

namespace shortlist::spann {

std::vector<slot_t> closure(const Vectors& centroids, const slot_t* candidates, const float* near,
                            size_t rows, size_t width, const ClosureOptions& options) {
  if (options.replicas < 1)
    throw ArgumentError("replicas = 0; every vector must be in a list at least");
  if (!(options.rng_factor >= 0) || !(options.epsilon >= 0))
    throw ArgumentError(text("rng_factor = ", options.rng_factor,
                             " and epsilon = ", options.epsilon, "; both must be 0 or more"));
  constexpr size_t kGrain = 256;
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

}  // namespace shortlist::spann
