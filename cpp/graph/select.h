// Neighbour selection by the diversity heuristic (algorithm 4 of the paper).
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include "base/hit.h"
#include "base/random.h"
#include "codec/codec.h"
#include "graph/hnsw.h"

namespace shortlist {

// Sorts by distance. Equal distances come in an order of the owner's own: if every node of a
// thousand equal vectors kept the same few links, the others could not be reached.
inline void sort_for(slot_t owner, std::vector<Neighbor>& neighbors) {
  const auto rank = [owner](const Neighbor& n) { return mix64(uint64_t{owner} << 32 | n.slot); };
  std::sort(neighbors.begin(), neighbors.end(), [&](const Neighbor& a, const Neighbor& b) {
    const uint32_t x = sortable(a.distance), y = sortable(b.distance);  // total, unlike float's <
    return x != y ? x < y : rank(a) < rank(b);
  });
}

// Buffers for choosing links; one per thread.
class Selection {
 public:
  // From candidates sorted by distance to some node, at most `most`, each nearer to the node than
  // to any one taken before it. As near counts too, but only for half the links: else a node among
  // equal vectors would link to nothing else. With keep_pruned, the nearest of the others fill the
  // rest.
  // The result stays valid until the next call.
  const std::vector<Neighbor>& select(DistanceComputer& computer,
                                      const std::vector<Neighbor>& candidates, size_t most,
                                      bool keep_pruned) {
    taken_.clear();
    slots_.clear();
    pruned_.clear();
    size_t ties = 0;
    for (const Neighbor& c : candidates) {
      if (taken_.size() == most) break;
      const float nearest = nearest_taken(computer, c);
      if (nearest < c.distance || (nearest == c.distance && ++ties > most / 2)) {
        pruned_.push_back(c);
      } else {
        taken_.push_back(c);
        slots_.push_back(c.slot);
      }
    }
    if (keep_pruned)
      for (size_t i = 0; i < pruned_.size() && taken_.size() < most; ++i)
        taken_.push_back(pruned_[i]);
    return taken_;
  }

  // Adds candidates, sorted by distance to `owner`, to its links until there are `most`: first
  // those nearer to it than to any link, then, with distances to links stretched step by step, the
  // others (the alpha of Vamana: Jayaram Subramanya et al., NeurIPS 2019).
  void fill(DistanceComputer& computer, slot_t owner, const std::vector<Neighbor>& candidates,
            size_t most, std::vector<slot_t>& links) {
    constexpr float kStretch = 1.1f, kMostStretch = 30;
    const size_t n = candidates.size();
    float itself;  // where distances begin: 0, or that of an inner product
    computer.between(owner, &owner, 1, &itself);
    slots_.clear();
    for (const Neighbor& c : candidates) slots_.push_back(c.slot);
    distances_.resize(std::max(distances_.size(), n));
    nearest_.assign(n, std::numeric_limits<float>::infinity());
    const auto link = [&](slot_t to) {
      computer.between(to, slots_.data(), n, distances_.data());
      for (size_t i = 0; i < n; ++i) nearest_[i] = std::min(nearest_[i], distances_[i] - itself);
    };
    for (slot_t to : links) link(to);
    for (float stretch = 1; stretch < kMostStretch; stretch *= kStretch)
      for (size_t i = 0; i < n && links.size() < most; ++i) {
        if (nearest_[i] * stretch < candidates[i].distance - itself) continue;
        links.push_back(slots_[i]);
        link(slots_[i]);
        nearest_[i] = -std::numeric_limits<float>::infinity();  // taken
      }
  }

  // `slots` with their distances to `from`, unsorted.
  void gather(DistanceComputer& computer, slot_t from, std::span<const slot_t> slots,
              std::vector<Neighbor>& out) {
    distances_.resize(std::max(distances_.size(), slots.size()));
    computer.between(from, slots.data(), slots.size(), distances_.data());
    out.clear();
    for (size_t i = 0; i < slots.size(); ++i) out.push_back({distances_[i], slots[i]});
  }

 private:
  // Most candidates fall to one of the first few taken, so those are asked first.
  float nearest_taken(DistanceComputer& computer, const Neighbor& c) {
    constexpr size_t kStep = 4;
    float distances[kStep], nearest = std::numeric_limits<float>::infinity();
    for (size_t at = 0; at < slots_.size() && nearest >= c.distance; at += kStep) {
      const size_t n = std::min(kStep, slots_.size() - at);
      computer.between(c.slot, slots_.data() + at, n, distances);
      for (size_t i = 0; i < n; ++i) nearest = std::min(nearest, distances[i]);
    }
    return nearest;
  }

  std::vector<Neighbor> taken_, pruned_;
  std::vector<slot_t> slots_;
  std::vector<float> distances_, nearest_;
};

}  // namespace shortlist
