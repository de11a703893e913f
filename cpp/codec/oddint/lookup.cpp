#include "codec/oddint/lookup.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"

namespace shortlist {
namespace {

// How far apart the sums of four dimensions are.
struct Spread {
  Spread(const float* q, size_t m) {
    constexpr size_t kLanes = 4;  // sums that do not wait for each other
    float most[kLanes]{}, sums[kLanes]{};
    for (size_t i = 0; i < m; i += kLanes * kTableDims)
      for (size_t l = 0; l < kLanes; ++l) {
        const float* x = q + i + l * kTableDims;
        const float range = std::abs(x[0]) + std::abs(x[1]) + std::abs(x[2]) + std::abs(x[3]);
        most[l] = std::max(most[l], range);
        sums[l] += range;
      }
    widest = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
    size = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  // The least sums come to all negative q_i; less half of all q_i, that is -|q_i| / 2 each.
  float offset() const { return -size / 2; }
  // Makes the widest `most`, or less by what makes units whole. 0 of zero, of numbers too small to
  // divide by, and of Inf and NaN, which stay in `offset`.
  float scale(float most, float unit) const {
    if (unit > 0 && most * unit >= widest && widest > 0)
      return std::floor(most * unit / widest) / unit;
    const float out = most / widest;
    const bool usable = out > 0 && out <= std::numeric_limits<float>::max() && std::isfinite(size);
    return usable ? out : 0;
  }

  float widest, size;  // of one group; of all
};

}  // namespace

void pack32(const uint8_t* bits, size_t stride, size_t n, size_t m, uint8_t* block) {
  constexpr size_t kHalf = kBlockVectors / 2;
  const auto byte = [&](size_t v, size_t k) { return v < n ? bits[v * stride + k] : 0; };
  for (size_t k = 0; k < m / 8; ++k, block += 2 * kHalf)
    for (size_t j = 0; j < kHalf; ++j) {
      const int low = byte(j, k), high = byte(j + kHalf, k);
      block[j] = static_cast<uint8_t>((low & 15) | high << 4);
      block[j + kHalf] = static_cast<uint8_t>(low >> 4 | (high & 0xf0));
    }
}

void unpack32(const uint8_t* block, size_t n, size_t m, uint8_t* bits, size_t stride) {
  constexpr size_t kHalf = kBlockVectors / 2;
  for (size_t k = 0; k < m / 8; ++k, block += 2 * kHalf)
    for (size_t v = 0; v < n; ++v) {
      const int first = block[v % kHalf], second = block[v % kHalf + kHalf];
      bits[v * stride + k] = static_cast<uint8_t>(v < kHalf ? (first & 15) | second << 4
                                                            : first >> 4 | (second & 0xf0));
    }
}

void QueryTable::set(const float* q, size_t m, float unit, uint8_t most) {
  groups = m / kTableDims;
  entries.resize(16 * groups);
  const Spread spread(q, m);
  offset = spread.offset();
  const float scale = spread.scale(most, unit);
  step = scale > 0 ? 1 / scale : 0;
  if (scale > 0)
    kernels::active().lut_tables(q, scale, groups, entries.data());
  else
    std::fill(entries.begin(), entries.end(), uint8_t{0});
}

void FineQueryTable::set(const float* q, size_t m, float unit) {
  constexpr float most = 65535;
  groups = m / kTableDims;
  high.resize(16 * groups);
  low.resize(16 * groups);
  const Spread spread(q, m);
  offset = spread.offset();
  const float scale = spread.scale(most, unit);
  step = scale > 0 ? 1 / static_cast<double>(scale) : 0;
  if (!(scale > 0)) {
    std::fill(high.begin(), high.end(), uint8_t{0});
    std::fill(low.begin(), low.end(), uint8_t{0});
    return;
  }
  for (size_t g = 0; g < groups; ++g, q += kTableDims) {
    const float first[4] = {0, q[0], q[1], q[0] + q[1]}, second[4] = {0, q[2], q[3], q[2] + q[3]};
    const float least =
        (std::min(q[0], 0.f) + std::min(q[1], 0.f)) + (std::min(q[2], 0.f) + std::min(q[3], 0.f));
    int32_t entry[16];
    for (size_t h = 0; h < 4; ++h)
      for (size_t l = 0; l < 4; ++l) {
        const float scaled = (first[l] + second[h] - least) * scale + 0.5f;
        entry[4 * h + l] = static_cast<int32_t>(scaled < most ? scaled : most);
      }
    for (size_t j = 0; j < 16; ++j) high[16 * g + j] = static_cast<uint8_t>(entry[j] >> 8);
    for (size_t j = 0; j < 16; ++j) low[16 * g + j] = static_cast<uint8_t>(entry[j]);
  }
}

namespace {

// The least and the greatest sum of four values, added in the order in which tables are. Halves are
// exact, and no branch waits for signs that nobody foresees.
struct Ends {
  explicit Ends(const float* v) {
    for (size_t i = 0; i < kTableDims; ++i) {
      low += (v[i] - std::abs(v[i])) / 2;
      high += (v[i] + std::abs(v[i])) / 2;
    }
  }
  float low = 0, high = 0;
};

}  // namespace

void ByteScale::meet(const float* v, size_t m, float base) {
  float size = 0, least = base;
  for (size_t i = 0; i < m; i += kTableDims) {
    const Ends ends(v + i);
    widest_ = std::max(widest_, ends.high - ends.low);
    size += ends.high - ends.low;
    least += ends.low;
  }
  size_ = std::max(size_, size);
  least_ = std::min(least_, least);
}

float ByteScale::scale() const {
  const float out = std::min(255 / widest_, 65535 / size_);
  return std::isfinite(out) ? out : 0;
}

void ByteScale::set(const float* v, size_t m, float base, FineQueryTable& out) const {
  const float by = scale();
  out.groups = m / kTableDims;
  out.high.assign(16 * out.groups, 0);
  out.low.resize(16 * out.groups);
  out.step = step();
  float least = base;
  for (size_t g = 0; g < out.groups; ++g, v += kTableDims) {
    const float low = Ends(v).low;
    least += low;
    for (size_t j = 0; j < 16; ++j) {
      float sum = 0;
      for (size_t i = 0; i < kTableDims; ++i) sum += j >> i & 1 ? v[i] : 0.f;
      const float scaled = by * (sum - low) + 0.5f;
      out.low[16 * g + j] = scaled < 255 ? static_cast<uint8_t>(scaled) : uint8_t{255};
    }
  }
  out.offset = least_ + out.step * std::floor(by * (least - least_) + 0.5f);
}

}  // namespace shortlist
