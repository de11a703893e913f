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

bool QueryGrid::Steps::usable() const { return std::isfinite(times) && std::isfinite(step); }

float QueryGrid::Steps::code(float x) const {
  // std::round of what is not negative, without a branch.
  const auto whole = [](float y) { return static_cast<float>(static_cast<int32_t>(y)); };
  const float y = (std::clamp(x, low, high) - low) * times, down = whole(y);
  return down + whole(2 * (y - down));
}

QueryGrid::Steps QueryGrid::steps(const float* r, size_t d) const {
  Steps s{};
  s.most = static_cast<float>((1 << bits) - 1);
  if (centered) {
    s.square = ordered_dot(r, r, d);
    s.high = kReach[bits - 1] * std::sqrt(s.square / static_cast<float>(d));
    s.low = -s.high;
  } else {
    std::tie(s.low, s.high) = ends(r, d);
  }
  s.step = (s.high - s.low) / s.most;
  s.times = 1 / s.step;
  return s;
}

void QueryGrid::round(float* r, size_t d) const {
  if (bits == 0 || d == 0 || !finite(r, d)) return;
  const Steps s = steps(r, d);
  if (!s.usable()) return;
  if (!centered) {
    for (size_t i = 0; i < d; ++i) r[i] = s.low + s.step * s.code(r[i]);
    return;
  }
  for (size_t i = 0; i < d; ++i) r[i] = 2 * s.code(r[i]) - s.most;
  const float scale = std::sqrt(s.square / ordered_dot(r, r, d));
  for (size_t i = 0; i < d; ++i) r[i] *= scale;
}

QueryGrid::Summands QueryGrid::summands(const float* r, size_t d, float* v) const {
  const Steps s = steps(r, d);
  const float root = std::sqrt(static_cast<float>(d)), inverse = 1 / root;
  if (!s.usable()) {
    for (size_t i = 0; i < d; ++i) v[i] = 2 * r[i] * inverse;
    return {0, root / 2};
  }
  if (!centered) {
    const float times = 2 * s.step * inverse, from = 2 * s.low * inverse;
    for (size_t i = 0; i < d; ++i) v[i] = times * s.code(r[i]) + from;
    return {0, root / 2};
  }
  float base = 0;
  for (size_t i = 0; i < d; ++i) {
    const float code = s.code(r[i]);
    v[i] = s.most - 2 * code;
    base += code;
  }
  return {base, -std::sqrt(s.square / ordered_dot(v, v, d))};
}

}  // namespace shortlist
