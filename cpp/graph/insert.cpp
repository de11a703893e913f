#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>

#include "graph/connect.h"
#include "graph/hnsw.h"
#include "graph/select.h"
#include "graph/walk.h"

namespace shortlist {

// Algorithm 1 of the paper. Either threads insert side by side (insert): a node's link rows are
// read and written under its lock, and a new node's own rows are complete on every level before
// anything links to it. Or batches are inserted one after the other (insert_batch), their nodes
// together.
struct Hnsw::Inserter {
  using Links = std::vector<std::vector<Neighbor>>;  // by level

  Inserter(Hnsw& graph, const Vectors& base, int lowest, size_t threads, bool shared)
      : graph(graph),
        base(base),
        lowest(lowest),
        shared(shared),
        ef(std::clamp<size_t>(static_cast<size_t>(graph.efConstruction.load()), 1, graph.size())),
        workers(threads) {
    if (shared) locks = std::make_unique<std::atomic_flag[]>(kLocks);
  }

  struct Worker {
    explicit Worker(const Inserter& inserter)
        : computer(inserter.base.computer()), copy(inserter.graph.max_links(0)), within(kBatch) {}
    std::unique_ptr<DistanceComputer> computer;
    std::vector<slot_t> copy;  // a row read under its lock
    std::vector<Neighbor> candidates;
    std::vector<float> within;  // distances to others of the batch
    Links chosen;
    Selection selection;
  };

  Worker& worker(size_t i) {
    if (!workers[i]) workers[i] = std::make_unique<Worker>(*this);
    return *workers[i];
  }

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

  // Whether s can be compared: what has NaN or Inf or is too large is stored, but never found.
  static bool ask_for(slot_t s, DistanceComputer& computer) {
    float itself;
    computer.set_query(s);
    computer.score(&s, 1, &itself);
    return std::isfinite(itself);
  }

  void insert(slot_t s, Worker& w) {
    if (!ask_for(s, *w.computer)) return;
    const int level = graph.levels_[s];
    std::unique_lock entry_lock(entry_mutex);
    const slot_t entry = graph.entry_;
    const int top = graph.max_level_;
    if (entry != kNoSlot && level <= top) entry_lock.unlock();
    if (entry != kNoSlot) {
      choose_links(s, {}, entry, top, w);
      write_links(s, w.chosen);
      for (size_t l = 0; l < w.chosen.size(); ++l)
        for (const Neighbor& n : w.chosen[l]) link_back(n, s, static_cast<int>(l), w);
    }
    if (level > top) raise_entry(s);
  }

  // Every node looks at the graph as it was before the batch and at all of the batch before it, so
  // neither threads nor their timing matter. Links back are written by node, each by one thread.
  void insert_batch(std::span<const slot_t> slots, const ProgressFn& progress) {
    batch.assign(slots.size(), kNoSlot);
    chosen.resize(std::max(chosen.size(), slots.size()));
    parallel_for(slots.size(), {.grain = 16, .max_threads = workers.size()},
                 [&](size_t begin, size_t end, size_t i) {
                   for (size_t at = begin; at < end; ++at)
                     if (ask_for(slots[at], *worker(i).computer)) batch[at] = slots[at];
                 });
    std::erase(batch, kNoSlot);
    parallel_for(batch.size(), {.progress = &progress, .max_threads = workers.size()},
                 [&](size_t begin, size_t end, size_t i) {
                   Worker& w = worker(i);
                   for (size_t at = begin; at < end; ++at) {
                     w.computer->set_query(batch[at]);
                     choose_links(batch[at], std::span(batch).first(at), graph.entry_,
                                  graph.max_level_, w);
                     chosen[at].swap(w.chosen);
                   }
                 });
    back.clear();
    for (size_t at = 0; at < batch.size(); ++at) {
      write_links(batch[at], chosen[at]);
      for (size_t l = 0; l < chosen[at].size(); ++l)
        for (const Neighbor& n : chosen[at][l])
          back.push_back({n.slot, static_cast<int>(l), {n.distance, batch[at]}});
      raise_entry(batch[at]);
    }
    std::stable_sort(back.begin(), back.end(),
                     [](const Back& a, const Back& b) { return a.to < b.to; });
    heads.clear();
    for (size_t at = 0; at < back.size(); ++at)
      if (at == 0 || back[at].to != back[at - 1].to) heads.push_back(at);
    heads.push_back(back.size());
    parallel_for(heads.size() - 1, {.grain = 32, .max_threads = workers.size()},
                 [&](size_t begin, size_t end, size_t i) {
                   Worker& w = worker(i);
                   for (size_t at = heads[begin]; at < heads[end]; ++at)
                     link_back({back[at].from.distance, back[at].to}, back[at].from.slot,
                               back[at].level, w);
                 });
  }

