#include "graph/connect.h"

#include <algorithm>

#include "base/threads.h"

namespace shortlist {

// The links by which slots are reached first are a tree and stay; a row that has no other is full,
// and not all rows are, as a tree of n slots has n - 1 links.
void connect(std::span<slot_t> links, size_t degree, slot_t entry, std::span<const uint8_t> wanted,
             const std::function<void(slot_t, std::vector<slot_t>&)>& near,
             const std::function<void(slot_t)>& written) {
  const size_t n = links.size() / degree;
  if (entry >= n) return;
  const auto row = [&](slot_t s) { return links.subspan(s * degree, degree); };
  std::vector<slot_t> from(n, kNoSlot), reached{entry};
  reached.reserve(n);
  from[entry] = entry;
  size_t followed = 0;
  const auto follow = [&] {
    for (; followed < reached.size(); ++followed)
      for (const slot_t to : row(reached[followed])) {
        if (to == kNoSlot) break;
        if (from[to] != kNoSlot) continue;
        from[to] = reached[followed];
        reached.push_back(to);
      }
  };
  // Where in the row of s a link may be written; null where all are of the tree.
  const auto spare = [&](slot_t s) -> slot_t* {
    const auto to = row(s);
    if (const auto end = std::ranges::find(to, kNoSlot); end != to.end()) return &*end;
    for (size_t i = degree; i-- > 0;)
      if (from[to[i]] != s) return &to[i];
    return nullptr;
  };
  follow();
  std::vector<slot_t> candidates;
  size_t full = 0;  // of the reached, those before have no spare place
  for (slot_t s = 0; s < n; ++s) {
    if (from[s] != kNoSlot || (!wanted.empty() && !wanted[s])) continue;
    poll_interrupt();
    candidates.clear();
    near(s, candidates);
    slot_t by = kNoSlot;
    slot_t* place = nullptr;
    for (size_t i = 0; i < candidates.size() && !place; ++i) {
      by = candidates[i];
      if (from[by] != kNoSlot) place = spare(by);
    }
    while (!place) {
      by = reached[full];
      place = spare(by);
      full += !place;
    }
    *place = s;
    written(by);
    from[s] = by;
    reached.push_back(s);
    follow();
  }
}

}  // namespace shortlist
