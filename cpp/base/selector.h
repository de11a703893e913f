// Which ids a search may return: faiss's IDSelector family.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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
  slot_t find(id_t id) const;  // kNoSlot if absent; needs `slot_of` where there are `ids`
  id_t id(slot_t s) const { return ids ? ids[s] : static_cast<id_t>(s); }
};

class Selector {
 public:
  virtual ~Selector() = default;
  virtual bool is_member(id_t id) const = 0;
  // The chosen slots. The base class asks is_member for every slot; sets that can be listed
  // cost their own size instead.
  virtual Bitmap slots(const IdMap& map) const;
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
  const std::vector<uint8_t> bits;
};

class SelectorNot final : public Selector {
 public:
  explicit SelectorNot(std::shared_ptr<const Selector> sel) : sel(std::move(sel)) {}
  bool is_member(id_t id) const override { return !sel->is_member(id); }
  Bitmap slots(const IdMap& map) const override;
  const std::shared_ptr<const Selector> sel;
};

class SelectorPair : public Selector {
 public:
  enum class Op { both, either, one };
  SelectorPair(Op op, std::shared_ptr<const Selector> lhs, std::shared_ptr<const Selector> rhs)
      : op(op), lhs(std::move(lhs)), rhs(std::move(rhs)) {}
  bool is_member(id_t id) const override;
  Bitmap slots(const IdMap& map) const override;
  const Op op;
  const std::shared_ptr<const Selector> lhs, rhs;
};

// A selector already evaluated: how IDMap passes one inwards.
class SelectorSlots final : public Selector {
 public:
  explicit SelectorSlots(Bitmap slots) : slots_(std::move(slots)) {}
  bool is_member(id_t id) const override {
    return static_cast<uint64_t>(id) < slots_.size() && slots_[static_cast<size_t>(id)];
  }

 private:
  const Bitmap slots_;
};

}  // namespace shortlist
