#include "codec/oddint/rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/random.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr size_t kRounds = 4;

// Calls fn(begin, size) for each block of a round.
template <class Fn>
void for_blocks(size_t m, size_t round, Fn fn) {
  for (size_t begin = 0, rest = m; rest > 0;) {
    const size_t size = round % 2 ? rest & -rest : std::bit_floor(rest);
    fn(begin, size);
    begin += size;
    rest -= size;
  }
}

// Each turn by 45 degrees is left sqrt(2) too large, and every second one makes up for two.
void turn(float* x, size_t m, size_t round) {
  if (std::has_single_bit(m)) return;
  const size_t half = m / 2;
  const float scale = round % 2 ? 0.5f : 1.f;
  float* __restrict low = x;
  float* __restrict high = x + half;
  for (size_t i = 0; i < half; ++i) {
    const float a = low[i], b = high[i];
    low[i] = (a + b) * scale;
    high[i] = (a - b) * scale;
  }
}

}  // namespace

Rotation::Rotation(size_t d, size_t m, uint64_t seed) : d_(d), m_(m), factors_(kRounds * m_) {
  for (size_t round = 0; round < kRounds; ++round)
    for_blocks(m_, round, [&](size_t begin, size_t size) {
      const float scale = 1.f / std::sqrt(static_cast<float>(size));
      for (size_t i = round * m_ + begin; i < round * m_ + begin + size; ++i)
        factors_[i] = mix64(mix64(seed) ^ (i / 64)) >> i % 64 & 1 ? scale : -scale;
    });
}

void Rotation::apply(const float* x, float* out) const {
  const auto hadamard = kernels::active().hadamard;
  std::fill(std::copy_n(x, d_, out), out + m_, 0.f);
  for (size_t round = 0; round < kRounds; ++round) {
    const float* factors = factors_.data() + round * m_;
    for_blocks(m_, round,
               [&](size_t begin, size_t size) { hadamard(factors + begin, out + begin, size); });
    turn(out, m_, round);
  }
}

void Rotation::apply_inverse(const float* y, float* out) const {
  const auto hadamard = kernels::active().hadamard;
  std::copy_n(y, m_, out);
  for (size_t round = kRounds; round-- > 0;) {
    turn(out, m_, round);
    for_blocks(m_, round, [&](size_t begin, size_t size) { hadamard(nullptr, out + begin, size); });
    const float* factors = factors_.data() + round * m_;
    for (size_t i = 0; i < m_; ++i) out[i] *= factors[i];
  }
}

}  // namespace shortlist
