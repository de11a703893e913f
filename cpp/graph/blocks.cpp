#include "graph/blocks.h"

#include <algorithm>
#include <limits>

#include "base/threads.h"
#include "codec/oddint/rabitq.h"
#include "graph/hnsw.h"
#include "graph/select.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr uint64_t kSeed = 0x5eed;
constexpr size_t kLine = 64;
constexpr size_t kFillFrom = 100;  // nearest nodes that rows are filled up from

}  // namespace

NeighborBlocks::NeighborBlocks(const Vectors& base, size_t links)
    : metric_(base.metric),
      blocks_((links + kBlockVectors - 1) / kBlockVectors),
      rotation_(base.codec.d, kSeed) {
  block_bytes_ = block_size(rotation_.m()) + 2 * kBlockVectors * sizeof(uint16_t);
  links_at_ = blocks_ * block_bytes_;
  row_size_ = (links_at_ + width() * sizeof(slot_t) + kLine - 1) / kLine * kLine;
}

std::span<const slot_t> NeighborBlocks::links(slot_t s) const {
  return {reinterpret_cast<const slot_t*>(row(s) + links_at_), width()};
}

void NeighborBlocks::prefetch_row(slot_t s) const { prefetch(row(s), row_size_); }

// Buffers for packing rows; one per thread.
struct NeighborBlocks::Packer {
  Packer(const Vectors& base, const Hnsw& graph, const NeighborBlocks& blocks)
      : base(base),
        graph(graph),
        rotation(blocks.rotation_),
        computer(base.computer()),
        x(base.codec.d),
        centre(rotation.m()),
        other(rotation.m()),
        bits(kBlockVectors * rotation.m() / 8) {}

  // The node's links, and where it has few, the best of its other near nodes.
  const std::vector<slot_t>& neighbors(slot_t s, size_t width) {
    const auto own = graph.links(s, 0);
    slots.assign(own.begin(), own.end());
    if (slots.size() >= width) return slots;
    computer->set_query(s);
    graph.near(*computer, kFillFrom, candidates);
    std::erase_if(candidates, [&](const Neighbor& n) {
      return n.slot == s || std::find(own.begin(), own.end(), n.slot) != own.end();
    });
    sort_for(s, candidates);
    selection.fill(*computer, s, candidates, width, slots);
    return slots;
  }

  void rotate(slot_t s, std::vector<float>& out) {
    base.codec.decode(base.store.row(s), 1, x.data());
    rotation.apply(x.data(), out.data());
  }

  const Vectors& base;
  const Hnsw& graph;
  const Rotation& rotation;
  const std::unique_ptr<DistanceComputer> computer;
  Selection selection;
  std::vector<Neighbor> candidates;
  std::vector<slot_t> slots;
  std::vector<float> x, centre, other;
  std::vector<uint8_t> bits;
};

void NeighborBlocks::pack(const Vectors& base, const Hnsw& graph, std::span<const slot_t> nodes,
                          std::span<const slot_t> known) {
  const size_t size = graph.size() * row_size_;
  if (rows_.size() < size) rows_.grow(size - rows_.size());
  constexpr size_t kGrain = 64;
  const size_t m = rotation_.m();
  parallel_for(nodes.size(), {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    Packer packer(base, graph, *this);
    for (size_t i = begin; i < end; ++i) {
      const slot_t s = nodes[i];
      const std::span<const slot_t> slots =
          known.empty() ? packer.neighbors(s, width()) : known.subspan(s * width(), width());
      std::byte* const out = row(s);
      auto* links = reinterpret_cast<slot_t*>(out + links_at_);
      std::fill(std::copy(slots.begin(), slots.end(), links), links + width(), kNoSlot);
      packer.rotate(s, packer.centre);
      for (size_t b = 0; b < blocks_; ++b) {
        auto* block = reinterpret_cast<uint8_t*>(out + b * block_bytes_);
        auto* add = reinterpret_cast<uint16_t*>(block + block_size(m));
        const slot_t* to = links + b * kBlockVectors;
        for (size_t v = 0; v < kBlockVectors; ++v) {
          RabitqFactors f{std::numeric_limits<float>::infinity(), 0, 0};
          uint8_t* bits = packer.bits.data() + v * m / 8;
          if (to[v] != kNoSlot) {
            packer.rotate(to[v], packer.other);
            for (size_t t = 0; t < m; ++t) packer.other[t] -= packer.centre[t];
            f = rabitq_encode(packer.other.data(), packer.centre.data(), m, metric_, bits);
          } else {
            std::fill_n(bits, m / 8, uint8_t{0});
          }
          // The errors of one-bit codes are far above a bfloat16's.
          add[v] = narrow_bf16(f.add);
          add[kBlockVectors + v] = narrow_bf16(f.rescale);
        }
        pack32(packer.bits.data(), m / 8, kBlockVectors, m, block);
      }
    }
  });
}

void NeighborBlocks::prepare(const float* q, Query& query) const {
  query.rotated.resize(rotation_.m());
  rotation_.apply(q, query.rotated.data());
  query.table.set(query.rotated.data(), rotation_.m());
}

void NeighborBlocks::estimate(const Query& query, slot_t s, float near, float limit, float* out,
                              uint32_t* below) const {
  const QueryTable& table = query.table;
  kernels::active().estimate(reinterpret_cast<const uint8_t*>(row(s)), block_bytes_, blocks_,
                             table.entries.data(), table.groups, {near, table.offset, table.step},
                             limit, out, below);
}

}  // namespace shortlist
