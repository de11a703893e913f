// IndexPQFastScan: product-quantised codes of 4 bits in blocks.
#pragma once

#include "flat/product.h"
#include "index/flat.h"
#include "index/in_blocks.h"

namespace shortlist {

class IndexPQFastScan final : public IndexInBlocks<ProductQuantizer, ProductBlocks> {
 public:
  // Throws ArgumentError unless parts have 4 bits and bbs is a multiple of 32 up to kMostBlock.
  IndexPQFastScan(std::shared_ptr<ProductQuantizer> pq, Metric metric, int bbs = 32);
  IndexPQFastScan(const IndexPQ& from, int bbs);  // a copy

  const std::shared_ptr<ProductQuantizer> pq;
  const int bbs;  // vectors in a block of faiss's files; ours are of 32
  // faiss's fields of how it searches, for its files.
  int implem = 0, qbs = 0;

  std::string class_name() const override { return "IndexPQFastScan"; }

 protected:
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
               const SearchParameters* params, Hits& hits) const override;
  void within(const Rows& x, float radius, const SelectedSlots* allowed,
              const SearchParameters* params, Hits& hits) const override;
};

}  // namespace shortlist
