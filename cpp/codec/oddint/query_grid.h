// How faiss's RaBitQ rounds a query before it compares it with one-bit codes.
#pragma once

#include <cstddef>

namespace shortlist {

struct QueryGrid {
  int bits = 0;           // faiss's qb; 0: not at all
  bool centered = false;  // even about zero, else from the least value to the greatest
  bool in_bytes = false;  // tables of four values' sums are of bytes, as in faiss's fast scans

  // Rounds in place what a centre leaves of a query. Centered, its direction is that of odd
  // integers and its length stays (arXiv 2405.12497, section 3.3, without drawing at random).
  void round(float* r, size_t d) const;

  // What faiss's fast scans put into their tables: a sum is `base` and v_i for every bit i that is
  // set, and <b, r> of r as rounded is unit * (sum - base). Bit for bit, since halves lie close.
  struct Summands {
    float base = 0, unit = 1;
  };
  // Writes d values v; r is finite, and there are `bits`.
  Summands summands(const float* r, size_t d, float* v) const;

 private:
  struct Steps {
    float low, high, step, times, most;
    float square;  // of the length, where centered
    // Not of values that are all the same, or too large to be told apart.
    bool usable() const;
    float code(float x) const;
  };
  Steps steps(const float* r, size_t d) const;
};

}  // namespace shortlist
