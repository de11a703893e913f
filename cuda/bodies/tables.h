// Distances of a query to codes of a byte for each part, looked up (product quantisation: Jegou et
// al. 2011; query-aware codes are looked up the same way). A body as in vectors.h.
#pragma once

#include "host_device.h"

namespace shortlist::cuda {

struct Tables {
  static constexpr unsigned kCodewords = 256;
  using Sum = float;
  const float* query;  // kCodewords for each byte of a row

  SL_HD static constexpr size_t query_bytes(size_t units) {
    return units * kUnitBytes * kCodewords * sizeof(float);
  }
  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    const float* const tables = query + u * kUnitBytes * kCodewords;
    SL_UNROLL
    for (unsigned i = 0; i < kUnitBytes; ++i)
      sum += tables[i * kCodewords + (x.word[i / 4] >> 8 * (i % 4) & 0xff)];
  }
  SL_HD float distance(Sum sum, size_t) const { return sum; }
};

}  // namespace shortlist::cuda