  // Fills w.chosen, whose query is s, with links to what is near in the graph, and to any of
  // `others`, which are not in it yet.
  void choose_links(slot_t s, std::span<const slot_t> others, slot_t entry, int top, Worker& w) {
    Walk& walk = Walk::of_this_thread();
    const int level = graph.levels_[s], highest = others.empty() ? std::min(level, top) : level;
    slot_t at = entry;
    float distance = 0;
    if (entry != kNoSlot) w.computer->score(&at, 1, &distance);
    for (int l = top; l > level; --l)
      walk_greedily(walk, *w.computer, at, distance, graph.max_links(l),
                    [&](slot_t x) { return read_links(w, x, l); });
    w.computer->score(others.data(), others.size(), w.within.data());
    w.chosen.resize(static_cast<size_t>(highest) + 1);
    for (int l = highest; l >= lowest; --l) {
      w.candidates.clear();
      if (l <= top) {
        walk_level(
            walk, *w.computer, at, distance, ef, graph.size(), graph.max_links(l),
            [&](slot_t x) { return read_links(w, x, l); },
            [&](slot_t x) { prefetch(graph.row(x, l)); });
        if (walk.pool.size()) {  // empty where every distance overflows
          at = walk.pool.slot(0);
          distance = walk.pool.distance(0);
        }
        for (size_t i = 0; i < walk.pool.size(); ++i)
          if (graph.state_[walk.pool.slot(i)] != State::erased)
            w.candidates.push_back({walk.pool.distance(i), walk.pool.slot(i)});
        if (w.candidates.empty()) w.candidates.push_back({distance, at});
      }
      const float farthest = w.candidates.size() < ef ? kFar : walk.pool.worst();
      for (size_t i = 0; i < others.size(); ++i)
        if (w.within[i] < farthest && graph.levels_[others[i]] >= l)
          w.candidates.push_back({w.within[i], others[i]});
      sort_for(s, w.candidates);
      if (w.candidates.size() > ef) w.candidates.resize(ef);
      w.chosen[static_cast<size_t>(l)] =
          w.selection.select(*w.computer, w.candidates, graph.M_, kKeepPruned);
    }
  }

  void write_links(slot_t s, const Links& chosen) {
    const Held held(*this, s);
    for (size_t l = 0; l < chosen.size(); ++l) {
      slot_t* row = graph.row(s, static_cast<int>(l));
      for (const Neighbor& n : chosen[l]) *row++ = n.slot;
    }
    graph.changed(s);
  }

