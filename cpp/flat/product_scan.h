// One query against blocks of product-quantised codes.
#pragma once

#include <bit>
#include <cmath>
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
    kernels::EstimateTerms terms = terms_;
    terms.near += near_ - std::abs(near_) * 0x1p-22f;
    const auto limit = [&] { return sink.limit(); };
    const auto below = [&](size_t b, size_t count, uint32_t* masks) {
      blocks_->prefetch(b + count, count);
      kernels::active().estimate_small(blocks_->block(b), blocks_->block_bytes_, count,
                                       entries_.data(), blocks_->groups(), terms, limit(), nullptr,
                                       masks);
    };
    flat::near_blocks(begin, end, blocks_->n_, first_, allowed, limit, below,
                      [&](size_t b, size_t count, const uint32_t* masks) {
                        for (size_t i = 0; i < count; ++i)
                          for (uint32_t mask = masks[i]; mask; mask &= mask - 1) {
                            const auto v = static_cast<size_t>(std::countr_zero(mask));
                            sink.push(near_ + exact(blocks_->block(b + i), v),
                                      static_cast<slot_t>(first_ + (b + i) * kBlockVectors + v));
                          }
                      });
  }

 private:
  void round();
  const float* part(size_t m) const { return table_.data() + m * kEntries; }
  float exact(const uint8_t* block, size_t v) const {
    constexpr size_t kHalf = kBlockVectors / 2;
    const unsigned shift = v < kHalf ? 0 : 4;
    float sum = 0;
    for (size_t m = 0; m < pq_.M; ++m) sum += part(m)[block[kHalf * m + v % kHalf] >> shift & 15u];
    return sum;
  }

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
