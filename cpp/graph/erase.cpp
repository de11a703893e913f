// Taking nodes out: hidden at once, routed around later, in the manner of FreshDiskANN's
// consolidation (arXiv 2105.09613, algorithm 4).
#include <algorithm>
#include <memory>

#include "graph/hnsw.h"
#include "graph/select.h"

namespace shortlist {

void Hnsw::erase(std::span<const slot_t> slots) {
  for (slot_t s : slots) {
    if (state_[s] != State::live) continue;
    set_state(s, State::erased);
    ++erased_count_;
  }
}

void Hnsw::choose_entry() {
  entry_ = kNoSlot;
  max_level_ = -1;
  for (size_t s = 0; s < size(); ++s)
    if (state_[s] != State::free && levels_[s] > max_level_) {
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

void Hnsw::consolidate(const Vectors& base) {
  const std::vector<slot_t> gone = erased_slots();
  if (gone.empty()) return;
  packed_ = false;
  const auto erased = [&](slot_t s) { return state_[s] == State::erased; };
  constexpr size_t kGrain = 256;
  parallel_for(size(), {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    Selection selection;
    std::vector<slot_t> around;
    std::vector<Neighbor> candidates;
    for (auto s = static_cast<slot_t>(begin); s < end; ++s) {
      if (state_[s] != State::live) continue;
      for (int level = 0; level <= levels_[s]; ++level) {
        const auto mine = links(s, level);
        if (std::none_of(mine.begin(), mine.end(), erased)) continue;
        around.clear();
        for (slot_t to : mine) {
          if (!erased(to)) {
            around.push_back(to);
            continue;
          }
          // Rows of erased nodes do not change here, so reading them needs no lock.
          for (slot_t next : links(to, level))
            if (next != s && !erased(next)) around.push_back(next);
        }
        std::sort(around.begin(), around.end());
        around.erase(std::unique(around.begin(), around.end()), around.end());
        selection.gather(*computer, s, around, candidates);
        sort_for(s, candidates);
        const size_t most = max_links(level);
        const auto& kept = selection.select(*computer, candidates, most, true);
        slot_t* to = row(s, level);
        for (size_t i = 0; i < most; ++i) to[i] = i < kept.size() ? kept[i].slot : kNoSlot;
        changed(s);
      }
    }
  });
  for (slot_t s : gone) free_slot(s);
  erased_count_ = 0;
  if (entry_ != kNoSlot && state_[entry_] == State::free) choose_entry();
  if (!blocks_) return;
  for (slot_t s = 0; s < size(); ++s)  // rows also lead where links do not
    if (!stale_[s])
      for (slot_t to : blocks_->links(s))
        if (to != kNoSlot && state_[to] == State::free) changed(s);
  repack(base);
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
