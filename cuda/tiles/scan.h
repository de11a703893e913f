// A query against many rows, of which the k nearest are kept: the scan of one block.
#pragma once

#include "tiles/nearest.h"

namespace shortlist::cuda {

// Rows in units of 16 bytes, the same unit of 32 rows side by side: each lane has a row of its own,
// and a warp reads 512 bytes in a piece. The last rows of the last 32 may be anything.
struct Interleaved {
  static constexpr unsigned kRows = 32;
  const Unit* units;
  size_t per_row;

  SL_HD static constexpr size_t place(size_t row, size_t u, size_t per_row) {
    return (row / kRows * per_row + u) * kRows + row % kRows;
  }
  SL_HD const Unit& at(size_t row, size_t u) const { return units[place(row, u, per_row)]; }
};

// Offers rows [begin, end) that `allowed` (null: all) has a bit for.
template <class Group, class Body>
SL_TILE void scan(const Group& group, const Body& body, const Interleaved& rows, size_t begin,
                  size_t end, const uint32_t* allowed, Nearest<Group>& nearest) {
  for (size_t first = begin; first < end; first += group.lanes()) {
    group.each([&](unsigned lane) {
      const size_t row = first + lane;
      if (row >= end || (allowed && !(allowed[row / 32] >> row % 32 & 1))) return;
      typename Body::Sum sum{};
      for (size_t u = 0; u < rows.per_row; ++u) body.add(sum, u, rows.at(row, u));
      nearest.offer(key_of(body.distance(sum, row), static_cast<uint32_t>(row)));
    });
    nearest.settle();
  }
}

// Offers n distances by their names (null: from 0), or n keys.
template <class Group>
SL_TILE void select(const Group& group, const float* distances, const int64_t* names, size_t n,
                    Nearest<Group>& nearest) {
  for (size_t first = 0; first < n; first += group.lanes()) {
    group.each([&](unsigned lane) {
      const size_t i = first + lane;
      const int64_t name = i < n && names ? names[i] : static_cast<int64_t>(i);
      if (i < n && name >= 0) nearest.offer(key_of(distances[i], static_cast<uint32_t>(name)));
    });
    nearest.settle();
  }
}
template <class Group>
SL_TILE void select(const Group& group, const Key* keys, size_t n, Nearest<Group>& nearest) {
  for (size_t first = 0; first < n; first += group.lanes()) {
    group.each([&](unsigned lane) {
      if (first + lane < n) nearest.offer(keys[first + lane]);
    });
    nearest.settle();
  }
}

}  // namespace shortlist::cuda
