// Taking nodes out: hidden at once, routed around later, in the manner of FreshDiskANN's
// consolidation (arXiv 2105.09613, algorithm 4).
#include <algorithm>
#include <memory>

#include "base/rwlock.h"
#include "graph/hnsw.h"
#include "graph/select.h"
#include "graph/walk.h"

namespace shortlist {

void Hnsw::erase(std::span<const slot_t> slots) {
  for (slot_t s : slots) {
    if (state_[s] != State::live) continue;
    set_state(s, State::erased);
    ++erased_count_;
    routed_ = 0;
  }
}

void Hnsw::choose_entry() {
  entry_ = kNoSlot;
  max_level_ = -1;
  for (size_t s = 0; s < size(); ++s)
    // What is not linked (it has NaN, say) leads nowhere, and is an entry where there is no other.
    if (state_[s] != State::free && levels_[s] > max_level_ &&
        !links(static_cast<slot_t>(s), 0).empty()) {
      max_level_ = levels_[s];
      entry_ = static_cast<slot_t>(s);
    }
  for (size_t s = 0; s < size() && entry_ == kNoSlot; ++s)
    if (state_[s] != State::free) {
      max_level_ = levels_[s];
      entry_ = static_cast<slot_t>(s);
    }
}

void Hnsw::free_slot(slot_t s) {
  for (int level = 0; level <= levels_[s]; ++level)
    std::fill_n(row(s, level), max_links(level), kNoSlot);
  set_state(s, State::free);
  free_.push_back(s);
}

// Fills walk.around with what s links to, with erased nodes replaced by what those link to, and by
// what is behind them until there is some choice: the more were erased, the farther away.
void Hnsw::route_around(slot_t s, int level, Walk& walk) const {
  const Visited::Marks met = walk.passed.begin(size());
  met.test_and_set(s);
  walk.around.clear();
  walk.others.clear();
  const auto meet = [&](slot_t from) {
    for (slot_t to : links(from, level))
      if (!met.test_and_set(to))
        (state_[to] == State::erased ? walk.others : walk.around).push_back(to);
  };
  meet(s);
  const size_t own = walk.others.size(), enough = 4 * (max_links(level) + 4 * own);
  // Rows of erased nodes do not change meanwhile, so reading them needs no lock.
  for (size_t i = 0; i < walk.others.size() && (i < own || walk.around.size() < enough); ++i)
    meet(walk.others[i]);
}

bool Hnsw::consolidate(const Vectors& base) {
  if (erased_count_ == 0) return false;
  const Turn turn;
  const auto erased = [&](slot_t s) { return s != kNoSlot && state_[s] == State::erased; };
  constexpr size_t kGrain = 16, kTogether = 256;  // slots between two looks at the clock
  unpack();
  for (; routed_ < size(); routed_ += kTogether) {
    if (turn.over()) return true;
    const size_t first = routed_, n = std::min(kTogether, size() - first);
    parallel_for(n, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
      const auto computer = base.computer();
      Selection selection;
      Walk& walk = Walk::of_this_thread();
      std::vector<Neighbor> candidates;
      for (auto s = static_cast<slot_t>(first + begin); s < first + end; ++s) {
        if (blocks_ && !stale_[s]) {  // its row also leads where links do not
          const auto mine = blocks_->links(s);
          if (std::any_of(mine.begin(), mine.end(), erased)) changed(s);
        }
        if (state_[s] != State::live) continue;
        for (int level = 0; level <= levels_[s]; ++level) {
          const auto mine = links(s, level);
          if (std::none_of(mine.begin(), mine.end(), erased)) continue;
          const size_t most = max_links(level);
          route_around(s, level, walk);
          selection.gather(*computer, s, walk.around, candidates);
          sort_for(s, candidates);
          const auto& kept = selection.select(*computer, candidates, most, true);
          slot_t* to = row(s, level);
          for (size_t i = 0; i < most; ++i) to[i] = i < kept.size() ? kept[i].slot : kNoSlot;
          changed(s);
        }
      }
    });
  }
  for (slot_t s : erased_slots()) free_slot(s);
  erased_count_ = routed_ = 0;
  if (entry_ != kNoSlot && state_[entry_] == State::free) choose_entry();
  return false;
}

// Undoes an insertion that was cut short: nothing may link to the slots any more.
void Hnsw::unlink(std::span<const slot_t> slots) {
  for (slot_t s : slots) free_slot(s);
  for (size_t s = 0; s < size(); ++s)
    for (int level = 0; level <= levels_[s]; ++level) {
      slot_t* begin = row(static_cast<slot_t>(s), level);
      slot_t* end = begin + max_links(level);
      slot_t* kept = std::remove_if(
          begin, end, [&](slot_t to) { return to != kNoSlot && state_[to] == State::free; });
      if (kept != end) changed(static_cast<slot_t>(s));
      std::fill(kept, end, kNoSlot);
    }
  choose_entry();
}

}  // namespace shortlist
