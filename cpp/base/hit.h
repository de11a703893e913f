// A (distance, slot) as one integer.
#pragma once

#include <bit>
#include <cstdint>

#include "base/types.h"

namespace shortlist {

// Order-preserving map of a float's bits, so that (distance, slot) sorts as one integer: nearer
// first, then the smaller slot. That makes ties the same on every ISA and thread count.
inline uint32_t sortable(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return bits ^ (static_cast<uint32_t>(-static_cast<int32_t>(bits >> 31)) | 0x80000000u);
}
inline float from_sortable(uint32_t s) {
  return std::bit_cast<float>(s & 0x80000000u ? s ^ 0x80000000u : ~s);
}

using hit_t = uint64_t;
inline hit_t make_hit(float distance, slot_t slot) {
  return static_cast<uint64_t>(sortable(distance)) << 32 | slot;
}
inline float distance_of(hit_t h) { return from_sortable(static_cast<uint32_t>(h >> 32)); }
inline slot_t slot_of(hit_t h) { return static_cast<slot_t>(h); }

}  // namespace shortlist
