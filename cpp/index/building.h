// Floats beside codes that are slow to compare with each other: a graph over such codes is built by
// them. They are the vectors as they are added; of those added before, what their codes decode to.
#pragma once

#include <span>

#include "codec/flat.h"
#include "flat/flat.h"

namespace shortlist {

class BuildingVectors {
 public:
  explicit BuildingVectors(size_t d) : codec_(d), store_(codec_.code_size()) {}

  size_t memory() const { return store_.memory(); }
  Vectors of(Metric metric) const { return {codec_, metric, store_}; }
  void make_room(size_t n) { store_.make_room(n); }
  // Decodes those of `stored` that are not here yet.
  void follow(const Vectors& stored);
  void write(std::span<const slot_t> slots, const Rows& x);  // slots may be new
  void truncate(size_t n) {
    if (store_.size() > n) store_.truncate(n);
  }
  void clear() { store_.clear(); }

 private:
  const FlatCodec codec_;
  CodeStore store_;
};

}  // namespace shortlist
