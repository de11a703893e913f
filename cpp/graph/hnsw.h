// Hierarchical navigable small world graph (Malkov and Yashunin, arXiv 1603.09320).
// Links only: the vectors live in a code store, one slot each.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/threads.h"
#include "flat/flat.h"
#include "graph/blocks.h"

namespace shortlist {

struct Neighbor {
  float distance;
  slot_t slot;
};

struct Walk;

class Hnsw {
 public:
  // Throws ArgumentError unless 2 <= M <= 4096.
  explicit Hnsw(size_t M);

  // Live parameters, under faiss's names; searches copy what they need on entry.
  std::atomic<int> efConstruction = 40;  // candidates kept while inserting
  std::atomic<int> efSearch = 16;        // candidates kept while searching
  // Insert in batches: same input, same graph, however many threads there are.
  std::atomic<bool> deterministic = false;
  static constexpr size_t kBatch = 256;  // nodes of a batch, at most

  size_t M() const { return M_; }
  size_t max_links(int level) const { return level == 0 ? 2 * M_ : M_; }
  size_t size() const { return levels_.size(); }  // slots, erased ones included
  size_t live() const { return live_count_; }
  const Bitmap& live_slots() const { return live_; }
  int max_level() const { return max_level_; }
  slot_t entry_point() const { return entry_; }
  int level(slot_t s) const { return levels_[s]; }  // top level, 0-based
  bool is_live(slot_t s) const { return state_[s] == State::live; }
  // Current links of s at `level`, nearest-first order not guaranteed.
  std::span<const slot_t> links(slot_t s, int level) const;
  size_t memory() const;

  // Whether searches go through neighbour blocks. settle() makes them; until it has, searches do
  // without.
  bool has_blocks() const { return blocks_ != nullptr; }
  void use_blocks(const Vectors& base, bool wanted);
  // Blocks that are ready to be searched; null where there are none.
  const NeighborBlocks* blocks() const { return packed_ ? blocks_.get() : nullptr; }
  // For readers: blocks made from the links they had, width() of each node. Throws
  // CorruptIndexError on links that lead nowhere.
  void restore_blocks(const Vectors& base, std::span<const slot_t> links);
  // The codes of `base` are others than before: blocks, if any, wait to be made from them.
  void renew_blocks(const Vectors& base);

  // Memory for n more slots, in one piece.
  void make_room(size_t n);
  // Slots for n new vectors: freed ones first, then fresh ones at the end. Nothing is linked yet.
  std::vector<slot_t> allocate(size_t n);
  // Takes back slots that were allocated and will not be inserted.
  void release(std::span<const slot_t> slots) {
    free_.insert(free_.end(), slots.begin(), slots.end());
  }
  // Links slots whose vectors are in the store. On an exception (interrupt, memory) the first
  // `*completed` slots are linked, the others are freed again. Same input, same graph with one
  // thread, and with any number where `deterministic` is set.
  void insert(const Vectors& base, std::span<const slot_t> slots, const ProgressFn* progress,
              size_t* completed);
  // As insert, of all slots there are, with links of the lowest level that are known: max_links(0)
  // of each slot, kNoSlot for none. Levels above are linked as by insert, and what the entry's
  // links do not lead to gets one. On an exception the graph must be reset.
  void insert_linked(const Vectors& base, std::span<const slot_t> links,
                     const ProgressFn* progress);
  // Hides slots from results; they still carry the search until consolidate().
  void erase(std::span<const slot_t> slots);
  // What changes leave to be done, for a turn: consolidates once a fifth is erased, and makes
  // blocks. Returns whether some is left. Searches are right before, between and after.
  bool settle(const Vectors& base);
  bool settled() const { return !worth_consolidating() && (!blocks_ || packed_); }
  // Routes around erased slots and frees them, for a turn; `insert` reuses them. Returns whether
  // some is left.
  bool consolidate(const Vectors& base);
  // Nodes of level 0 near the query that `computer` has, those of a walk with this ef.
  void near(DistanceComputer& computer, size_t ef, std::vector<Neighbor>& out) const;
  void reset();