  // A node above all others is where searches begin.
  void raise_entry(slot_t s) {
    if (graph.levels_[s] <= graph.max_level_) return;
    graph.entry_ = s;
    graph.max_level_ = graph.levels_[s];
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
  static constexpr float kFar = std::numeric_limits<float>::infinity();
  static constexpr size_t kLocks = 65536;  // each for many nodes; nobody holds two

  Hnsw& graph;
  const Vectors& base;
  const int lowest;  // level that nodes are linked on
  const bool shared;
  const size_t ef;
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<std::atomic_flag[]> locks;
  std::mutex entry_mutex;

  struct Back {  // a link that a node gets from one of the batch
    slot_t to;
    int level;
    Neighbor from;
  };
  std::vector<slot_t> batch;
  std::vector<Links> chosen;  // of each of the batch
  std::vector<Back> back;
  std::vector<size_t> heads;  // where those of another node begin
};

void Hnsw::insert(const Vectors& base, std::span<const slot_t> slots, const ProgressFn* progress,
                  size_t* completed) {
  // States are written before any thread can reach the slots.
  for (slot_t s : slots) set_state(s, State::live);
  routed_ = 0;
  unpack();
  *completed = 0;
  try {
    if (deterministic)
      insert_in_batches(base, slots, 0, progress, completed);
    else
      insert_side_by_side(base, slots, 0, progress, completed);
  } catch (...) {
    unlink(slots.subspan(*completed));
    throw;
  }
}

void Hnsw::insert_linked(const Vectors& base, std::span<const slot_t> links,
                         const ProgressFn* progress) {
  constexpr size_t kGrain = 256;
  std::vector<uint8_t> compared(size());  // what cannot be is not linked
  parallel_for(size(), {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    for (auto s = static_cast<slot_t>(begin); s < end; ++s)
      compared[s] = Inserter::ask_for(s, *computer);
  });
  unpack();
  const size_t most = max_links(0);
  std::vector<slot_t> upper;
  for (auto s = slot_t{0}; s < size(); ++s) {
    set_state(s, State::live);
    if (!compared[s]) continue;
    slot_t* to = row(s, 0);
    for (const slot_t x : links.subspan(s * most, most))
      if (x != kNoSlot && x != s && compared[x]) *to++ = x;
    changed(s);
    if (levels_[s]) upper.push_back(s);
  }
  size_t completed = 0;
  if (deterministic)
    insert_in_batches(base, upper, 1, progress, &completed);
  else
    insert_side_by_side(base, upper, 1, progress, &completed);
  if (entry_ == kNoSlot) choose_entry();
  const auto computer = base.computer();
  std::vector<Neighbor> candidates;
  connect(
      base_, most, entry_, compared,
      [&](slot_t s, std::vector<slot_t>& out) {
        computer->set_query(s);
        near(*computer, static_cast<size_t>(efConstruction.load()), candidates);
        for (const Neighbor& n : candidates) out.push_back(n.slot);
      },
      [&](slot_t s) { changed(s); });
}

void Hnsw::insert_side_by_side(const Vectors& base, std::span<const slot_t> slots, int lowest,
                               const ProgressFn* progress, size_t* completed) {
  const size_t threads = std::min(num_threads(), slots.size());
  Inserter inserter(*this, base, lowest, std::max<size_t>(threads, 1), threads > 1);
  parallel_for(slots.size(), {.progress = progress, .completed = completed, .max_threads = threads},
               [&](size_t begin, size_t end, size_t worker) {
                 for (size_t i = begin; i < end; ++i)
                   inserter.insert(slots[i], inserter.worker(worker));
               });
}

void Hnsw::insert_in_batches(const Vectors& base, std::span<const slot_t> slots, int lowest,
                             const ProgressFn* progress, size_t* completed) {
  constexpr size_t kShare = 8;  // of what is in the graph already
  Inserter inserter(*this, base, lowest, num_threads(), false);
  const ProgressFn within = [&](size_t done, size_t) {
    if (progress && *progress) (*progress)(*completed + done, slots.size());
  };
  const size_t before = lowest ? 0 : live_count_ + erased_count_ - slots.size();
  while (*completed < slots.size()) {
    const size_t n = std::clamp<size_t>((before + *completed) / kShare, 1, kBatch);
    const auto batch = slots.subspan(*completed, std::min(n, slots.size() - *completed));
    inserter.insert_batch(batch, within);
    *completed += batch.size();
  }
}

}  // namespace shortlist
