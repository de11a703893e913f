#include "flat/product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "flat/product_scan.h"

namespace shortlist {
ProductBlocks::ProductBlocks(const ProductQuantizer& pq)
    : pq_(pq), block_bytes_(block_size(8 * pq.code_size())) {}

void ProductBlocks::make_room(size_t n) {
  const size_t want = (n_ + n + kBlockVectors - 1) / kBlockVectors;
  if (want > blocks()) blocks_.make_room((want - blocks()) * block_bytes_);
}

void ProductBlocks::append(const std::byte* codes, size_t n) {
  make_room(n);
  const size_t size = pq_.code_size();
  std::vector<uint8_t> rows(kBlockVectors * size);
  for (size_t i = 0; i < n;) {
    const size_t b = n_ / kBlockVectors, first = n_ % kBlockVectors;
    if (first == 0) std::memset(blocks_.grow(block_bytes_), 0, block_bytes_);
    const size_t fresh = std::min(n - i, kBlockVectors - first);
    unpack32(block(b), first, 8 * size, rows.data(), size);
    std::memcpy(rows.data() + first * size, codes + i * size, fresh * size);
    pack32(rows.data(), size, first + fresh, 8 * size, block(b));
    n_ += fresh;
    i += fresh;
  }
}

void ProductBlocks::codes(size_t begin, size_t n, std::byte* out) const {
  const size_t size = pq_.code_size();
  std::vector<uint8_t> rows(kBlockVectors * size);
  for (size_t s = begin; s < begin + n;) {
    const size_t b = s / kBlockVectors, last = std::min(begin + n, (b + 1) * kBlockVectors);
    unpack32(block(b), in_block(b), 8 * size, rows.data(), size);
    const size_t bytes = (last - s) * size;
    std::memcpy(out, rows.data() + s % kBlockVectors * size, bytes);
    out += bytes;
    s = last;
  }
}

void ProductBlocks::truncate(size_t n) {
  n_ = n;
  blocks_.resize(blocks() * block_bytes_);
}

void ProductBlocks::clear() {
  n_ = 0;
  blocks_.release();
}

ProductScan::ProductScan(const ProductQuantizer& pq)
    : pq_(pq), table_(kEntries * 2 * pq.code_size()), entries_(table_.size()) {}

void ProductScan::set_query(const float* q, Metric metric) {
  pq_.table(q, metric, table_.data());
  round();
}

// Entries as faiss rounds them: to a step that the widest part and a sum of 16 bits allow, less the
// least of each part.
void ProductScan::round() {
  const size_t parts = pq_.M;
  float widest = 0, sum = 0, offset = 0;
  std::vector<float> least(parts);
  for (size_t m = 0; m < parts; ++m) {
    float low = part(m)[0], high = low;
    for (size_t i = 1; i < kEntries; ++i) {
      low = std::min(low, part(m)[i]);
      high = std::max(high, part(m)[i]);
    }
    least[m] = low;
    widest = std::max(widest, high - low);
    sum += high - low;
    offset += low;
  }
  float scale = std::min(255 / widest, 65535 / sum);
  if (!(std::isfinite(scale) && std::isfinite(sum))) {
    scale = 0;
    std::fill(entries_.begin(), entries_.end(), uint8_t{0});
  }
  for (size_t m = 0; scale > 0 && m < parts; ++m)
    for (size_t i = 0; i < kEntries; ++i)
      entries_[m * kEntries + i] =
          static_cast<uint8_t>(static_cast<int>((part(m)[i] - least[m]) * scale + 0.5f));
  // Distances that no float holds are never near.
  terms_ = {std::isfinite(sum) ? offset : std::numeric_limits<float>::quiet_NaN(), 0,
            scale > 0 ? 1 / scale : 0, false};
}

namespace {

auto scanning(const ProductBlocks& blocks, Metric metric) {
  return [&blocks, metric](const float* q) {
    ProductScan scan(blocks.pq());
    scan.set_query(q, metric);
    scan.over(blocks);
    return scan;
  };
}

}  // namespace

void ProductBlocks::search(Matrix<const float> queries, Metric metric, size_t k,
                           const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::search_blocks(n_, kBlockVectors, queries, scanning(*this, metric), k, allowed, hits);
}

void ProductBlocks::range_search(Matrix<const float> queries, Metric metric, float radius,
                                 const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::range_blocks(blocks(), queries, scanning(*this, metric), radius, allowed, hits);
}

}  // namespace shortlist
