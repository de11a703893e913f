// Product-quantised codes of 4 bits in blocks of 32, scanned by tables of the query rounded to
// bytes (Andre, Kermarrec and Le Scouarnec 2015, PVLDB 9(4)), as faiss does.
#pragma once

#include <utility>
#include <vector>

#include "base/hit.h"
#include "base/memory.h"
#include "base/selector.h"
#include "codec/oddint/lookup.h"
#include "codec/product.h"

namespace shortlist {

class ProductBlocks {
 public:
  explicit ProductBlocks(const ProductQuantizer& pq);  // of 4 bits

  const ProductQuantizer& pq() const { return pq_; }
  size_t size() const { return n_; }
  size_t memory() const { return blocks_.capacity_bytes(); }
  void make_room(size_t n);
  // Codes as the codec makes them, in and out.
  void append(const std::byte* codes, size_t n);
  void codes(size_t begin, size_t n, std::byte* out) const;
  void truncate(size_t n);
  void clear();

  // As those of OddIntBlocks.
  void search(Matrix<const float> queries, Metric metric, size_t k, const SelectedSlots* allowed,
              std::vector<hit_t>* hits) const;
  void range_search(Matrix<const float> queries, Metric metric, float radius,
                    const SelectedSlots* allowed, std::vector<hit_t>* hits) const;

  // What a scan goes over.
  std::pair<const uint8_t*, size_t> scanned() const { return {blocks_.data(), blocks_.size()}; }
  size_t blocks() const { return (n_ + kBlockVectors - 1) / kBlockVectors; }

 private:
  friend class ProductScan;

  size_t groups() const { return 2 * pq_.code_size(); }  // of an odd M one more
  uint8_t* block(size_t b) { return blocks_.data() + b * block_bytes_; }
  const uint8_t* block(size_t b) const { return blocks_.data() + b * block_bytes_; }
  // Up to n blocks that are scanned next: the hardware stops where a page ends.
  void prefetch(size_t b, size_t n) const {
    shortlist::prefetch(block(b), std::min(n, blocks() - b) * block_bytes_);
  }
  size_t in_block(size_t b) const { return std::min(kBlockVectors, n_ - b * kBlockVectors); }

  const ProductQuantizer& pq_;
  const size_t block_bytes_;
  Array<uint8_t> blocks_;
  size_t n_ = 0;
};

}  // namespace shortlist
