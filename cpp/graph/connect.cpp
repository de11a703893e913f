// What a graph's links do not lead to.
#include "base/threads.h"
#include "graph/hnsw.h"

namespace shortlist {

// Links of the lowest level to each of those `wanted` that cannot be reached from the entry, each
// from a near node that can. The links by which nodes are reached first are a tree and stay; a row
// that has no other is full, and not all rows are, as a tree of n nodes has n - 1 links.
void Hnsw::connect(const Vectors& base, std::span<const uint8_t> wanted) {
  if (entry_ == kNoSlot) return;
  std::vector<slot_t> from(size(), kNoSlot), reached{entry_};
  reached.reserve(size());
  from[entry_] = entry_;
  size_t followed = 0;
  const auto follow = [&] {
    for (; followed < reached.size(); ++followed)
      for (const slot_t to : links(reached[followed], 0))
        if (from[to] == kNoSlot) {
          from[to] = reached[followed];
          reached.push_back(to);
        }
  };
  // Where in the row of s a link may be written; null where all are of the tree.
  const auto spare = [&](slot_t s) -> slot_t* {
    slot_t* const to = row(s, 0);
    size_t at = links(s, 0).size();
    if (at < max_links(0)) return to + at;
    while (at > 0)
      if (from[to[--at]] != s) return to + at;
    return nullptr;
  };
  follow();
  const auto computer = base.computer();
  std::vector<Neighbor> candidates;
  size_t full = 0;  // of the reached, those before have no spare place
  for (slot_t s = 0; s < size(); ++s) {
    if (!wanted[s] || from[s] != kNoSlot) continue;
    poll_interrupt();
    computer->set_query(s);
    near(*computer, static_cast<size_t>(efConstruction.load()), candidates);
    slot_t by = kNoSlot;
    slot_t* place = nullptr;
    for (size_t i = 0; i < candidates.size() && !place; ++i) {
      by = candidates[i].slot;
      if (from[by] != kNoSlot) place = spare(by);
    }
    while (!place) {
      by = reached[full];
      place = spare(by);
      full += !place;
    }
    *place = s;
    changed(by);
    from[s] = by;
    reached.push_back(s);
    follow();
  }
}

}  // namespace shortlist
