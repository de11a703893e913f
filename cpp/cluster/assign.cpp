#include "cluster/assign.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/floats.h"
#include "kernels/topk.h"

namespace shortlist::cluster {
namespace {

constexpr size_t kBlock = 64;  // centroids that the filter kernel compares with at a time
constexpr size_t kGroup = 96;  // rows that share a pass over the centroids
constexpr size_t kGrain = 4 * kGroup;
constexpr size_t kPollBlocks = 16;
constexpr int kRowLevels = 127, kLevels = 63, kZero = 64;  // codes of centroids are 1 to 127
constexpr size_t kPlainDimension = 8;
constexpr size_t kMostDims = size_t{1} << 18;                   // sums of codes stay below 2^31
constexpr float kSmallest = std::numeric_limits<float>::min();  // below it rounding is coarser
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Length {
  float size, rest;  // at least |x - centre| and at least what its codes leave of it
};
Length length_of(const kernels::Quantized& q, float rounding) {
  const float lost = rounding * kSmallest;
  const float size = std::sqrt(q.square + lost) * (1 + rounding);
  return {size, std::sqrt(q.error + lost) * (1 + rounding) + rounding * size};
}

}  // namespace

struct Nearest::Scratch {
  std::vector<float> floats, values;  // rows as they are, and less the centre
  std::vector<int8_t> codes;
  kernels::FilterRow rows[kGroup];
  float worst;  // of what codes leave of a row, relative to its size
  float shift[kGroup], limits[kGroup], error[kBlock];
  uint64_t passing[kGroup];
};

Nearest::Nearest(Matrix<const float> centroids, Metric metric)
    : centroids_(centroids),
      metric_(metric),
      plain_(centroids.cols <= kPlainDimension),
      stride_((centroids.cols + 3) / 4 * 4),
      rounding_(static_cast<float>(centroids.cols + 16) * 0x1p-22f) {
  const size_t k = centroids.rows, d = centroids.cols, blocks = (k + kBlock - 1) / kBlock;
  if (d < 1 || d > kMostDims)
    throw DimensionError(
        text("the vectors have ", d, " dimensions; k-means takes 1 to ", kMostDims));
  std::vector<double> sums(d);
  for (size_t j = 0; j < k; ++j)
    for (size_t t = 0; t < d; ++t) sums[t] += centroids.row(j)[t];
  centre_.resize(d);
  for (size_t t = 0; t < d; ++t) centre_[t] = static_cast<float>(sums[t] / static_cast<double>(k));
  kernels::active().rows[kernels::ip_f32](centre_.data(),
                                          reinterpret_cast<const std::byte*>(centre_.data()), 0,
                                          nullptr, 1, d, &centre_square_);
  bias_.resize(blocks * kBlock);
  if (plain_) {
    values_.resize(blocks * kBlock * d);
  } else {
    codes_.resize(blocks * kBlock * stride_);
    for (auto* values : {&scale_, &size_, &rest_}) values->resize(blocks * kBlock);
  }
  parallel_for(blocks, {}, [&](size_t begin, size_t end, size_t) {
    for (size_t block = begin; block < end; ++block) pack(block);
  });
}

size_t Nearest::memory() const {
  size_t floats = centre_.capacity();
  for (const auto* values : {&bias_, &scale_, &size_, &rest_}) floats += values->capacity();
  return values_.capacity_bytes() + codes_.capacity_bytes() + floats * sizeof(float);
}

void Nearest::pack(size_t block) {
  const size_t d = centroids_.cols, first = block * kBlock;
  const size_t n = std::min(kBlock, centroids_.rows - first);
  const auto& kernel = kernels::active();
  std::vector<int8_t> codes(stride_);
  for (size_t i = 0; i < n; ++i) {
    const size_t j = first + i;
    const float* c = centroids_.row(j);
    const auto q = kernel.quantize(c, centre_.data(), d, kLevels, codes.data());
    if (plain_) {
      float* out = values_.data() + first * d + i;
      for (size_t t = 0; t < d; ++t) out[t * kBlock] = c[t] - centre_[t];
    } else {
      uint8_t* out = codes_.data() + first * stride_ + 4 * i;
      for (size_t t = 0; t < stride_; ++t)
        out[t / 4 * 4 * kBlock + t % 4] = static_cast<uint8_t>(codes[t] + kZero);
      const Length length = length_of(q, rounding_);
      scale_[j] = q.scale;
      size_[j] = length.size;
      rest_[j] = length.rest;
    }
    // Half the squared distance to x, and minus the inner product with x, are
    //   bias - <x - centre, c - centre> + what depends on x alone.
    float bias = q.square / 2;
    if (metric_ == Metric::inner_product) {
      kernel.rows[kernels::ip_f32](centre_.data(), reinterpret_cast<const std::byte*>(c), 0,
                                   nullptr, 1, d, &bias);
      bias = centre_square_ - bias;
    }
    bias_[j] = bias - 4 * rounding_ * (q.square + centre_square_ + kSmallest);
  }
}

// Row i of a group as the filter takes it; returns its squared distance from the centre.
float Nearest::ready(const float* x, size_t i, Scratch& s) const {
  const size_t d = centroids_.cols;
  if (plain_) {
    float square = 0;
    for (size_t t = 0; t < d; ++t) {
      const float v = x[t] - centre_[t];
      s.values[i * d + t] = v;
      square += v * v;
    }
    return square;
  }
  int8_t* codes = s.codes.data() + i * stride_;
  const auto q = kernels::active().quantize(x, centre_.data(), d, kRowLevels, codes);
  const Length length = length_of(q, rounding_);
  if (length.size > 0) s.worst = std::max(s.worst, length.rest / length.size);
  int32_t sum = 0;
  for (size_t t = 0; t < d; ++t) sum += codes[t];
  s.rows[i] = {q.scale, length.size, 0, -kZero * sum};
  return q.square;
}

// Which of the 64 centroids from `first` may be as near to the n rows as the nearest so far.
void Nearest::filter(size_t first, size_t n, Scratch& s) const {
  const auto& kernel = kernels::active();
  if (plain_) {
    const size_t d = centroids_.cols;
    kernel.filter_f32(s.values.data(), d, s.limits, n, values_.data() + first * d, &bias_[first], d,
                      s.passing);
    return;
  }
  for (size_t j = 0; j < kBlock; ++j)
    s.error[j] = rest_[first + j] + s.worst * (size_[first + j] + rest_[first + j]);
  for (size_t i = 0; i < n; ++i) s.rows[i].limit = s.limits[i];
  kernel.filter(s.codes.data(), stride_, s.rows, n,
                {codes_.data() + first * stride_, &scale_[first], &bias_[first], s.error}, stride_,
                s.passing);
}

Nearest::Scratch Nearest::scratch() const {
  Scratch out;
  if (plain_)
    out.values.resize(kGroup * centroids_.cols);
  else
    out.codes.resize(kGroup * stride_);
  return out;
}

template <class Keep>
void Nearest::compare_group(const Rows& x, Scratch& s, Keep& keep) const {
  const auto& kernel = kernels::active();
  const bool l2 = metric_ == Metric::l2;
  const size_t d = x.d, k = centroids_.rows;
  const float* floats = as_floats(x, s.floats);
  const kernels::RowsFn compare = kernel.rows[l2 ? kernels::l2_f32 : kernels::ip_f32];
  // Compares row i with these centroids.
  const auto score = [&](size_t i, const slot_t* slots, size_t n) {
    float found[kBlock];
    compare(floats + i * d, reinterpret_cast<const std::byte*>(centroids_.data), d * sizeof(float),
            slots, n, d, found);
    for (size_t c = 0; c < n; ++c) keep.offer(i, slots[c], l2 ? found[c] : -found[c]);
    const float limit = keep.limit(i);
    s.limits[i] = (l2 ? limit / 2 : limit) + s.shift[i] + rounding_ * std::fabs(limit);
  };

  s.worst = 0;
  for (size_t i = 0; i < x.n; ++i) {
    const float square = ready(floats + i * d, i, s);
    float shift = -square / 2;
    if (!l2)
      kernel.rows[kernels::ip_f32](centre_.data(),
                                   reinterpret_cast<const std::byte*>(floats + i * d), 0, nullptr,
                                   1, d, &shift);
    s.shift[i] = shift + 4 * rounding_ * (square + centre_square_ + kSmallest);
    s.limits[i] = kInfinity;
    if (const slot_t guess = keep.guess(i); guess != kNoSlot) score(i, &guess, 1);
  }

  for (size_t first = 0; first < k; first += kBlock) {
    if (first / kBlock % kPollBlocks == 0) poll_interrupt();
    filter(first, x.n, s);
    const size_t n = std::min(kBlock, k - first);
    const uint64_t real = n < 64 ? (uint64_t{1} << n) - 1 : ~uint64_t{0};
    for (size_t i = 0; i < x.n; ++i) {
      uint64_t passing = s.passing[i] & real;
      if (const size_t known = keep.known(i) - first; known < kBlock)
        passing &= ~(uint64_t{1} << known);
      if (!passing) continue;
      slot_t slots[kBlock];
      size_t count = 0;
      for (; passing; passing &= passing - 1)
        slots[count++] =
            static_cast<slot_t>(first) + static_cast<slot_t>(std::countr_zero(passing));
      score(i, slots, count);
    }
  }
}

namespace {

struct KeepOne {
  slot_t* nearest;
  float* distances;

