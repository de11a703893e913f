#include "index/building.h"

#include <algorithm>
#include <cstring>

namespace shortlist {

void BuildingVectors::follow(const Vectors& stored) {
  const size_t before = store_.size(), missing = stored.store.size() - before;
  if (missing == 0) return;
  std::byte* fresh = store_.grow(missing);
  try {
    decode_rows(stored.codec, stored.store.row(before), missing, reinterpret_cast<float*>(fresh));
  } catch (...) {  // interrupted
    store_.truncate(before);
    throw;
  }
}

void BuildingVectors::write(std::span<const slot_t> slots, const Rows& x) {
  if (slots.empty()) return;
  const size_t n = size_t{*std::max_element(slots.begin(), slots.end())} + 1;
  if (store_.size() < n) store_.grow(n - store_.size());
  std::vector<float> scratch;
  const float* rows = as_floats(x, scratch);
  for (size_t i = 0; i < slots.size(); ++i)
    std::memcpy(store_.row(slots[i]), rows + i * codec_.d, codec_.code_size());
}

}  // namespace shortlist
