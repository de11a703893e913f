// The k nearest of what lanes offer, kept in memory that they share.
#pragma once

#include "host_device.h"

namespace shortlist::cuda {

// (distance, number) as one integer: nearer first, then the smaller number, so that ties do not
// depend on which lane was first. NaN is behind everything.
using Key = uint64_t;
constexpr Key kNone = ~Key{0};
constexpr unsigned kMostNearest = 2048;  // k, at most

SL_HD Key key_of(float distance, uint32_t number) {
  const uint32_t bits = bits_as<uint32_t>(distance);
  const uint32_t sortable =
      bits ^ (static_cast<uint32_t>(-static_cast<int32_t>(bits >> 31)) | 0x80000000u);
  if (distance != distance) return kNone;
  return static_cast<Key>(sortable) << 32 | number;
}
SL_HD float distance_of(Key key) {
  const uint32_t sortable = static_cast<uint32_t>(key >> 32);
  return bits_as<float>(sortable & 0x80000000u ? sortable ^ 0x80000000u : ~sortable);
}
SL_HD uint32_t number_of(Key key) { return static_cast<uint32_t>(key); }

SL_HD constexpr unsigned power_of_two_from(unsigned n) {
  unsigned out = 1;
  while (out < n) out *= 2;
  return out;
}

// Of a network that sorts n keys, a power of two, one step: pairs `apart`, ascending in even runs
// (bitonic sorting, Batcher 1968).
template <class Group>
SL_TILE void order(const Group& group, Key* keys, unsigned n, unsigned apart, unsigned run) {
  group.each([&](unsigned lane) {
    for (unsigned p = lane; p < n / 2; p += group.lanes()) {
      const unsigned low = 2 * p - (p & (apart - 1)), high = low + apart;
      const bool ascending = (low & run) == 0;
      const Key a = keys[low], b = keys[high];
      if ((a > b) == ascending) {
        keys[low] = b;
        keys[high] = a;
      }
    }
  });
}
template <class Group>
SL_TILE void sort(const Group& group, Key* keys, unsigned n) {
  for (unsigned run = 2; run <= n; run *= 2)
    for (unsigned apart = run / 2; apart; apart /= 2) order(group, keys, n, apart, run);
}
// The first `kept` of two sorted runs, `kept` in `best` and n others; both are powers of two.
template <class Group>
SL_TILE void merge(const Group& group, Key* best, unsigned kept, const Key* others, unsigned n) {
  // Of two sorted runs, one turned round, the nearer of each pair are the nearest of all.
  group.each([&](unsigned lane) {
    for (unsigned i = lane; i < kept; i += group.lanes()) {
      const unsigned from = kept - 1 - i;
      if (from < n && others[from] < best[i]) best[i] = others[from];
    }
  });
  for (unsigned apart = kept / 2; apart; apart /= 2) order(group, best, kept, apart, 2 * kept);
}

// Offers wait in a buffer; a full one is sorted and merged into the nearest so far, whose last one
// is what later offers must beat.
//
// Shared memory: room(k, lanes) keys, then one counter.
template <class Group>
class Nearest {
 public:
  SL_HD static constexpr unsigned kept(unsigned k) { return power_of_two_from(k); }
  SL_HD static constexpr unsigned waiting(unsigned k, unsigned lanes) {
    return kept(k) > 2 * lanes ? kept(k) : 2 * lanes;
  }
  SL_HD static constexpr size_t bytes(unsigned k, unsigned lanes) {
    return (kept(k) + waiting(k, lanes)) * sizeof(Key) + sizeof(Key);
  }

  // Lanes are a power of two.
  SL_TILE Nearest(const Group& group, unsigned k, void* shared)
      : group_(group),
        k_(k),
        kept_(kept(k)),
        waiting_(waiting(k, group.lanes())),
        best_(static_cast<Key*>(shared)),
        buffer_(best_ + kept_),
        count_(reinterpret_cast<unsigned*>(buffer_ + waiting_)) {
    group.each([&](unsigned lane) {
      for (unsigned i = lane; i < kept_; i += group_.lanes()) best_[i] = kNone;
      if (lane == 0) *count_ = 0;
    });
  }

  // Within a step, at most one offer of each lane between two calls of settle().
  SL_TILE void offer(Key key) {
    if (key < best_[k_ - 1]) buffer_[group_.add(count_, 1)] = key;
  }
  // Makes room for another step's offers; by all lanes.
  SL_TILE void settle() {
    // What is decided by must not change until all lanes have read it.
    typename Group::template Own<unsigned> count(group_);
    group_.each([&](unsigned lane) { count[lane] = *count_; });
    if (count[0] + group_.lanes() > waiting_) take_in();
  }
  // The nearest in order, kNone where there are fewer; by all lanes, after the last offer.
  SL_TILE const Key* finish() {
    take_in();
    return best_;
  }

 private:
  SL_TILE void take_in() {
    group_.each([&](unsigned lane) {
      for (unsigned i = *count_ + lane; i < waiting_; i += group_.lanes()) buffer_[i] = kNone;
    });
    sort(group_, buffer_, waiting_);
    merge(group_, best_, kept_, buffer_, waiting_);
    group_.each([&](unsigned lane) {
      if (lane == 0) *count_ = 0;
    });
  }

  const Group& group_;
  const unsigned k_, kept_, waiting_;
  Key *const best_, *const buffer_;
  unsigned* const count_;
};

}  // namespace shortlist::cuda
