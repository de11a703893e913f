// Best-first search of one level (algorithm 2 of the paper) and the greedy descent above it.
#pragma once

#include <span>

#include "codec/codec.h"
#include "graph/pool.h"

namespace shortlist {

// A step waits for memory about as long whether it expands one candidate or a few, and the next
// nearest are mostly expanded anyway: a tenth less time at equal recall.
constexpr size_t kExpandedTogether = 3;

// Fills walk.pool with the nearest nodes found from `entry`. links(slot) gives a node's links at
// the level, as a span that stays valid until the next call.
//
// Each step collects the unvisited links of the nearest unexpanded candidates, scores them in one
// call, and prefetches the links of a candidate that moves to the front.
template <class Links, class Prefetch>
void walk_level(Walk& walk, DistanceComputer& computer, slot_t entry, float entry_distance,
                size_t ef, size_t slots, size_t max_links, const Links& links,
                const Prefetch& prefetch_links) {
  CandidatePool& pool = walk.pool;
  pool.reset(ef);
  const Visited::Marks visited = walk.visited.begin(slots);
  walk.make_room(kExpandedTogether * max_links);
  visited.test_and_set(entry);
  pool.push(entry_distance, entry);
  slot_t* const fresh = walk.fresh.data();
  float* const distances = walk.distances.data();
  for (size_t cursor = 0; cursor < pool.size();) {
    if (pool.expanded(cursor)) {
      ++cursor;
      continue;
    }
    size_t n = 0, first = cursor;
    for (size_t taken = 0; taken < kExpandedTogether && first < pool.size(); ++first) {
      if (pool.expanded(first)) continue;
      pool.expand(first);
      ++taken;
      for (slot_t to : links(pool.slot(first))) {
        fresh[n] = to;
        n += !visited.test_and_set(to);
      }
    }
    computer.score(fresh, n, distances);
    for (size_t i = 0; i < n; ++i) {
      const size_t at = pool.push(distances[i], fresh[i]);
      if (at <= first) prefetch_links(fresh[i]);
      first = std::min(first, at);
    }
    cursor = first;
  }
}

// Moves to the nearest link until none is nearer.
template <class Links>
void walk_greedily(Walk& walk, DistanceComputer& computer, slot_t& at, float& distance,
                   size_t max_links, const Links& links) {
  walk.make_room(max_links);
  for (bool moved = true; moved;) {
    moved = false;
    const std::span<const slot_t> next = links(at);
    computer.score(next.data(), next.size(), walk.distances.data());
    slot_t best = at;
    for (size_t i = 0; i < next.size(); ++i)
      if (walk.distances[i] < distance) {
        distance = walk.distances[i];
        best = next[i];
        moved = true;
      }
    at = best;
  }
}

}  // namespace shortlist
