// Odd-integer codes in blocks of 32, scanned by tables of the query. The high bits lie where lut32
// wants them, and with coarse factors rule most vectors out; the other bits and exact factors are
// read for those that are left.
#pragma once

#include <utility>
#include <vector>

#include "base/hit.h"
#include "base/memory.h"
#include "base/selector.h"
#include "codec/codec.h"
#include "codec/oddint/codec.h"
#include "codec/oddint/lookup.h"
#include "codec/oddint/query_grid.h"
#include "codec/oddint/reading.h"

namespace shortlist {

class OddIntBlocks {
 public:
  explicit OddIntBlocks(const OddIntCodec& codec);

  const OddIntCodec& codec() const { return codec_; }
  size_t size() const { return n_; }
  size_t memory() const { return blocks_.capacity_bytes() + rest_.memory(); }
  void make_room(size_t n);
  // Codes as the codec makes them, in and out.
  void append(const std::byte* codes, size_t n);
  void codes(size_t begin, size_t n, std::byte* out) const;
  void truncate(size_t n);
  void clear();

  struct How {
    bool coded = false;           // queries are compared by their own codes
    bool sure = false;            // nothing is ruled out by the high bits
    bool rounded = false;         // distances may be off by little beside the codes
    bool from_centroids = false;  // in lists, only what they leave of queries is compared
    QueryGrid grid = {};          // of one bit and an encoder that does not turn
    const OddIntReading* reading = nullptr;  // queries are a newer model's
  };
  // For each query the k nearest slots, sorted by (distance, slot); a query with NaN has none.
  void search(Matrix<const float> queries, How how, size_t k, const SelectedSlots* allowed,
              std::vector<hit_t>* hits) const;
  // Every slot with a distance < radius, in slot order.
  void range_search(Matrix<const float> queries, How how, float radius,
                    const SelectedSlots* allowed, std::vector<hit_t>* hits) const;

  // What a scan goes over.
  std::pair<const uint8_t*, size_t> scanned() const { return {blocks_.data(), blocks_.size()}; }
  size_t blocks() const { return (n_ + kBlockVectors - 1) / kBlockVectors; }

 private:
  friend class OddIntScan;

  uint8_t* block(size_t b) { return blocks_.data() + b * block_bytes_; }
  const uint8_t* block(size_t b) const { return blocks_.data() + b * block_bytes_; }
  // 32 addends, then 32 factors.
  uint16_t* coarse(size_t b) {
    return reinterpret_cast<uint16_t*>(block(b) + block_size(codec_.padded()));
  }
  const uint16_t* coarse(size_t b) const { return const_cast<OddIntBlocks*>(this)->coarse(b); }
  // Up to n blocks that are scanned next: the hardware stops where a page ends.
  void prefetch(size_t b, size_t n) const {
    shortlist::prefetch(block(b), std::min(n, blocks() - b) * block_bytes_);
  }
  size_t in_block(size_t b) const { return std::min(kBlockVectors, n_ - b * kBlockVectors); }

  const OddIntCodec& codec_;
  const size_t block_bytes_;  // block_size(), 32 addends and 32 factors, bfloat16
  Array<uint8_t> blocks_;
  CodeStore rest_;  // by slot: the other planes, then the fine factors
  size_t n_ = 0;
};

}  // namespace shortlist
