// One query against blocks of product-quantised codes.
#pragma once

#include <vector>

#include "flat/groups.h"
#include "flat/product.h"
#include "kernels/kernels.h"

namespace shortlist {

class ProductScan {
 public:
  explicit ProductScan(const ProductQuantizer& pq);

  void set_query(const float* q, Metric metric);
  // As OddIntScan's.
  void over(const ProductBlocks& blocks, size_t first = 0) {
    blocks_ = &blocks;
    first_ = first;
  }
  // What is added to all distances.
  void add(float near) { near_ = near; }
  template <class Sink>
  void run(size_t begin, size_t end, const SelectedSlots* allowed, Sink& sink) {
    float told[flat::kMostTogether * kBlockVectors];
    kernels::EstimateTerms terms = terms_;
    terms.near += near_;
    const auto limit = [&] { return sink.limit(); };
    const auto below = [&](size_t b, size_t count, uint32_t* masks) {
      blocks_->prefetch(b + count, count);
      kernels::active().estimate(blocks_->block(b), blocks_->block_bytes_, count, entries_.data(),
                                 blocks_->groups(), terms, limit(), told, masks);
    };
    const auto take = [&](size_t b, size_t count, const uint32_t* masks) {
      sink.take(told, masks, count, static_cast<slot_t>(first_ + b * kBlockVectors));
    };
    flat::near_blocks(begin, end, blocks_->n_, first_, allowed, limit, below, take);
  }

 private:
  void round();
  const float* part(size_t m) const { return table_.data() + m * kEntries; }

  static constexpr size_t kEntries = 16;  // centroids of a part

  const ProductQuantizer& pq_;
  const ProductBlocks* blocks_ = nullptr;
  size_t first_ = 0;
  float near_ = 0;
  std::vector<float> table_;  // of an odd M also a part of zeros
  std::vector<uint8_t> entries_;
  kernels::EstimateTerms terms_;
};

}  // namespace shortlist
