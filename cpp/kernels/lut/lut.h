// The loop over groups, with the table of each in a register, over the vectors V of one ISA.
// V offers:
//   kGroups                                 groups a step takes
//   Found                                   their entries for 32 vectors, a byte each; plus(x, y)
//   find(codes, table[, groups])            those of kGroups groups, or of fewer
//   Sums                                    u16 sums of 32 vectors, zero at first
//   add(sums, found)
//   widen(sums, out, more)                  the sums as u32 out[32], or added to it if `more`
#pragma once

#include "kernels/kernels.h"

namespace shortlist::kernels::lut {
namespace {

// A u16 holds 257 entries of a table; this is the multiple of every kGroups below that.
constexpr size_t kMost = 256;

// kTogether steps are added as bytes first, which hold so many of the largest entry.
template <class V, size_t kTogether>
void sums32(const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out) {
  size_t begin = 0;
  do {
    const size_t end = groups - begin < kMost ? groups : begin + kMost;
    typename V::Sums sums{};
    const auto find = [&](size_t g, auto... count) {
      return V::find(codes + 16 * g, table + 16 * g, count...);
    };
    size_t g = begin;
#pragma GCC unroll 2
    for (; g + kTogether * V::kGroups <= end; g += kTogether * V::kGroups) {
      auto found = find(g);
#pragma GCC unroll 4
      for (size_t i = 1; i < kTogether; ++i) found = V::plus(found, find(g + i * V::kGroups));
      V::add(sums, found);
    }
    for (; g + V::kGroups <= end; g += V::kGroups) V::add(sums, find(g));
    if (g < end) V::add(sums, find(g, end - g));
    V::widen(sums, out, begin > 0);
    begin = end;
  } while (begin < groups);
}

constexpr size_t kOfSmall = 4;  // entries of at most 63

}  // namespace
}  // namespace shortlist::kernels::lut
