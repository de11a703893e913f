// One query against blocks of odd-integer codes.
#pragma once

#include <algorithm>
#include <bit>

#include "flat/groups.h"
#include "flat/oddint.h"
#include "kernels/kernels.h"

namespace shortlist {

class OddIntScan {
 public:
  OddIntScan(const OddIntCodec& codec, const float* q, OddIntBlocks::How how);

  // What to scan: slots from `first` on, a multiple of kBlockVectors.
  void over(const OddIntBlocks& blocks, size_t first = 0) {
    blocks_ = &blocks;
    first_ = first;
  }
  // A list that is scanned later: in_list comes after the last of these.
  void expect(const float* centroid) {
    if (in_bytes()) bytes_.meet(summands(centroid), codec_.padded(), sums_.base);
  }
  // Codes are relative to a list's centroid: that, the distance to it, and the length of q' less
  // its own.
  void in_list(const float* centroid, float near, float length);

  // Gives the sink, in slot order, all whose distance may be below its limit.
  template <class Sink>
  void run(size_t begin, size_t end, const SelectedSlots* allowed, Sink& sink) {
    float told[flat::kMostTogether * kBlockVectors];
    const auto below = [&](size_t b, size_t count, uint32_t* masks) {
      if (sure_)
        std::fill_n(masks, count, ~uint32_t{0});
      else {
        blocks_->prefetch(b + count, count);
        kernels::active().estimate_small(blocks_->block(b), blocks_->block_bytes_, count,
                                         rough_.entries.data(), rough_.groups, terms_, sink.limit(),
                                         rough_only() ? told : nullptr, masks);
      }
    };
    const auto limit = [&] { return sink.limit(); };
    flat::near_blocks(begin, end, blocks_->n_, first_, allowed, limit, below,
                      [&](size_t b, size_t count, const uint32_t* masks) {
                        if (rough_only())
                          return sink.take(told, masks, count,
                                           static_cast<slot_t>(first_ + b * kBlockVectors));
                        for (size_t i = 0; i < count; ++i)
                          if (masks[i]) look_closer(b + i, masks[i], sink);
                      });
  }

 private:
  template <class Sink>
  void look_closer(size_t b, uint32_t mask, Sink& sink) {
    const kernels::Table& use = kernels::active();
    const uint8_t* block = blocks_->block(b);
    const uint16_t* add = blocks_->coarse(b);
    uint32_t high[kBlockVectors], low[kBlockVectors];
    if (!fine_made_) make_fine();
    use.lut32(block, fine_.high.data(), fine_.groups, high);
    use.lut32(block, fine_.low.data(), fine_.groups, low);
    slot_t slots[kBlockVectors];
    double products[kBlockVectors]{};
    size_t n = 0;
    for (uint32_t left = mask; left; left &= left - 1)
      slots[n++] =
          static_cast<slot_t>(b * kBlockVectors) + static_cast<slot_t>(std::countr_zero(left));
    const auto others = static_cast<size_t>(codec_.bits) - 1;
    const double weight = 1 << others;
    if (others)
      codec_.products(query_, blocks_->rest_.data(), blocks_->rest_.code_size(), slots, n, others,
                      products);
    for (size_t i = 0; i < n; ++i) {
      const size_t v = slots[i] % kBlockVectors;
      const double first = fine_.offset + fine_.step * (256.0 * high[v] + low[v]) + query_.sum / 2;
      const std::byte* factors = blocks_->rest_.code_size()
                                     ? blocks_->rest_.row(slots[i]) + others * codec_.plane_size()
                                     : nullptr;
      sink.push(codec_.distance(query_, codec_.fine(factors, {add[v], add[kBlockVectors + v]}),
                                weight * first + products[i]),
                static_cast<slot_t>(first_) + slots[i]);
    }
  }

  void ask_from(const float* centre);
  const float* summands(const float* centre);  // and sums_
  bool in_bytes() const { return grid_.in_bytes && grid_.bits; }
  void set_tables();
  void make_fine();
  void set_terms(float near, float length);
  // One bit tells no more than its estimate, which tables of bytes leave as good as it was.
  bool rough_only() const { return rounded_ && codec_.bits == 1; }

  const OddIntBlocks* blocks_ = nullptr;
  size_t first_ = 0;
  const OddIntCodec& codec_;
  const float* const q_;
  const bool sure_, rounded_, from_centroids_;
  const QueryGrid grid_;
  const float unit_;  // that the query's values are multiples of, or 0
  OddIntCodec::Query query_;
  QueryTable rough_;
  FineQueryTable fine_;
  bool fine_made_ = false;
  // Of tables of bytes.
  ByteScale bytes_;
  QueryGrid::Summands sums_;
  std::vector<float> summands_;
  kernels::EstimateTerms terms_;
};

}  // namespace shortlist
