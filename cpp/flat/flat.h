// Exhaustive search over a code store: exact for the codes, whatever the codec.
#pragma once

#include <vector>

#include "base/selector.h"
#include "codec/codec.h"
#include "kernels/topk.h"

namespace shortlist {

// Vectors as a structure sees them. Borrowed; valid for one call.
struct Vectors {
  const Codec& codec;
  Metric metric;
  const CodeStore& store;
  std::unique_ptr<DistanceComputer> computer() const {
    return codec.distance_computer(metric, store);
  }
};

namespace flat {

// For each query the k nearest slots with their internal distances ("smaller is nearer"),
// sorted by (distance, slot); fewer where `allowed` leaves fewer. A query with NaN has none.
void search(const Vectors& base, const Rows& queries, size_t k, const SelectedSlots* allowed,
            std::vector<hit_t>* hits);

// For each query every slot with internal distance < radius, in slot order.
void range_search(const Vectors& base, const Rows& queries, float radius,
                  const SelectedSlots* allowed, std::vector<hit_t>* hits);

// The nearest of n slots that `allowed` leaves, and of the listed slots only, for a query that
// the computer has.
void scan(DistanceComputer& computer, size_t n, const SelectedSlots* allowed, TopK& top);
void scan(DistanceComputer& computer, const slot_t* slots, size_t n, TopK& top);

}  // namespace flat
}  // namespace shortlist
