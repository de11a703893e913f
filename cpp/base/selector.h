// Which ids a search may return: faiss's IDSelector family.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <shared_mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/bitmap.h"
#include "base/types.h"

namespace shortlist {

// How the slots of a structure are named: identity, or a table with the way back.
struct IdMap {
  size_t slots = 0;           // how many slots there are
  const id_t* ids = nullptr;  // nullptr: id == slot; kNoId: no vector
  const std::unordered_map<id_t, slot_t>* slot_of = nullptr;  // optional, with `ids`
  uint64_t version = 0;        // of the table: next_version() after every change; 0: unknown
  slot_t find(id_t id) const;  // kNoSlot if absent; needs `slot_of` where there are `ids`
  id_t id(slot_t s) const { return ids ? ids[s] : static_cast<id_t>(s); }
};

uint64_t next_version();  // a number not given before in this process

class SelectedSlots;

class Selector {
 public:
  virtual ~Selector() = default;
  virtual bool is_member(id_t id) const = 0;
  // Whether is_member(id) will always say the same.
  virtual bool constant() const { return true; }
  // The chosen slots. The base class asks is_member for every slot; sets that can be listed
  // cost their own size instead.
  virtual Bitmap slots(const IdMap& map) const;
  // Likewise, ready to search with: a constant selector keeps them for as long as the map is the
  // same, so that a filter costs nothing from the second query on.
  virtual std::shared_ptr<const SelectedSlots> among(const IdMap& map) const;

 private:
  // Only tried, never waited for: a fork may have caught it held by a thread the child lacks.
  mutable std::shared_mutex mutex_;
  mutable std::shared_ptr<const SelectedSlots> kept_;
  mutable uint64_t kept_version_ = 0;
};

class SelectorAll final : public Selector {
 public:
  bool is_member(id_t) const override { return true; }
};

class SelectorRange final : public Selector {  // imin <= id < imax
 public:
  SelectorRange(id_t imin, id_t imax, bool assume_sorted = false)
      : imin(imin), imax(imax), assume_sorted(assume_sorted) {}
  bool is_member(id_t id) const override { return id >= imin && id < imax; }
  Bitmap slots(const IdMap& map) const override;
  const id_t imin, imax;
  const bool assume_sorted;
};

class SelectorArray final : public Selector {
 public:
  explicit SelectorArray(std::vector<id_t> ids) : ids(std::move(ids)) {}
  bool is_member(id_t id) const override;
  Bitmap slots(const IdMap& map) const override;
  const std::vector<id_t> ids;
};

// A hash set behind a small Bloom filter.
class SelectorBatch final : public Selector {
 public:
  explicit SelectorBatch(const std::vector<id_t>& ids);
  bool is_member(id_t id) const override;
  Bitmap slots(const IdMap& map) const override;
  const std::unordered_set<id_t>& ids() const { return set_; }

 private:
  std::unordered_set<id_t> set_;
  std::vector<uint64_t> bloom_;
  size_t mask_ = 0;
};

// Bit i of byte i / 8, least significant first; ids beyond the bitmap are out.
class SelectorBitmap final : public Selector {
 public:
  explicit SelectorBitmap(std::vector<uint8_t> bits) : bits(std::move(bits)) {}
  bool is_member(id_t id) const override {
    const auto i = static_cast<uint64_t>(id);
    return (i >> 3) < bits.size() && (bits[i >> 3] >> (i & 7) & 1);
  }
  Bitmap slots(const IdMap& map) const override;
  const std::vector<uint8_t> bits;
};

class SelectorNot final : public Selector {
 public:
  explicit SelectorNot(std::shared_ptr<const Selector> sel) : sel(std::move(sel)) {}
  bool is_member(id_t id) const override { return !sel->is_member(id); }
  bool constant() const override { return sel->constant(); }
  Bitmap slots(const IdMap& map) const override;
  const std::shared_ptr<const Selector> sel;
};

class SelectorPair : public Selector {
 public:
  enum class Op { both, either, one };
  SelectorPair(Op op, std::shared_ptr<const Selector> lhs, std::shared_ptr<const Selector> rhs)
      : op(op), lhs(std::move(lhs)), rhs(std::move(rhs)) {}
  bool is_member(id_t id) const override;
  bool constant() const override { return lhs->constant() && rhs->constant(); }
  Bitmap slots(const IdMap& map) const override;
  const Op op;
  const std::shared_ptr<const Selector> lhs, rhs;
};

// A selector already evaluated; how IDMap passes one inwards, where rows are the ids.
class SelectedSlots final : public Selector, public std::enable_shared_from_this<SelectedSlots> {
 public:
  explicit SelectedSlots(Bitmap bits);
  bool operator[](size_t s) const { return bits_[s]; }
  const Bitmap& bits() const { return bits_; }
  size_t count() const { return count_; }
  // Whether so few were chosen that going through list() beats going through all slots.
  bool listed() const { return listed_; }
  const std::vector<slot_t>& list() const { return list_; }
  // A few of them from all over: where a search may start.
  const std::vector<slot_t>& spread() const { return spread_; }

  bool is_member(id_t id) const override {
    return static_cast<uint64_t>(id) < bits_.size() && bits_[static_cast<size_t>(id)];
  }
  std::shared_ptr<const SelectedSlots> among(const IdMap& map) const override;

 private:
  const Bitmap bits_;
  const size_t count_;
  const bool listed_;
  std::vector<slot_t> list_, spread_;
};

}  // namespace shortlist
