#include "index/building.h"

#include <algorithm>
#include <cstring>

namespace shortlist {

void BuildingVectors::follow(const Vectors& stored) {
  constexpr size_t kGrain = 64;
  const size_t before = store_.size(), missing = stored.store.size() - before;
  if (missing == 0) return;
  std::byte* fresh = store_.grow(missing);
  try {
    parallel_for(missing, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
      stored.codec.decode(stored.store.row(before + begin), end - begin,
                          reinterpret_cast<float*>(fresh + begin * codec_.code_size()));
    });
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
