#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <optional>

#include "graph/hnsw.h"
#include "graph/walk.h"

namespace shortlist {

// The slots a search may return. What `allowed` admits is live.
struct Hnsw::Admitted {
  Admitted(const Hnsw& graph, const SelectedSlots* allowed)
      : all(!allowed && graph.erased_count_ == 0),
        count(allowed ? allowed->count() : graph.live()),
        bits(allowed ? allowed->bits() : graph.live_),
        chosen(allowed) {}
  Admitted(const Admitted&) = delete;
  // Of nodes that links lead to.
  bool operator[](slot_t s) const { return all || bits[s]; }
  const SelectedSlots& set() const {
    if (chosen) return *chosen;
    std::call_once(once, [&] { live.emplace(bits); });
    return *live;
  }
  // The share of admitted ones among s and what it links to.
  double share_around(const Hnsw& graph, slot_t s) const {
    if (all) return 1;
    const auto around = graph.links(s, 0);
    size_t found = bits[s];
    for (slot_t to : around) found += bits[to];
    return static_cast<double>(found) / static_cast<double>(around.size() + 1);
  }

  const bool all;
  const size_t count;
  const Bitmap& bits;
  const SelectedSlots* const chosen;  // null: all that live

 private:
  mutable std::once_flag once;
  mutable std::optional<SelectedSlots> live;
};

// The nearest node of level 0 that the levels above lead to.
Hnsw::Start Hnsw::descend(DistanceComputer& computer) const {
  Walk& walk = Walk::of_this_thread();
  Start at{entry_, 0};
  computer.score(&at.slot, 1, &at.distance);
  for (int level = max_level_; level > 0; --level)
    walk_greedily(walk, computer, at.slot, at.distance, M_,
                  [&](slot_t s) { return links(s, level); });
  return at;
}

// Leaves the ef nearest nodes in this thread's walk.
void Hnsw::walk(DistanceComputer& computer, Start start, size_t ef) const {
  const size_t row_links = 2 * M_;
  walk_level(
      Walk::of_this_thread(), computer, start.slot, start.distance, ef, size(), row_links,
      [&](slot_t s) { return links(s, 0); },
      [&](slot_t s) { prefetch(base_.data() + size_t{s} * row_links); });
}

void Hnsw::near(DistanceComputer& computer, size_t ef, std::vector<Neighbor>& out) const {
  out.clear();
  if (entry_ == kNoSlot) return;
  walk(computer, descend(computer), ef);
  const CandidatePool& pool = Walk::of_this_thread().pool;
  for (size_t i = 0; i < pool.size(); ++i)
    if (state_[pool.slot(i)] == State::live) out.push_back({pool.distance(i), pool.slot(i)});
}

// As walk, but over admitted nodes only; others are not scored. Where a node links to few that are
// admitted, those that its other links lead to stand in (ACORN: Patel et al. 2024, arXiv
// 2403.04871). The pool also holds the start, admitted or not, whose links are joined by some from
// all over: what is admitted may be far from the query.
void Hnsw::walk_admitted(DistanceComputer& computer, Start start, size_t ef,
                         const Admitted& admitted) const {
  const size_t row_links = 2 * M_, wanted = 3 * M_;
  const std::vector<slot_t>& spread = admitted.set().spread();
  Walk& walk = Walk::of_this_thread();
  const Visited::Marks passed = walk.passed.begin(size());
  const auto prefetch_row = [&](slot_t s) { prefetch(row(s, 0), row_links * sizeof(slot_t)); };
  const auto admitted_links = [&](slot_t from) -> std::span<const slot_t> {
    walk.around.clear();
    walk.others.clear();
    for (slot_t to : links(from, 0)) {
      if (admitted.bits[to]) {
        walk.around.push_back(to);
      } else if (!passed.test(to)) {
        prefetch_row(to);
        walk.others.push_back(to);
      }
    }
    for (slot_t other : walk.others) {
      if (walk.around.size() >= wanted) break;
      passed.test_and_set(other);
      for (slot_t to : links(other, 0))
        if (admitted.bits[to]) walk.around.push_back(to);
    }
    if (from == start.slot) walk.around.insert(walk.around.end(), spread.begin(), spread.end());
    return walk.around;
  };
  walk_level(walk, computer, start.slot, start.distance, ef, size(),
             wanted + row_links + spread.size(), admitted_links, prefetch_row);
}

// As walk, through blocks: candidates wait by estimated distance, and those that were expanded,
// whose distance is exact, are left in the pool.
//
// A node is a candidate again each time another one estimates it nearer than the pool's last: the
// least of several estimates tells more than the first. Expanding lags some choices behind, so
// that the rows chosen have arrived.
void Hnsw::walk_blocks(const float* query, DistanceComputer& computer, Start start,
                       size_t ef) const {
  const size_t ahead = blocks_->ahead();
  Walk& walk = Walk::of_this_thread();
  CandidatePool &candidates = walk.estimated, &found = walk.pool;
  candidates.reset(ef);
  found.reset(ef + ahead);
  blocks_->prepare(query, walk.query);
  SlotSet& expanded = walk.expanded;
  expanded.reset(ef + ahead);
  walk.make_room(blocks_->width());
  walk.below.resize(std::max(walk.below.size(), blocks_->blocks()));
  float* const estimates = walk.distances.data();
  candidates.push(start.distance, start.slot);
  slot_t chosen[NeighborBlocks::kMostAhead + 1];
  size_t waiting = 0;
  for (size_t cursor = 0;;) {
    for (; waiting <= ahead && cursor < candidates.size(); ++cursor) {
      if (candidates.expanded(cursor)) continue;
      candidates.expand(cursor);
      const slot_t s = candidates.slot(cursor);
      if (expanded.add(s)) continue;
      blocks_->prefetch_row(s);
      computer.prefetch(s);
      chosen[waiting++] = s;
    }
    if (waiting == 0) return;
    const slot_t s = chosen[0];
    std::copy(chosen + 1, chosen + waiting--, chosen);
    float near;
    computer.score(&s, 1, &near);
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

// Where many of the nodes around the query are admitted, a walk ignores the filter and keeps as
// many more candidates; else it goes over admitted nodes. Where they are so few that scoring all of
// them costs less, or a walk found too few, that is done instead.
void Hnsw::search_one(const float* query, const Computers& computers, size_t k, size_t ef,
                      const Admitted& admitted, std::vector<hit_t>& hits) const {
  constexpr size_t kScannedPerLink = 15;  // slots scored in the time of a step of the walk, per M
  constexpr double kMany = 0.4, kManyForBlocks = 0.25;
  DistanceComputer& walking = *computers.walking;
  const CandidatePool& pool = Walk::of_this_thread().pool;
  const size_t want = std::min(k, admitted.count), keep = std::max(ef, computers.least(k));
  const auto take = [&](size_t enough) {
    hits.clear();
    hits.reserve(pool.size());
    for (size_t i = 0; i < pool.size(); ++i)
      if (admitted[pool.slot(i)]) hits.push_back(make_hit(pool.distance(i), pool.slot(i)));
    if (hits.size() < enough) return false;
    computers.settle(want, hits);
    return true;
  };
  // Links may not lead to all of a few survivors.
  const size_t per_link = admitted.chosen ? kScannedPerLink : live() < size() ? 1 : 0;
  if (entry_ != kNoSlot && admitted.count > per_link * M_ * keep) {
    const Start start = descend(walking);
    const bool blocks = blocks_ && packed_;
    const double share = admitted.share_around(*this, start.slot);
    if (share >= (blocks ? kManyForBlocks : kMany)) {
      const auto wide = std::min(size(), static_cast<size_t>(static_cast<double>(keep) / share));
      const size_t enough = admitted.all ? want : std::max(want, keep / 2);
      if (blocks)
        walk_blocks(query, walking, start, wide);
      else
        walk(walking, start, wide);
      if (take(enough)) return;
      if (blocks && admitted.all) {
        walk(walking, start, wide);
        if (take(enough)) return;
      }
    }
    if (!admitted.all) {
      walk_admitted(walking, start, std::min(keep, size()), admitted);
      if (take(want)) return;
    }
  }
  const bool by_codes = computers.own && admitted.count > keep;
  TopK top(by_codes ? keep : want);
  flat::scan(by_codes ? walking : computers.exact, size(), &admitted.set(), top);
  hits = top.finish();
  if (by_codes) computers.settle(want, hits);
}

void Hnsw::search(const Vectors& base, const Vectors& exact, const Rows& queries, size_t k,
                  size_t ef, const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
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
                        const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  const Admitted admitted(*this, allowed);
  if (admitted.count == 0 || entry_ == kNoSlot) return;
  std::vector<float> scratch;
  const Matrix<const float> floats{as_floats(queries, scratch), queries.n, queries.d};
  parallel_for(queries.n, {}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    std::vector<slot_t> inside, fresh;
    std::vector<float> distances(2 * M_);
    for (size_t i = begin; i < end; ++i) {
      if (!finite(floats.row(i), floats.cols)) continue;
      computer->set_query(floats.row(i));
      walk(*computer, descend(*computer), std::min(ef, size()));
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
