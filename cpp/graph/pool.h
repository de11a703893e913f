// Working memory of a graph walk: the sorted candidate pool and the visited marks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/memory.h"
#include "base/topk.h"
#include "graph/blocks.h"

namespace shortlist {

// The `capacity` nearest candidates seen so far, sorted. An entry is a distance's sortable bits,
// 31 bits of slot, and whether the candidate was expanded, in one integer.
class CandidatePool {
 public:
  void reset(size_t capacity) {
    capacity_ = capacity;
    if (entries_.size() < capacity + 1) entries_.resize(capacity + 1);
    size_ = 0;
    worst_ = std::numeric_limits<float>::infinity();
  }
  size_t size() const { return size_; }
  slot_t slot(size_t i) const { return static_cast<slot_t>(entries_[i]) >> 1; }
  float distance(size_t i) const { return from_sortable(static_cast<uint32_t>(entries_[i] >> 32)); }
  bool expanded(size_t i) const { return entries_[i] & 1; }
  void expand(size_t i) { entries_[i] |= 1; }
  float worst() const { return worst_; }

  static constexpr size_t kRejected = SIZE_MAX;
  // The position taken, or kRejected. NaN is rejected; a slot offered twice stands twice.
  size_t push(float distance, slot_t slot) {
    if (!(distance < worst_)) return kRejected;
    const uint64_t entry = static_cast<uint64_t>(sortable(distance)) << 32 | uint64_t{slot} << 1;
    uint64_t* begin = entries_.data();
    uint64_t* at = std::upper_bound(begin, begin + size_, entry);
    std::memmove(at + 1, at, static_cast<size_t>(begin + size_ - at) * sizeof(uint64_t));
    *at = entry;
    if (size_ < capacity_) ++size_;
    if (size_ == capacity_) worst_ = this->distance(size_ - 1);
    return static_cast<size_t>(at - begin);
  }

 private:
  std::vector<uint64_t> entries_;
  size_t capacity_ = 0, size_ = 0;
  float worst_ = 0;
};

// One mark per slot; a new walk changes the mark's value instead of clearing all of them.
class Visited {
 public:
  // Those of one walk. A copy in registers: in a loop, each mark written could else be the value.
  class Marks {
   public:
    Marks(uint16_t* marks, uint16_t value) : marks_(marks), value_(value) {}
    bool test(slot_t s) const { return marks_[s] == value_; }
    bool test_and_set(slot_t s) const {
      const bool seen = marks_[s] == value_;
      marks_[s] = value_;
      return seen;
    }

   private:
    uint16_t* const marks_;
    const uint16_t value_;
  };

  Marks begin(size_t slots) {
    if (marks_.size() < slots) marks_.resize(slots, 0);
    if (++value_ == 0) {
      std::fill(marks_.begin(), marks_.end(), uint16_t{0});
      value_ = 1;
    }
    return {marks_.data(), value_};
  }

 private:
  std::vector<uint16_t> marks_;
  uint16_t value_ = 0;
};

// One per thread, kept between searches.
struct Walk {
  CandidatePool pool, estimated;
  NeighborBlocks::Query query;
  Visited visited;
  std::vector<slot_t> fresh;
  std::vector<float> distances;
  std::vector<uint32_t> below;

  void make_room(size_t links) {
    if (fresh.size() >= links) return;
    fresh.resize(links);
    distances.resize(links);
  }

  // Not inline: a loop that knows the address to be a thread's asks for it again and again.
  static Walk& of_this_thread();
};

}  // namespace shortlist
