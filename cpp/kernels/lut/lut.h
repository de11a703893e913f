// The loop over groups, with the table of each in a register, over the vectors V of one ISA.
// V offers:
//   kGroups                                 groups a step takes
//   Found                                   their entries for 32 vectors, a byte each; plus(x, y)
//   find(codes, table[, groups])            those of kGroups groups, or of fewer
//   Sums                                    u16 sums of 32 vectors, zero at first
//   add(sums, found)
//   Totals                                  u32 sums of 32 vectors, zero at first
//   widen(sums, totals)                     adds them
//   store(totals, out)
//   Terms                                   made of EstimateTerms and a limit
//   below<factors, keep>(totals, terms, factors, out)   estimates, to `out` if they are to be kept
#pragma once

#include "kernels/kernels.h"

namespace shortlist::kernels::lut {
namespace {

// A u16 holds 257 entries of a table; this is the multiple of every kGroups below that.
constexpr size_t kMost = 256;

// kTogether steps are added as bytes first, which hold so many of the largest entry.
template <class V, size_t kTogether>
[[gnu::always_inline]] inline typename V::Totals totals32(const uint8_t* codes,
                                                          const uint8_t* table, size_t groups) {
  typename V::Totals totals{};
  for (size_t begin = 0; begin < groups;) {
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
    V::widen(sums, totals);
    begin = end;
  }
  return totals;
}

constexpr size_t kOfSmall = 4;  // entries of at most 63

template <class V>
void lut32(const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out) {
  V::store(totals32<V, 1>(codes, table, groups), out);
}

template <class V, size_t kTogether, bool kFactors, bool kKeep>
void each_block(const uint8_t* blocks, size_t stride, size_t n, const uint8_t* table, size_t groups,
                const EstimateTerms& terms, float limit, float* out, uint32_t* below) {
  const typename V::Terms t(terms, limit);
  for (size_t i = 0; i < n; ++i, blocks += stride) {
    const auto totals = totals32<V, kTogether>(blocks, table, groups);
    const auto* factors = reinterpret_cast<const uint16_t*>(blocks + 16 * groups);
    below[i] = V::template below<kFactors, kKeep>(totals, t, factors, out + (kKeep ? 32 * i : 0));
  }
}

template <class V, size_t kTogether>
void estimate(const uint8_t* blocks, size_t stride, size_t n, const uint8_t* table, size_t groups,
              const EstimateTerms& terms, float limit, float* out, uint32_t* below) {
  const auto run = out ? (terms.factors ? each_block<V, kTogether, true, true>
                                        : each_block<V, kTogether, false, true>)
                       : (terms.factors ? each_block<V, kTogether, true, false>
                                        : each_block<V, kTogether, false, false>);
  run(blocks, stride, n, table, groups, terms, limit, out, below);
}

}  // namespace
}  // namespace shortlist::kernels::lut
