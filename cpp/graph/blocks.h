// Neighbour blocks: a node's links and one-bit codes of what they lead to, in one row of memory, so
// that a step of a search does not wait for all of them (SymphonyQG: Gou et al. 2024,
// arXiv 2411.12229). Links and codes here are copies, made again when the graph changes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/memory.h"
#include "codec/oddint/lookup.h"
#include "codec/oddint/rotation.h"
#include "flat/flat.h"

namespace shortlist {

class Hnsw;

class NeighborBlocks {
 public:
  NeighborBlocks(const Vectors& base, size_t links);

  size_t memory() const { return rows_.capacity_bytes(); }
  // Rows are full: other near nodes stand where a node has fewer links.
  size_t width() const { return blocks_ * kBlockVectors; }
  size_t blocks() const { return blocks_; }       // of 32 links, in a row
  std::span<const slot_t> links(slot_t s) const;  // of width(); kNoSlot where there are too few
  void prefetch_row(slot_t s) const;
  // How many rows are worth having on their way while one is used: about 3 KB of them.
  static constexpr size_t kMostAhead = 3;
  size_t ahead() const { return std::clamp<size_t>(3072 / row_size_, 1, kMostAhead); }

  // Writes the rows of `nodes` from the graph as it is, in parallel; all nodes' from `known` links,
  // width() of each, where there are any.
  void pack(const Vectors& base, const Hnsw& graph, std::span<const slot_t> nodes,
            std::span<const slot_t> known = {});

  // A query made ready for estimates.
  struct Query {
    std::vector<float> rotated;
    QueryTable table;
  };
  void prepare(const float* q, Query& query) const;
  // Distances of all links of s, told from the query's exact distance to s; +inf where there is
  // none. `out` holds width() floats; bit v of below[b] is whether that of link 32b + v is below
  // `limit`.
  void estimate(const Query& query, slot_t s, float near, float limit, float* out,
                uint32_t* below) const;

 private:
  struct Packer;
  const std::byte* row(slot_t s) const { return rows_.data() + size_t{s} * row_size_; }
  std::byte* row(slot_t s) { return rows_.data() + size_t{s} * row_size_; }

  const Metric metric_;
  const size_t blocks_;
  const Rotation rotation_;
  // A row: of each block 32 codes and the 32 addends and 32 factors, as bfloat16; then the links.
  size_t block_bytes_, links_at_, row_size_;
  Array<std::byte> rows_;
};

}  // namespace shortlist
