// Working memory of a graph walk: the sorted candidate pool and the visited marks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/hit.h"
#include "base/memory.h"
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
    uint64_t* at = begin;  // the first entry above; halving without branches
    for (size_t n = size_; n > 0;) {
      const size_t half = n / 2;
      at += at[half] <= entry ? n - half : 0;
      n = half;
    }
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
  using mark_t = uint8_t;
  // Those of one walk. A copy in registers: in a loop, each mark written could else be the value.
  class Marks {
   public:
    Marks(mark_t* marks, mark_t value) : marks_(marks), value_(value) {}
    bool test(slot_t s) const { return marks_[s] == value_; }
    bool test_and_set(slot_t s) const {
      const bool seen = marks_[s] == value_;
      marks_[s] = value_;
      return seen;
    }

   private:
    mark_t* const marks_;
    const mark_t value_;
  };

  Marks begin(size_t slots) {
    if (marks_.size() < slots) marks_.resize(slots, 0);
    if (++value_ == 0) {
      std::fill(marks_.begin(), marks_.end(), mark_t{0});
      value_ = 1;
    }
    return {marks_.data(), value_};
  }

 private:
  std::vector<mark_t> marks_;
  mark_t value_ = 0;
};

// A few slots out of many: a table that stays in the first cache, where marks of all would not.
class SlotSet {
 public:
  // Empties it; about `expected` slots will come.
  void reset(size_t expected) {
    size_ = 0;
    resize(std::bit_ceil(4 * expected));
  }
  bool has(slot_t s) const {
    for (size_t at = place(s);; at = (at + 1) & mask_)
      if (table_[at] == s || table_[at] == kNoSlot) return table_[at] == s;
  }
  // Whether it was there.
  bool add(slot_t s) {
    size_t at = place(s);
    for (; table_[at] != kNoSlot; at = (at + 1) & mask_)
      if (table_[at] == s) return true;
    table_[at] = s;
    if (++size_ * 2 > mask_) grow();
    return false;
  }

 private:
  size_t place(slot_t s) const { return (s * 0x9e3779b1u >> 7) & mask_; }
  void resize(size_t n) {
    table_.assign(n, kNoSlot);
    mask_ = n - 1;
  }
  void grow() {
    const std::vector<slot_t> before = std::move(table_);
    resize(2 * before.size());
    size_ = 0;
    for (slot_t s : before)
      if (s != kNoSlot) add(s);
  }

  std::vector<slot_t> table_;
  size_t mask_ = 0, size_ = 0;
};

// One per thread, kept between searches.
struct Walk {
  CandidatePool pool, estimated;
  SlotSet expanded;
  NeighborBlocks::Query query;
  Visited visited, passed;
  std::vector<slot_t> fresh, around, others;
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
