#include "codec/oddint/query_grid.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>

#include "kernels/floats.h"

namespace shortlist {
namespace {

// Spreads of a normal distribution beyond which rounding to so many bits errs least if it clips.
constexpr float kReach[] = {0.79688f, 1.49375f, 2.05078f, 2.50938f,
                            2.91250f, 3.26406f, 3.59844f, 3.91016f};

// The least and the greatest of d values.
std::pair<float, float> ends(const float* r, size_t d) {
  constexpr size_t kLanes = 8;  // that do not wait for each other
  float low[kLanes], high[kLanes];
  std::fill_n(low, kLanes, r[0]);
  std::fill_n(high, kLanes, r[0]);
  const auto meet = [&](size_t lane, float x) {
    low[lane] = x < low[lane] ? x : low[lane];
    high[lane] = x > high[lane] ? x : high[lane];
  };
  size_t i = 0;
  for (; i + kLanes <= d; i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) meet(l, r[i + l]);
  for (; i < d; ++i) meet(0, r[i]);
  return {*std::min_element(low, low + kLanes), *std::max_element(high, high + kLanes)};
}

}  // namespace

void QueryGrid::round(float* r, size_t d) const {
  if (bits == 0 || d == 0 || !finite(r, d)) return;
  float low, high, square = 0;
  if (centered) {
    square = ordered_dot(r, r, d);
    high = kReach[bits - 1] * std::sqrt(square / static_cast<float>(d));
    low = -high;
  } else {
    std::tie(low, high) = ends(r, d);
  }
  const auto most = static_cast<float>((1 << bits) - 1);
  const float step = (high - low) / most, times = 1 / step;
  // Values that are all the same, or too large to be told apart.
  if (!std::isfinite(times) || !std::isfinite(step)) return;
  const auto whole = [](float y) { return static_cast<float>(static_cast<int32_t>(y)); };
  const auto code = [&](float x) {  // std::round of what is not negative, without a branch
    const float y = (x - low) * times, down = whole(y);
    return down + whole(2 * (y - down));
  };
  if (!centered) {
    for (size_t i = 0; i < d; ++i) r[i] = low + step * code(r[i]);
    return;
  }
  for (size_t i = 0; i < d; ++i) r[i] = 2 * code(std::clamp(r[i], low, high)) - most;
  const float scale = std::sqrt(square / ordered_dot(r, r, d));
  for (size_t i = 0; i < d; ++i) r[i] *= scale;
}

}  // namespace shortlist
