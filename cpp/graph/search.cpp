#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "graph/hnsw.h"
#include "graph/walk.h"

namespace shortlist {

// The slots a search may return.
struct Hnsw::Admitted {
  Admitted(const Hnsw& graph, const Bitmap* allowed)
      : all(!allowed && graph.live() == graph.size()), count(graph.live()), slots(&graph.live_) {
    if (allowed) {
      both = *allowed;
      both &= graph.live_;
      slots = &both;
      count = both.count();
    }
    const size_t linked = graph.size() - graph.free_.size();
    selectivity = linked ? static_cast<double>(count) / static_cast<double>(linked) : 1;
  }
  Admitted(const Admitted&) = delete;
  bool operator[](slot_t s) const { return all || (*slots)[s]; }
  // The slots one by one, listed once for all queries of a search that score them directly.
  const std::vector<slot_t>& list() const {
    std::call_once(listed, [&] {
      listing.reserve(count);
      slots->for_each([&](slot_t s) { listing.push_back(s); });
    });
    return listing;
  }

  const bool all;
  size_t count;
  double selectivity;
  const Bitmap* slots;

 private:
  Bitmap both;
  mutable std::once_flag listed;
  mutable std::vector<slot_t> listing;
};

// The nearest node of level 0 that the levels above lead to.
slot_t Hnsw::descend(DistanceComputer& computer, float& distance) const {
  Walk& walk = Walk::of_this_thread();
  slot_t at = entry_;
  computer.score(&at, 1, &distance);
  for (int level = max_level_; level > 0; --level)
    walk_greedily(walk, computer, at, distance, M_, [&](slot_t s) { return links(s, level); });
  return at;
}

// Leaves the ef nearest nodes in this thread's walk.
void Hnsw::walk(DistanceComputer& computer, size_t ef) const {
  Walk& walk = Walk::of_this_thread();
  if (entry_ == kNoSlot) {  // only rows that cannot be compared
    walk.pool.reset(0);
    return;
  }
  float distance;
  const slot_t at = descend(computer, distance);
  const size_t row_links = 2 * M_;
  walk_level(
      walk, computer, at, distance, ef, size(), row_links, [&](slot_t s) { return links(s, 0); },
      [&](slot_t s) { prefetch(base_.data() + size_t{s} * row_links); });
}

void Hnsw::near(DistanceComputer& computer, size_t ef, std::vector<Neighbor>& out) const {
  walk(computer, ef);
  const CandidatePool& pool = Walk::of_this_thread().pool;
  out.clear();
  for (size_t i = 0; i < pool.size(); ++i)
    if (state_[pool.slot(i)] == State::live) out.push_back({pool.distance(i), pool.slot(i)});
}

// As walk, through blocks: candidates wait by estimated distance, and those that were expanded,
// whose distance is exact, are left in the pool.
//
// A node is a candidate again each time another one estimates it nearer than the pool's last: the
// least of several estimates tells more than the first. Expanding lags some choices behind, so
// that the rows chosen have arrived.
void Hnsw::walk_blocks(const float* query, DistanceComputer& computer, size_t ef) const {
  const size_t ahead = blocks_->ahead();
  Walk& walk = Walk::of_this_thread();
  CandidatePool &candidates = walk.estimated, &found = walk.pool;
  candidates.reset(ef);
  found.reset(ef + ahead);
  if (entry_ == kNoSlot) return;
  blocks_->prepare(query, walk.query);
  float near;
  const slot_t start = descend(computer, near);
  SlotSet& expanded = walk.expanded;
  expanded.reset(ef + ahead);
  walk.make_room(blocks_->width());
  walk.below.resize(std::max(walk.below.size(), blocks_->blocks()));
  float* const estimates = walk.distances.data();
  candidates.push(near, start);
  slot_t chosen[NeighborBlocks::kMostAhead + 1];
  size_t waiting = 0;
  for (size_t cursor = 0;;) {
    for (; waiting <= ahead && cursor < candidates.size(); ++cursor) {
      if (candidates.expanded(cursor)) continue;
      candidates.expand(cursor);
      const slot_t s = candidates.slot(cursor);
      if (expanded.add(s)) continue;
      blocks_->prefetch_row(s);
      chosen[waiting++] = s;
    }
    if (waiting == 0) return;
    const slot_t s = chosen[0];
    std::copy(chosen + 1, chosen + waiting--, chosen);
    near = computer.score_code(blocks_->code(s));
    found.push(near, s);
    blocks_->estimate(walk.query, s, near, candidates.worst(), estimates, walk.below.data());
    const slot_t* links = blocks_->links(s).data();
    for (size_t b = 0; b < blocks_->blocks(); ++b)
      for (uint32_t below = walk.below[b]; below; below &= below - 1) {
        const size_t i = b * kBlockVectors + static_cast<size_t>(std::countr_zero(below));
        if (!expanded.has(links[i]))
          cursor = std::min(cursor, candidates.push(estimates[i], links[i]));
      }
  }
}

// What tells distances on the way, and what tells them in the end; one where they are the same.
struct Hnsw::Computers {
  Computers(const Vectors& base, const Vectors& exact)
      : walking(base.computer()),
        own(&base.store == &exact.store ? nullptr : exact.computer()),
        exact(own ? *own : *walking) {}
  void set_query(const float* q) {
    walking->set_query(q);
    if (own) own->set_query(q);
  }
  // The fewest candidates a walk keeps: those that rounding moves in and out of the k nearest too.
  size_t least(size_t k) const { return own ? k + k / 8 + 2 : k; }
  // Puts exact distances to the first of `hits`, which are in the order of the walk's: to a few
  // more than `want`, then to a few more again until none of those is among the nearest.
  void settle(size_t want, std::vector<hit_t>& hits) const {
    if (!own) return hits.resize(std::min(want, hits.size()));
    constexpr size_t kMore = 8;
    Walk& walk = Walk::of_this_thread();
    walk.make_room(want + kMore);
    size_t done = 0;
    for (bool changed = true; changed && done < hits.size();) {
      const size_t end = std::min(std::max(done, want) + kMore, hits.size());
      for (size_t i = done; i < end; ++i) walk.fresh[i - done] = slot_of(hits[i]);
      exact.score(walk.fresh.data(), end - done, walk.distances.data());
      for (size_t i = done; i < end; ++i)
        hits[i] = make_hit(walk.distances[i - done], walk.fresh[i - done]);
      const auto begin = hits.begin();
      const auto first_more = begin + static_cast<ptrdiff_t>(std::min(std::max(done, want), end));
      std::sort(begin, first_more);
      changed = std::any_of(first_more, begin + static_cast<ptrdiff_t>(end),
                            [&](hit_t h) { return h < hits[want - 1]; });
      std::sort(begin, begin + static_cast<ptrdiff_t>(end));
      done = end;
    }
    hits.resize(std::min(want, done));
  }

