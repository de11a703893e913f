// What a graph's links do not lead to.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/types.h"

namespace shortlist {

// Gives a link to each of those `wanted` (by slot; empty: all) that the links do not lead to from
// the entry, from a near one that they do lead to. `links` are rows of `degree`, kNoSlot at their
// ends. near(s, out) appends slots near s, the nearest first; written(s) is told of a changed row.
void connect(std::span<slot_t> links, size_t degree, slot_t entry, std::span<const uint8_t> wanted,
             const std::function<void(slot_t, std::vector<slot_t>&)>& near,
             const std::function<void(slot_t)>& written);

}  // namespace shortlist
