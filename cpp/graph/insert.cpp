#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <thread>

#include "graph/hnsw.h"
#include "graph/select.h"
#include "graph/walk.h"

namespace shortlist {

// Algorithm 1 of the paper, from several threads. A node's link rows are read and written under
// its lock; a new node's own rows are complete on every level before anything links to it.
struct Hnsw::Inserter {
  Inserter(Hnsw& graph, const Vectors& base, bool shared)
      : graph(graph),
        base(base),
        shared(shared),
        ef(std::clamp<size_t>(static_cast<size_t>(graph.efConstruction.load()), 1, graph.size())) {
    if (shared) locks = std::make_unique<std::atomic_flag[]>(kLocks);
  }

  struct Worker {
    explicit Worker(const Inserter& inserter)
        : computer(inserter.base.computer()), copy(inserter.graph.max_links(0)) {}
    std::unique_ptr<DistanceComputer> computer;
    std::vector<slot_t> copy;  // a row read under its lock
    std::vector<Neighbor> candidates;
    std::vector<std::vector<Neighbor>> chosen;  // by level
    Selection selection;
  };

  class Held {
   public:
    Held(const Inserter& inserter, slot_t s)
        : flag_(inserter.shared ? &inserter.locks[s % kLocks] : nullptr) {
      while (flag_ && flag_->test_and_set(std::memory_order_acquire)) std::this_thread::yield();
    }
    ~Held() {
      if (flag_) flag_->clear(std::memory_order_release);
    }
    Held(const Held&) = delete;

   private:
    std::atomic_flag* flag_;
  };

  std::span<const slot_t> read_links(Worker& w, slot_t s, int level) const {
    if (!shared) return graph.links(s, level);
    const Held held(*this, s);
    const auto links = graph.links(s, level);
    std::copy(links.begin(), links.end(), w.copy.begin());
    return {w.copy.data(), links.size()};
  }

  void insert(slot_t s, Worker& w) {
    float itself;
    w.computer->set_query(s);
    w.computer->score(&s, 1, &itself);
    if (!std::isfinite(itself)) return;  // NaN, Inf or too large to compare: stored, never found
    const int level = graph.levels_[s];
    std::unique_lock entry_lock(entry_mutex);
    const slot_t entry = graph.entry_;
    const int top = graph.max_level_;
    if (entry != kNoSlot && level <= top) entry_lock.unlock();
    if (entry != kNoSlot) {
      choose_links(s, level, top, entry, w);
      write_links(s, w);
    }
    if (level > top) {
      graph.entry_ = s;
      graph.max_level_ = level;
    }
  }

  void choose_links(slot_t s, int level, int top, slot_t entry, Worker& w) {
    Walk& walk = Walk::of_this_thread();
    slot_t at = entry;
    float distance;
    w.computer->score(&at, 1, &distance);
    for (int l = top; l > level; --l)
      walk_greedily(walk, *w.computer, at, distance, graph.max_links(l),
                    [&](slot_t x) { return read_links(w, x, l); });
    const int highest = std::min(level, top);
    w.chosen.resize(static_cast<size_t>(highest) + 1);
    for (int l = highest; l >= 0; --l) {
      const size_t row_links = graph.max_links(l);
      walk_level(
          walk, *w.computer, at, distance, ef, graph.size(), row_links,
          [&](slot_t x) { return read_links(w, x, l); },
          [&](slot_t x) { prefetch(graph.row(x, l)); });
      if (walk.pool.size()) {  // empty where every distance overflows
        at = walk.pool.slot(0);
        distance = walk.pool.distance(0);
      }
      w.candidates.clear();
      for (size_t i = 0; i < walk.pool.size(); ++i)
        if (graph.state_[walk.pool.slot(i)] != State::erased)
          w.candidates.push_back({walk.pool.distance(i), walk.pool.slot(i)});
      if (w.candidates.empty()) w.candidates.push_back({distance, at});
      sort_for(s, w.candidates);
      w.chosen[static_cast<size_t>(l)] =
          w.selection.select(*w.computer, w.candidates, graph.M_, kKeepPruned);
    }
  }

  void write_links(slot_t s, Worker& w) {
    const auto levels = static_cast<int>(w.chosen.size());
    {
      const Held held(*this, s);
      for (int l = 0; l < levels; ++l) {
        slot_t* row = graph.row(s, l);
        for (const Neighbor& n : w.chosen[static_cast<size_t>(l)]) *row++ = n.slot;
      }
      graph.changed(s);
    }
    for (int l = 0; l < levels; ++l)
      for (const Neighbor& n : w.chosen[static_cast<size_t>(l)]) link_back(n, s, l, w);
  }

  // Adds s to the links of n. In a full row it takes the place of an erased node; where there is
  // none, the row is chosen anew among its links and s.
  void link_back(const Neighbor& n, slot_t s, int level, Worker& w) {
    const Held held(*this, n.slot);
    const auto links = graph.links(n.slot, level);
    slot_t* row = graph.row(n.slot, level);
    graph.changed(n.slot);
    const size_t most = graph.max_links(level);
    if (links.size() < most) {
      row[links.size()] = s;
      return;
    }
    const auto erased = [&](slot_t x) { return graph.state_[x] == State::erased; };
    if (slot_t* const gone = std::find_if(row, row + most, erased); gone != row + most) {
      *gone = s;
      return;
    }
    w.selection.gather(*w.computer, n.slot, links, w.candidates);
    w.candidates.push_back({n.distance, s});
    sort_for(n.slot, w.candidates);
    const auto& kept = w.selection.select(*w.computer, w.candidates, most, false);
    for (size_t i = 0; i < most; ++i) row[i] = i < kept.size() ? kept[i].slot : kNoSlot;
  }

  static constexpr bool kKeepPruned = true;
  static constexpr size_t kLocks = 65536;  // each for many nodes; nobody holds two

  Hnsw& graph;
  const Vectors& base;
  const bool shared;
  const size_t ef;
  std::unique_ptr<std::atomic_flag[]> locks;
  std::mutex entry_mutex;
};

void Hnsw::insert(const Vectors& base, std::span<const slot_t> slots, const ProgressFn* progress,
                  size_t* completed) {
  // States are written before any thread can reach the slots.
  for (slot_t s : slots) set_state(s, State::live);
  routed_ = 0;
  unpack();
  const size_t threads = std::min(num_threads(), slots.size());
  Inserter inserter(*this, base, threads > 1);
  std::vector<std::unique_ptr<Inserter::Worker>> workers(std::max<size_t>(threads, 1));
  size_t done = 0;
  try {
    parallel_for(slots.size(), {.progress = progress, .completed = &done, .max_threads = threads},
                 [&](size_t begin, size_t end, size_t worker) {
                   auto& w = workers[worker];
                   if (!w) w = std::make_unique<Inserter::Worker>(inserter);
                   for (size_t i = begin; i < end; ++i) inserter.insert(slots[i], *w);
                 });
  } catch (...) {
    *completed = done;
    unlink(slots.subspan(done));
    throw;
  }
  *completed = done;
}

}  // namespace shortlist