  const std::unique_ptr<DistanceComputer> walking, own;
  DistanceComputer& exact;
};

// The walk ignores the filter and keeps ef / selectivity candidates, so that about ef of them
// pass. Where that costs more than scoring every admitted slot, those are scored instead, and
// likewise where the walk ended with fewer results than there are.
void Hnsw::search_one(const float* query, const Computers& computers, size_t k, size_t ef,
                      const Admitted& admitted, std::vector<hit_t>& hits) const {
  const size_t want = std::min(k, admitted.count);
  const auto widened = static_cast<size_t>(
      std::ceil(static_cast<double>(std::max(ef, computers.least(k))) / admitted.selectivity));
  if (admitted.all || widened * M_ < admitted.count) {
    const CandidatePool& pool = Walk::of_this_thread().pool;
    const auto take = [&] {
      hits.clear();
      hits.reserve(pool.size());
      for (size_t i = 0; i < pool.size(); ++i)
        if (admitted[pool.slot(i)]) hits.push_back(make_hit(pool.distance(i), pool.slot(i)));
      if (hits.size() < want) return false;
      computers.settle(want, hits);
      return true;
    };
    if (blocks_ && packed_) {
      walk_blocks(query, *computers.walking, std::min(widened, size()));
      if (take()) return;
    }
    walk(*computers.walking, std::min(widened, size()));
    if (take()) return;
  }
  TopK top(want);
  flat::scan(computers.exact, admitted.list().data(), admitted.list().size(), top);
  hits = top.finish();
}

void Hnsw::search(const Vectors& base, const Vectors& exact, const Rows& queries, size_t k,
                  size_t ef, const Bitmap* allowed, std::vector<hit_t>* hits) const {
  const Admitted admitted(*this, allowed);
  if (k == 0 || admitted.count == 0) return;
  std::vector<float> scratch;
  const Matrix<const float> floats{as_floats(queries, scratch), queries.n, queries.d};
  parallel_for(queries.n, {}, [&](size_t begin, size_t end, size_t) {
    Computers computers(base, exact);
    std::vector<float> compared;
    for (size_t i = begin; i < end; ++i) {
      if (!finite(floats.row(i), floats.cols)) continue;
      computers.set_query(floats.row(i));
      if (blocks()) {
        compared.assign(floats.row(i), floats.row(i) + floats.cols);
        base.codec.as_compared(compared.data());
      }
      search_one(compared.data(), computers, k, ef, admitted, hits[i]);
    }
  });
}

void Hnsw::range_search(const Vectors& base, const Rows& queries, float radius, size_t ef,
                        const Bitmap* allowed, std::vector<hit_t>* hits) const {
  const Admitted admitted(*this, allowed);
  if (admitted.count == 0) return;
  std::vector<float> scratch;
  const Matrix<const float> floats{as_floats(queries, scratch), queries.n, queries.d};
  parallel_for(queries.n, {}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    std::vector<slot_t> inside, fresh;
    std::vector<float> distances(2 * M_);
    for (size_t i = begin; i < end; ++i) {
      if (!finite(floats.row(i), floats.cols)) continue;
      computer->set_query(floats.row(i));
      walk(*computer, std::min(ef, size()));
      Walk& walk = Walk::of_this_thread();
      const auto keep = [&](slot_t s, float distance) {
        if (!(distance < radius)) return;
        inside.push_back(s);
        if (admitted[s]) hits[i].push_back(make_hit(distance, s));
      };
      inside.clear();
      const Visited::Marks visited =
          walk.visited.begin(size());  // the walk also marked what its pool had no room for
      for (size_t at = 0; at < walk.pool.size(); ++at) {
        visited.test_and_set(walk.pool.slot(at));
        keep(walk.pool.slot(at), walk.pool.distance(at));
      }
      for (size_t at = 0; at < inside.size(); ++at) {  // grows while it is walked
        fresh.clear();
        for (slot_t to : links(inside[at], 0))
          if (!visited.test_and_set(to)) fresh.push_back(to);
        computer->score(fresh.data(), fresh.size(), distances.data());
        for (size_t f = 0; f < fresh.size(); ++f) keep(fresh[f], distances[f]);
      }
      std::sort(hits[i].begin(), hits[i].end());
    }
  });
}

}  // namespace shortlist
