// How queries of a newer model read codes that an older one's encoder made: backward-compatible
// training, as in BEBR (arXiv 2302.08714).
#pragma once

#include <vector>

#include "codec/oddint/codec.h"

namespace shortlist {

// Codes stay as they are, factors too. A query q becomes q' = turns (q - query_centre) + shift, and
// -<q, centre> + add + rescale <u, q'> orders codes as -<q, x> orders the newer model's x.
struct OddIntReading {
  std::vector<float> turns;                     // m x d, by rows
  std::vector<float> shift;                     // m
  float slope = 1, offset = 0;                  // see compared()
  std::vector<float> centre{}, query_centre{};  // d: those of the newer encoder

  size_t d() const { return centre.size(); }
  // Throws ArgumentError unless sizes fit and all is finite.
  void check(size_t m) const;
  void set_query(const OddIntCodec& codec, const float* q, OddIntCodec::Query& out) const;
  // What compares with a distance to one of the newer encoder's codes; and the other way round.
  float compared(float distance) const { return slope * distance - offset; }
  float own(float distance) const { return (distance + offset) / slope; }
  // About the newer model's vector of a code.
  void decode(const OddIntCodec& codec, const std::byte* code, float* x) const;
};

}  // namespace shortlist