  slot_t guess(size_t i) {
    distances[i] = kInfinity;
    return std::exchange(nearest[i], kNoSlot);
  }
  slot_t known(size_t i) const { return nearest[i]; }
  float limit(size_t i) const { return distances[i]; }
  void offer(size_t i, slot_t slot, float distance) {
    if (distance < distances[i] || (distance == distances[i] && slot < nearest[i])) {
      distances[i] = distance;
      nearest[i] = slot;
    }
  }
};

struct KeepSome {
  std::vector<TopK> tops;

  slot_t guess(size_t) const { return kNoSlot; }
  slot_t known(size_t) const { return kNoSlot; }
  float limit(size_t i) const { return tops[i].limit(); }
  void offer(size_t i, slot_t slot, float distance) { tops[i].push(distance, slot); }
};

}  // namespace

void throw_too_far() {
  throw ArgumentError(
      "a vector is too far from every centroid: the distance is more than float32 holds; "
      "scale the vectors down");
}

void Nearest::assign(const Rows& x, slot_t* nearest, float* distances) const {
  parallel_for(x.n, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    Scratch own = scratch();
    for (size_t at = begin; at < end; at += kGroup) {
      const size_t n = std::min(kGroup, end - at);
      KeepOne keep{nearest + at, distances + at};
      compare_group(x.slice(at, at + n), own, keep);
      if (!finite(distances + at, n)) throw_too_far();
    }
  });
}

void Nearest::search(const Rows& x, size_t n, slot_t* nearest, float* distances) const {
  Scratch own = scratch();
  KeepSome keep;
  for (size_t at = 0; at < x.n; at += kGroup) {
    const Rows some = x.slice(at, std::min(x.n, at + kGroup));
    keep.tops.resize(some.n);
    for (TopK& top : keep.tops) top.reset(n);
    compare_group(some, own, keep);
    for (size_t i = 0; i < some.n; ++i, nearest += n, distances += n) {
      const auto hits = keep.tops[i].finish();
      std::fill(nearest, nearest + n, kNoSlot);
      std::fill(distances, distances + n, kInfinity);
      for (size_t j = 0; j < hits.size(); ++j) {
        nearest[j] = slot_of(hits[j]);
        distances[j] = distance_of(hits[j]);
      }
    }
  }
}

}  // namespace shortlist::cluster
