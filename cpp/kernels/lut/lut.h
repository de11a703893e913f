// The loop over groups, with the table of each in a register, over the vectors V of one ISA.
// V offers:
//   kGroups                                 groups a step takes
//   Sums                                    u16 sums of 32 vectors, zero at first
//   step(sums, codes, table[, groups])      adds kGroups groups, or fewer
//   widen(sums, out, more)                  the sums as u32 out[32], or added to it if `more`
#pragma once

#include "kernels/kernels.h"

namespace shortlist::kernels::lut {
namespace {

// A u16 holds 257 entries of a table; this is the multiple of every kGroups below that.
constexpr size_t kMost = 256;

template <class V>
void sums32(const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out) {
  size_t begin = 0;
  do {
    const size_t end = groups - begin < kMost ? groups : begin + kMost;
    typename V::Sums sums{};
    size_t g = begin;
#pragma GCC unroll 2
    for (; g + V::kGroups <= end; g += V::kGroups) V::step(sums, codes + 16 * g, table + 16 * g);
    if (g < end) V::step(sums, codes + 16 * g, table + 16 * g, end - g);
    V::widen(sums, out, begin > 0);
    begin = end;
  } while (begin < groups);
}

}  // namespace
}  // namespace shortlist::kernels::lut
