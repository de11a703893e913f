// The k nearest of a stream of (distance, slot).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/types.h"

namespace shortlist {

// Order-preserving map of a float's bits, so that (distance, slot) sorts as one integer: nearer
// first, then the smaller slot. That makes ties the same on every ISA and thread count.
inline uint32_t sortable(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return bits ^ (static_cast<uint32_t>(-static_cast<int32_t>(bits >> 31)) | 0x80000000u);
}
inline float from_sortable(uint32_t s) {
  return std::bit_cast<float>(s & 0x80000000u ? s ^ 0x80000000u : ~s);
}

using hit_t = uint64_t;
inline hit_t make_hit(float distance, slot_t slot) {
  return static_cast<uint64_t>(sortable(distance)) << 32 | slot;
}
inline float distance_of(hit_t h) { return from_sortable(static_cast<uint32_t>(h >> 32)); }
inline slot_t slot_of(hit_t h) { return static_cast<slot_t>(h); }

// Reservoir: keeps up to 2k hits unsorted and drops about half when full, so a hit costs O(1)
// amortised for any k. NaN distances and distances of +inf are never kept.
class TopK {
 public:
  explicit TopK(size_t k = 0) { reset(k); }

  void reset(size_t k) {
    k_ = k;
    hits_.clear();
    hits_.reserve(k + std::max<size_t>(k, 32));
    worst_ = std::numeric_limits<float>::infinity();
  }
  // Distances above this cannot enter.
  float worst() const { return worst_; }

  void push(float distance, slot_t slot) {
    if (distance <= worst_ && distance < std::numeric_limits<float>::infinity()) {
      hits_.push_back(make_hit(distance, slot));
      if (hits_.size() == hits_.capacity()) shrink();
    }
  }
  void merge(const TopK& other) {
    for (hit_t h : other.hits_) push(distance_of(h), slot_of(h));
  }
  // Sorted, nearest first; at most k.
  const std::vector<hit_t>& finish() {
    if (hits_.size() > k_) {
      std::nth_element(hits_.begin(), hits_.begin() + static_cast<ptrdiff_t>(k_), hits_.end());
      hits_.resize(k_);
    }
    std::sort(hits_.begin(), hits_.end());
    return hits_;
  }

 private:
  // Keeps k and some more: by a bound that a sample suggests, in one pass, where that does.
  void shrink() {
    if (k_ == 0) return hits_.clear();
    const size_t n = hits_.size();
    constexpr size_t kSample = 32, kFew = 128;
    if (n >= kFew) {
      hit_t sample[kSample];
      for (size_t i = 0; i < kSample; ++i) sample[i] = hits_[i * n / kSample];
      const size_t rank = std::min(kSample * k_ / n + kSample / 8, kSample - 1);
      std::nth_element(sample, sample + rank, sample + kSample);
      const hit_t bound = sample[rank];
      size_t within = 0;
      for (const hit_t h : hits_) within += h <= bound;
      if (within >= k_ && within < n - n / 8) {
        size_t kept = 0;
        for (size_t i = 0; i < n; ++i) {
          const hit_t h = hits_[i];
          hits_[kept] = h;
          kept += h <= bound;
        }
        worst_ = distance_of(bound);
        hits_.resize(kept);
        return;
      }
    }
    const auto kth = hits_.begin() + static_cast<ptrdiff_t>(k_ - 1);
    std::nth_element(hits_.begin(), kth, hits_.end());
    worst_ = distance_of(*kth);
    hits_.resize(k_);
  }

  size_t k_ = 0;
  float worst_ = 0;
  std::vector<hit_t> hits_;
};

}  // namespace shortlist
