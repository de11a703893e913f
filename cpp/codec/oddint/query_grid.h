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
};

}  // namespace shortlist
