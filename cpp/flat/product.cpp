#include "flat/product.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "flat/groups.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr size_t kEntries = 16;  // centroids of a part

}  // namespace

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

// One query against blocks.
class ProductBlocks::Scan {
 public:
  Scan(const ProductBlocks& blocks, const float* q, Metric metric)
      : all_(blocks), table_(kEntries * blocks.groups()), entries_(table_.size()) {
    all_.pq_.table(q, metric, table_.data());
    round();
  }

  // As OddIntBlocks's.
  template <class Limit, class Visit>
  void run(size_t begin, size_t end, const SelectedSlots* allowed, const Limit& limit,
           const Visit& visit) {
    const auto below = [&](size_t b, size_t count, uint32_t* masks) {
      kernels::active().below_small(all_.block(b), all_.block_bytes_, count, entries_.data(),
                                    all_.groups(), terms_, limit(), masks);
    };
    flat::near_blocks(begin, end, all_.n_, allowed, limit, below, [&](size_t b, uint32_t mask) {
      for (; mask; mask &= mask - 1) {
        const auto v = static_cast<size_t>(std::countr_zero(mask));
        visit(static_cast<slot_t>(b * kBlockVectors + v), exact(all_.block(b), v));
      }
    });
  }

 private:
  // Entries rounded to a step, less the least of each part.
  void round() {
    const size_t parts = all_.pq_.M;
    float widest = 0;
    double offset = 0;
    for (size_t m = 0; m < parts; ++m) {
      const auto [least, most] = std::minmax_element(part(m), part(m) + kEntries);
      widest = std::max(widest, *most - *least);
      offset += *least;
    }
    const float scale = widest > 0 ? kSmallEntry / widest : 0;
    const bool usable = scale > 0 && std::isfinite(scale);  // else entries are zeros
    const float step = usable ? 1 / scale : 0;
    for (size_t m = 0; usable && m < parts; ++m) {
      const float least = *std::min_element(part(m), part(m) + kEntries);
      for (size_t i = 0; i < kEntries; ++i)
        entries_[m * kEntries + i] =
            static_cast<uint8_t>(std::lround((part(m)[i] - least) * scale));
    }
    // The rounding of a part is even over a step: four spreads of the sum. Floats lose a little.
    const auto n = static_cast<float>(parts);
    const float lost = 4 * step * std::sqrt(n / 12) +
                       n * 0x1p-22f * (n * widest + std::abs(static_cast<float>(offset)));
    terms_ = {static_cast<float>(offset) - lost, 0, step, false};
    if (!usable && widest > 0) terms_.near = -std::numeric_limits<float>::infinity();
  }
  const float* part(size_t m) const { return table_.data() + m * kEntries; }
  float exact(const uint8_t* block, size_t v) const {
    constexpr size_t kHalf = kBlockVectors / 2;
    const unsigned shift = v < kHalf ? 0 : 4;
    float sum = 0;
    for (size_t m = 0; m < all_.pq_.M; ++m)
      sum += part(m)[block[kHalf * m + v % kHalf] >> shift & 15u];
    return sum;
  }

  const ProductBlocks& all_;
  std::vector<float> table_;  // of an odd M also a part of zeros
  std::vector<uint8_t> entries_;
  kernels::EstimateTerms terms_;
};

void ProductBlocks::search(Matrix<const float> queries, Metric metric, size_t k,
                           const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::search_blocks(
      n_, kBlockVectors, queries, [&](const float* q) { return Scan(*this, q, metric); }, k,
      allowed, hits);
}

void ProductBlocks::range_search(Matrix<const float> queries, Metric metric, float radius,
                                 const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::range_blocks(
      blocks(), queries, [&](const float* q) { return Scan(*this, q, metric); }, radius, allowed,
      hits);
}

}  // namespace shortlist
