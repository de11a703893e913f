// The graph as data: slots, levels, link rows, and what readers of saved graphs need.
#include "graph/hnsw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "base/rwlock.h"

namespace shortlist {
namespace {

constexpr uint64_t kLevelSeed = 12345;
constexpr int kMaxLevel = 62;
constexpr size_t kTogether = 256;              // rows packed between two looks at the clock
constexpr size_t kMaxSlots = size_t{1} << 31;  // the search pool spends one bit of a slot

}  // namespace

Hnsw::Hnsw(size_t M) : M_(M) {
  if (M < 2 || M > 4096)
    throw ArgumentError(
        text("M = ", M, " links per node is out of range; choose 2 to 4096 (16 to 64 is usual)"));
  level_scale_ = 1 / std::log(static_cast<double>(M));
}

// Exponential with mean 1 / ln M (section 4.1), from the slot's own random number: batching and
// threads do not change it.
int Hnsw::draw_level(slot_t s) const {
  return std::min(kMaxLevel, static_cast<int>(-std::log(uniform(kLevelSeed, s)) * level_scale_));
}

slot_t* Hnsw::row(slot_t s, int level) {
  return const_cast<slot_t*>(static_cast<const Hnsw*>(this)->row(s, level));
}
const slot_t* Hnsw::row(slot_t s, int level) const {
  if (level == 0) return base_.data() + size_t{s} * 2 * M_;
  return upper_.data() + (size_t{upper_at_[s]} + static_cast<size_t>(level) - 1) * M_;
}

std::span<const slot_t> Hnsw::links(slot_t s, int level) const {
  const slot_t* begin = row(s, level);
  return {begin, std::find(begin, begin + max_links(level), kNoSlot)};
}

size_t Hnsw::memory() const {
  return base_.capacity_bytes() + upper_.capacity_bytes() + upper_at_.capacity_bytes() +
         levels_.capacity_bytes() + state_.capacity_bytes() + free_.capacity() * sizeof(slot_t) +
         (blocks_ ? blocks_->memory() + stale_.capacity_bytes() : 0);
}

void Hnsw::add_slot(int level) {
  base_.resize(base_.size() + 2 * M_, kNoSlot);
  upper_at_.push_back(level ? static_cast<uint32_t>(upper_.size() / M_) : kNoSlot);
  if (level) upper_.resize(upper_.size() + static_cast<size_t>(level) * M_, kNoSlot);
  levels_.push_back(static_cast<uint8_t>(level));
  state_.push_back(State::free);
  live_.resize(size());
  if (blocks_) stale_.push_back(1);
}

void Hnsw::set_state(slot_t s, State state) {
  live_count_ += static_cast<size_t>(state == State::live) - static_cast<size_t>(live_[s]);
  state_[s] = state;
  if (state == State::live)
    live_.set(s);
  else
    live_.clear(s);
}

void Hnsw::make_room(size_t n) {
  const size_t fresh = n - std::min(n, free_.size());
  if (size() + fresh > kMaxSlots)
    throw ArgumentError(text("a graph holds at most ", kMaxSlots, " vectors; it has ", size(),
                             " and ", fresh,
                             " more were added: split the data over several indexes"));
  size_t upper = 0;
  for (size_t i = 0; i < fresh; ++i)
    upper += static_cast<size_t>(draw_level(static_cast<slot_t>(size() + i))) * M_;
  reserve(size() + fresh, upper_.size() + upper);
}

std::vector<slot_t> Hnsw::allocate(size_t n) {
  const size_t reused = std::min(n, free_.size()), fresh = n - reused;
  // All memory first, so that running out of it changes nothing.
  std::vector<slot_t> slots(free_.end() - static_cast<ptrdiff_t>(reused), free_.end());
  slots.reserve(n);
  make_room(n);
  for (size_t i = 0; i < fresh; ++i) {
    const auto s = static_cast<slot_t>(size());
    add_slot(draw_level(s));
    slots.push_back(s);
  }
  free_.resize(free_.size() - reused);
  return slots;
}

void Hnsw::reserve(size_t slots, size_t upper_links) {
  // Grown by half at least: one add per vector must not copy the graph each time.
  const auto grow = [](auto& array, size_t want) {
    if (want > array.capacity()) array.reserve(std::max(want, array.size() + array.size() / 2));
  };
  grow(base_, slots * 2 * M_);
  grow(upper_, upper_links);
  grow(upper_at_, slots);
  grow(levels_, slots);
  grow(state_, slots);
  if (blocks_) grow(stale_, slots);
}

void Hnsw::use_blocks(const Vectors& base, bool wanted) {
  if (wanted && !blocks_) {
    auto blocks = std::make_unique<NeighborBlocks>(base, max_links(0));
    stale_.resize(size(), 1);
    blocks_ = std::move(blocks);
    unpack();
  }
  if (!wanted) {
    blocks_.reset();
    stale_.release();
  }
}

void Hnsw::restore_blocks(const Vectors& base, std::span<const slot_t> links) {
  auto blocks = std::make_unique<NeighborBlocks>(base, max_links(0));
  if (links.size() != size() * blocks->width())
    throw CorruptIndexError(text("there are ", links.size(), " links of neighbour blocks for ",
                                 size(), " nodes; ", blocks->width(), " each are right"));
  for (slot_t to : links)
    if (to != kNoSlot && (to >= size() || state_[to] == State::free))
      throw CorruptIndexError(text("a neighbour block links to ", to, ", which is not there"));
  std::vector<slot_t> nodes(size());
  std::iota(nodes.begin(), nodes.end(), slot_t{0});
  blocks->pack(base, *this, nodes, links);
  stale_.release();
  stale_.resize(size(), 0);
  blocks_ = std::move(blocks);
  packed_ = true;
}

void Hnsw::renew_blocks(const Vectors& base) {
  if (!blocks_) return;
  blocks_ = std::make_unique<NeighborBlocks>(base, max_links(0));
  std::fill(stale_.begin(), stale_.end(), uint8_t{1});
  unpack();
}

bool Hnsw::repack(const Vectors& base) {
  const Turn turn;
  std::vector<slot_t> nodes;
  while (fresh_to_ < size()) {
    if (turn.over()) return true;
    nodes.clear();
    size_t next = fresh_to_;
    for (; next < size() && nodes.size() < kTogether; ++next)
      if (stale_[next]) nodes.push_back(static_cast<slot_t>(next));
    blocks_->pack(base, *this, nodes);
    for (slot_t s : nodes) stale_[s] = 0;
    fresh_to_ = next;
  }
  packed_ = true;
  return false;
}

bool Hnsw::settle(const Vectors& base) {
  if (worth_consolidating() && consolidate(base)) return true;
  return blocks_ && !packed_ && repack(base);
}

void Hnsw::reset() {
  blocks_.reset();
  stale_.release();
  base_.release();
  upper_.release();
  upper_at_.release();
  levels_.release();
  state_.release();
  live_ = {};
  live_count_ = 0;
  free_.clear();
  erased_count_ = routed_ = 0;
  max_level_ = -1;
  entry_ = kNoSlot;
}

std::vector<slot_t> Hnsw::erased_slots() const {
  std::vector<slot_t> out;
  for (size_t s = 0; s < size(); ++s)
    if (state_[s] == State::erased) out.push_back(static_cast<slot_t>(s));
  return out;
}

void Hnsw::restore(std::span<const uint8_t> levels, int max_level, slot_t entry) {
  reset();
  if (levels.size() > kMaxSlots)
    throw CorruptIndexError(
        text("the graph claims ", levels.size(), " nodes; at most ", kMaxSlots, " are possible"));
  reserve(levels.size(), 0);
  for (uint8_t level : levels) {
    if (level > kMaxLevel)
      throw CorruptIndexError(
          text("a node claims level ", int{level}, "; at most ", kMaxLevel, " is possible"));
    add_slot(level);
    set_state(static_cast<slot_t>(size() - 1), State::live);
  }
  const bool empty = levels.empty();
  const bool consistent =
      empty ? entry == kNoSlot : entry < size() && levels_[entry] == max_level && max_level >= 0;
  // A graph whose live nodes were all freed has no entry point either.
  if (!consistent && !(entry == kNoSlot && max_level == -1))
    throw CorruptIndexError(
        text("the graph's entry point ", entry, " does not have the top level ", max_level));
  entry_ = entry;
  max_level_ = empty ? -1 : max_level;
}

void Hnsw::set_links(slot_t s, int level, std::span<const slot_t> links) {
  if (s >= size() || level < 0 || level > levels_[s] || links.size() > max_links(level))
    throw CorruptIndexError(text("node ", s, " has ", links.size(), " links at level ", level,
                                 ", which it cannot hold"));
  for (slot_t to : links)
    if (to >= size() || levels_[to] < level)
      throw CorruptIndexError(
          text("node ", s, " links to ", to, " at level ", level, ", which is not there"));
  std::fill(std::copy(links.begin(), links.end(), row(s, level)), row(s, level) + max_links(level),
            kNoSlot);
}

void Hnsw::restore_free(std::span<const slot_t> slots) {
  for (slot_t s : slots) {
    if (s >= size() || state_[s] != State::live)
      throw CorruptIndexError(
          text("slot ", s, " is listed as free but is not there or not in use"));
    set_state(s, State::free);
    free_.push_back(s);
  }
}

}  // namespace shortlist
