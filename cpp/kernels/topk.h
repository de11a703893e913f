// The k nearest of a stream of (distance, slot).
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "base/hit.h"
#include "kernels/kernels.h"

namespace shortlist {

// Reservoir: keeps up to about 2k unsorted and drops about half when full, so that one costs O(1)
// amortised for any k. Distances and slots lie apart, for the kernels that add them in blocks and
// find a bound. NaN distances and distances of +inf are never kept.
class TopK {
 public:
  static constexpr size_t kMostTaken = 256;  // distances at a time

  explicit TopK(size_t k = 0) { reset(k); }

  void reset(size_t k) {
    if (const size_t room = full_of(k) + kMostTaken; room > room_) {
      distances_ = std::make_unique_for_overwrite<float[]>(room);  // not touched before it is used
      slots_ = std::make_unique_for_overwrite<slot_t[]>(room);
      room_ = room;
    }
    k_ = k;
    full_ = full_of(k);
    n_ = 0;
    limit_ = k ? kInfinity : -kInfinity;
  }
  // Distances above this cannot enter.
  float limit() const { return limit_; }

  void push(float distance, slot_t slot) {
    if (!(distance <= limit_ && distance < kInfinity)) return;
    distances_[n_] = distance;
    slots_[n_++] = slot;
    if (n_ == full_) drop();
  }
  // Marked distances of up to kMostTaken / 32 blocks, as kernel take_marked has them; each is below
  // limit().
  void take(const float* distances, const uint32_t* masks, size_t blocks, slot_t first) {
    n_ += kernels::active().take_marked(distances, masks, blocks, first, &distances_[n_],
                                        &slots_[n_]);
    if (n_ >= full_) drop();
  }
  void merge(const TopK& other) {
    for (size_t i = 0; i < other.n_; ++i) push(other.distances_[i], other.slots_[i]);
  }
  // Sorted, nearest first; at most k.
  std::vector<hit_t> finish() {
    if (n_ > k_) drop();
    std::vector<hit_t> out = hits();
    std::sort(out.begin(), out.end());
    out.resize(std::min(n_, k_));
    return out;
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static size_t full_of(size_t k) { return k + std::max<size_t>(k, 96); }

  std::vector<hit_t> hits() const {
    std::vector<hit_t> out(n_);
    for (size_t i = 0; i < n_; ++i) out[i] = make_hit(distances_[i], slots_[i]);
    return out;
  }
  void drop() {
    if (k_ == 0) return void(n_ = 0);
    n_ = kernels::active().keep_nearest(distances_.get(), slots_.get(), n_, k_, &limit_);
    if (n_ <= k_ + (full_ - k_) / 2) return;
    std::vector<hit_t> all = hits();  // many are equally near: the smaller slots stay
    const auto kth = all.begin() + static_cast<ptrdiff_t>(k_ - 1);
    std::nth_element(all.begin(), kth, all.end());
    limit_ = distance_of(*kth);
    for (n_ = 0; n_ < k_; ++n_) {
      distances_[n_] = distance_of(all[n_]);
      slots_[n_] = slot_of(all[n_]);
    }
  }

  size_t k_ = 0, full_ = 0, n_ = 0, room_ = 0;
  float limit_ = 0;
  std::unique_ptr<float[]> distances_;
  std::unique_ptr<slot_t[]> slots_;
};

}  // namespace shortlist
