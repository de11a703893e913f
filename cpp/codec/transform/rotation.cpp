#include "codec/transform/rotation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.h"
#include "base/threads.h"
#include "kernels/floats.h"

namespace shortlist {

float random_normal(uint64_t seed, uint64_t i) {
  const double radius = std::sqrt(-2 * std::log(uniform(seed, 2 * i)));
  return static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform(seed, 2 * i + 1)));
}

// Gram and Schmidt's way, twice for what rounding leaves over.
void make_orthonormal(std::vector<float>& rows, size_t n, size_t m) {
  for (size_t i = 0; i < n; ++i) {
    poll_interrupt();
    float* row = rows.data() + i * m;
    for (int pass = 0; pass < 2; ++pass)
      for (size_t j = 0; j < i; ++j) {
        const float* other = rows.data() + j * m;
        const float along = ordered_dot(row, other, m);
        for (size_t k = 0; k < m; ++k) row[k] -= along * other[k];
      }
    const float length = std::sqrt(ordered_dot(row, row, m));
    for (size_t k = 0; k < m; ++k) row[k] /= length;
  }
}

std::vector<float> random_rotation(size_t d_in, size_t d_out, uint64_t seed) {
  const size_t n = std::min(d_in, d_out), m = std::max(d_in, d_out);
  std::vector<float> drawn(n * m);
  for (size_t i = 0; i < n * m; ++i) drawn[i] = random_normal(seed, i);
  make_orthonormal(drawn, n, m);
  if (d_out <= d_in) return drawn;
  std::vector<float> turned(n * m);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j) turned[j * n + i] = drawn[i * m + j];
  return turned;
}

}  // namespace shortlist
