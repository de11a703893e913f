#include "codec/oddint/query_grid.h"

#include <algorithm>
#include <cmath>

#include "kernels/floats.h"

namespace shortlist {
namespace {

// Spreads of a normal distribution beyond which rounding to so many bits errs least if it clips.
constexpr float kReach[] = {0.79688f, 1.49375f, 2.05078f, 2.50938f,
                            2.91250f, 3.26406f, 3.59844f, 3.91016f};

}  // namespace

void QueryGrid::round(float* r, size_t d) const {
  if (bits == 0 || d == 0) return;
  const float square = ordered_dot(r, r, d);
  float low, high;
  if (centered) {
    high = kReach[bits - 1] * std::sqrt(square / static_cast<float>(d));
    low = -high;
  } else {
    const auto [least, greatest] = std::minmax_element(r, r + d);
    low = *least;
    high = *greatest;
  }
  const auto most = static_cast<float>((1 << bits) - 1);
  const float step = (high - low) / most, times = 1 / step;
  if (!std::isfinite(times)) return;  // values that are all the same, or are no numbers
  const auto code = [&](float x) { return std::clamp(std::round((x - low) * times), 0.f, most); };
  if (!centered) {
    for (size_t i = 0; i < d; ++i) r[i] = low + step * code(r[i]);
    return;
  }
  for (size_t i = 0; i < d; ++i) r[i] = 2 * code(r[i]) - most;
  const float scale = std::sqrt(square / ordered_dot(r, r, d));
  for (size_t i = 0; i < d; ++i) r[i] *= scale;
}

}  // namespace shortlist
