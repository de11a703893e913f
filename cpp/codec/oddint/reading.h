// How queries of a newer model read codes that an older one's encoder made: backward-compatible
// training, as in BEBR (arXiv 2302.08714).
#pragma once

#include <vector>

#include "codec/oddint/codec.h"

namespace shortlist {

// Codes stay as they are, factors too. A query q becomes q' = turns (q - query_centre) + shift, and
// -<q, x> ~ -<q, centre> + add + rescale <u, q'> of the newer model's x, as if its encoder had made
// the code: distances to codes of both kinds compare.
struct OddIntReading {
  std::vector<float> turns;                 // m x d, by rows
  std::vector<float> shift;                 // m
  std::vector<float> centre, query_centre;  // d: those of the newer encoder

  size_t d() const { return centre.size(); }
  // Throws ArgumentError unless sizes fit and all is finite.
  void check(size_t m) const;
  void set_query(const OddIntCodec& codec, const float* q, OddIntCodec::Query& out) const;
  // About the newer model's vector of a code.
  void decode(const OddIntCodec& codec, const std::byte* code, float* x) const;
};

}  // namespace shortlist