  // The k nearest live slots per query that `allowed` admits, sorted by (distance, slot).
  // Internal distances; a query with NaN or Inf has none. ef is raised to k. The graph is walked
  // by `base`; distances, and which are the nearest of those found, come from `exact`.
  void search(const Vectors& base, const Vectors& exact, const Rows& queries, size_t k, size_t ef,
              const SelectedSlots* allowed, std::vector<hit_t>* hits) const;
  // Live slots found with distance < radius: from the ef nearest, all that links within the
  // radius reach.
  void range_search(const Vectors& base, const Rows& queries, float radius, size_t ef,
                    const SelectedSlots* allowed, std::vector<hit_t>* hits) const;

  // For readers of saved graphs. `levels` are top levels; links follow by set_links. Throws
  // CorruptIndexError on values that do not make a graph.
  void restore(std::span<const uint8_t> levels, int max_level, slot_t entry);
  void set_links(slot_t s, int level, std::span<const slot_t> links);
  // Marks slots free (they hold no vector); with restore, for graphs saved with holes.
  void restore_free(std::span<const slot_t> slots);
  void restore_erased(std::span<const slot_t> slots) { erase(slots); }
  std::span<const slot_t> free_slots() const { return free_; }
  std::vector<slot_t> erased_slots() const;

 private:
  enum class State : uint8_t { live, erased, free };
  struct Inserter;
  struct Admitted;

  // On levels from `lowest` up; slots have them.
  void insert_side_by_side(const Vectors& base, std::span<const slot_t> slots, int lowest,
                           const ProgressFn* progress, size_t* completed);
  void insert_in_batches(const Vectors& base, std::span<const slot_t> slots, int lowest,
                         const ProgressFn* progress, size_t* completed);

  slot_t* row(slot_t s, int level);
  const slot_t* row(slot_t s, int level) const;
  int draw_level(slot_t s) const;
  void reserve(size_t slots, size_t upper_links);
  void add_slot(int level);
  void set_state(slot_t s, State state);
  void free_slot(slot_t s);
  void unlink(std::span<const slot_t> slots);
  void route_around(slot_t s, int level, Walk& walk) const;
  void choose_entry();
  struct Start {  // of a walk on level 0
    slot_t slot;
    float distance;
  };
  Start descend(DistanceComputer& computer) const;
  void walk(DistanceComputer& computer, Start start, size_t ef) const;
  void walk_admitted(DistanceComputer& computer, Start start, size_t ef,
                     const Admitted& admitted) const;
  void walk_blocks(const float* query, DistanceComputer& computer, Start start, size_t ef) const;
  // The level-0 links of s were written; its block is made again by repack(), and no block is used
  // before.
  void changed(slot_t s) {
    if (blocks_) stale_[s] = 1;
  }
  void unpack() {
    packed_ = false;
    fresh_to_ = 0;
  }
  bool repack(const Vectors& base);
  bool worth_consolidating() const { return routed_ || erased_count_ * 5 > size() - free_.size(); }
  struct Computers;
  void search_one(const float* query, const Computers& computers, size_t k, size_t ef,
                  const Admitted& admitted, std::vector<hit_t>& hits) const;

  size_t M_;
  double level_scale_;
  int max_level_ = -1;
  slot_t entry_ = kNoSlot;
  Array<slot_t> base_;        // 2M links per slot, unused ones are kNoSlot, at the end
  Array<slot_t> upper_;       // M links per slot and level above 0
  Array<uint32_t> upper_at_;  // first row in upper_, kNoSlot for level 0
  Array<uint8_t> levels_;
  Array<State> state_;
  Bitmap live_;  // state_[s] == live, for searches with filters
  std::atomic<size_t> live_count_ = 0;
  std::vector<slot_t> free_;
  size_t erased_count_ = 0;
  size_t routed_ = 0;  // slots below do not link to erased ones
  std::unique_ptr<NeighborBlocks> blocks_;
  Array<uint8_t> stale_;  // by slot, while there are blocks
  bool packed_ = false;   // no row is stale
  size_t fresh_to_ = 0;   // no row below is stale
};

}  // namespace shortlist
