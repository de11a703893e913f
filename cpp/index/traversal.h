// int8 codes beside the vectors of a graph: the graph is built and walked by codes, which are a
// quarter of the memory traffic of floats, and results are told by the vectors themselves.
#pragma once

#include <memory>
#include <span>

#include "codec/int8.h"
#include "flat/flat.h"

namespace shortlist {

class TraversalCodes {
 public:
  bool in_use() const { return codec_ != nullptr; }
  size_t memory() const { return store_.memory(); }
  // What a graph over `stored` is built and walked by.
  Vectors of(const Vectors& stored) const {
    return in_use() ? Vectors{*codec_, stored.metric, store_} : stored;
  }

  // Takes over the slots written in `stored`. Whether to use codes, and on what grid, is decided
  // anew when the vectors have doubled, or when some do not fit the grid; then the codes of others
  // change too, and the result is true. Goes without codes where it throws, or memory is short.
  bool follow(const Vectors& stored, std::span<const slot_t> written);
  // Whether follow will decide anew once x is stored too, and n vectors in all.
  bool outgrown(size_t n, const Rows& x) const;
  void truncate(size_t n);  // to the codes of the first n
  void clear() { *this = TraversalCodes(); }

 private:
  static constexpr size_t kFewest = 1000;  // vectors; below, codes gain nothing

  bool doubled(size_t n) const { return n >= kFewest && n >= 2 * decided_at_; }
  void decide(const Vectors& stored);
  void without(size_t n);
  bool encode(const Vectors& stored, std::span<const slot_t> slots);

  std::unique_ptr<const Int8Codec> codec_;
  CodeStore store_{1};
  size_t decided_at_ = 0;  // vectors at the last decision
};

}  // namespace shortlist
