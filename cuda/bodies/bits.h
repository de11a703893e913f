// Distances of a query to rows of bits: Hamming, and odd-integer codes in bit planes (BEBR's
// symmetric distance calculation, and RaBitQ's). Bodies as in vectors.h.
#pragma once

#include "host_device.h"

namespace shortlist::cuda {

struct Hamming {
  using Sum = uint32_t;
  const Unit* query;

  SL_HD static constexpr size_t query_bytes(size_t units) { return units * kUnitBytes; }
  SL_HD static void ask_for(Unit* query, size_t u, const Unit& x) { query[u] = x; }
  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    SL_UNROLL
    for (unsigned w = 0; w < 4; ++w) sum += popcount(query[u].word[w] ^ x.word[w]);
  }
  SL_HD float distance(Sum sum, size_t) const { return static_cast<float>(sum); }
};

// Rows are `bits` planes of `plane` units, each half as heavy as the one before; the query is
// `query_bits` such planes of a two's complement, the sign first. The sum is that of the products
// of its values and the rows': exact for up to 9 bits of the query, 8 of the rows and 2^14 values.
struct Planes {
  using Sum = int32_t;
  const Unit* query;
  unsigned plane, bits, query_bits;
  // distance = near + add[row] + rescale[row] * scale * (sum - offset / 2), `least` at least. The
  // difference is exact in integers, as odd-integer codes are theirs less (2^bits - 1) / 2.
  const float *add_of, *rescale_of;
  float near, scale, least;
  int64_t offset;

  SL_HD size_t query_bytes() const { return size_t{query_bits} * plane * kUnitBytes; }
  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    const unsigned place = static_cast<unsigned>(u) / plane, at = static_cast<unsigned>(u) % plane;
    int32_t product = 0;
    for (unsigned b = 0; b < query_bits; ++b) {
      const Unit& q = query[size_t{b} * plane + at];
      uint32_t both = 0;
      SL_UNROLL
      for (unsigned w = 0; w < 4; ++w) both += popcount(q.word[w] & x.word[w]);
      // Horner over the query's planes; the sign's counts against.
      product = 2 * product + (b ? static_cast<int32_t>(both) : -static_cast<int32_t>(both));
    }
    sum += product * (1 << (bits - 1 - place));
  }
  SL_HD float distance(Sum sum, size_t row) const {
    const float value = 0.5f * static_cast<float>(2 * int64_t{sum} - offset);
    const float told = near + add_of[row] + rescale_of[row] * scale * value;
    return told < least ? least : told;
  }
};

}  // namespace shortlist::cuda
