// A group of queries against codes that are bits.
#pragma once

#include <vector>

#include "flat/flat.h"

namespace shortlist::flat {

// Goes over the base in blocks that stay in the first cache, and there query by query: a kernel
// tells which rows are nearer than the last one kept, and only those are looked at.
class BitGroup {
 public:
  BitGroup(const Vectors& base, Matrix<const float> queries, size_t k);

  void scan(size_t begin, size_t end, const SelectedSlots* allowed);
  std::vector<TopK>& tops() { return tops_; }

 private:
  void block(size_t i, size_t begin, size_t n, const SelectedSlots* allowed);

  const Vectors& base_;
  const size_t bytes_, rows_;  // of a code; of a block
  std::vector<std::byte> queries_;
  std::vector<TopK> tops_;
  std::vector<uint64_t> near_;
  std::vector<slot_t> slots_;
  std::vector<float> distances_;
};

}  // namespace shortlist::flat
