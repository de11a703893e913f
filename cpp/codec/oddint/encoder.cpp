#include "codec/oddint/encoder.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

constexpr uint64_t kSeed = 0x5dc;

}  // namespace

OddIntEncoder::OddIntEncoder(size_t d, size_t m) : d(d), m(m) {
  for (const size_t dims : {d, m})
    if (dims < 1 || dims > kMaxDimension)
      throw DimensionError(
          text("dimension ", dims, " is out of range; choose 1 to ", kMaxDimension));
}

RabitqEncoder::RabitqEncoder(size_t d, size_t m) : AngleEncoder(d, m), rotation_(d, m, kSeed) {}

void RabitqEncoder::turn(const float* x, float* out) const { rotation_.apply(x, out); }

void RabitqEncoder::turn_back(const float* u, float* out) const {
  std::vector<float> wide(m);
  rotation_.apply_inverse(u, wide.data());
  std::copy_n(wide.data(), d, out);
}

// Cells are t |x_i| cut to whole numbers. The angle between x and the cells' middles has many local
// optima in t; the best of a sweep, looked at closer, is as good as the exact optimum to within a
// tenth of its distance from zero.
void nearest_in_angle(const float* x, size_t m, int bits, uint8_t* c) {
  const auto half = 1 << (bits - 1);
  const auto most = static_cast<float>(half - 1);
  std::vector<float> sizes(m), u(m);
  float largest = 0, sum = 0;
  for (size_t i = 0; i < m; ++i) {
    sizes[i] = std::abs(x[i]);
    largest = std::max(largest, sizes[i]);
    sum += sizes[i];
  }
  const auto cells = [&](float t) {
    for (size_t i = 0; i < m; ++i)
      u[i] = static_cast<float>(static_cast<int>(sizes[i] * t < most ? sizes[i] * t : most)) + 0.5f;
  };
  float best_t = 0;
  if (bits > 1 && largest > 0) {
    // From where the largest value is in the middle cell to where twice the mean is cut off.
    float low = (most + 0.5f) / largest / 2;
    float high = std::max((most + 1) * static_cast<float>(m) / (2 * sum), 2 * low);
    float best = 0;
    for (int round = 0; round < 2; ++round) {
      const int steps = bits > 4 ? 56 : 16;
      const float step = (high - low) / static_cast<float>(steps), from = low;
      for (int s = 0; s <= steps; ++s) {
        const float t = from + step * static_cast<float>(s);
        cells(t);
        const float dot = ordered_dot(sizes.data(), u.data(), m);
        const float found = dot / std::sqrt(ordered_dot(u.data(), u.data(), m));
        if (found > best) {
          best = found;
          best_t = t;
        }
      }
      low = best_t - step;
      high = best_t + step;
    }
  }
  cells(best_t);
  for (size_t i = 0; i < m; ++i) {
    const int size = static_cast<int>(u[i]);
    c[i] = static_cast<uint8_t>(x[i] > 0 ? half + size : half - 1 - size);
  }
}

void AngleEncoder::code(const float*, const float* turned, size_t n, int bits, uint8_t* c) const {
  for (size_t i = 0; i < n; ++i) nearest_in_angle(turned + i * padded_dims(m), m, bits, c + i * m);
}

float AngleEncoder::rescale(const float*, const float* turned, const float* u) const {
  const float dot = ordered_dot(turned, u, m);
  return dot > 0 ? ordered_dot(turned, turned, m) / dot : 0.f;
}

}  // namespace shortlist
