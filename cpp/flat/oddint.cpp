#include "flat/oddint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/threads.h"
#include "flat/groups.h"
#include "kernels/kernels.h"

namespace shortlist {

OddIntBlocks::OddIntBlocks(const OddIntCodec& codec)
    : codec_(codec),
      block_bytes_(block_size(codec.padded()) + 2 * kBlockVectors * sizeof(uint16_t)),
      rest_(codec.coarse_at() - codec.plane_size() + codec.fine_size()) {}

void OddIntBlocks::make_room(size_t n) {
  const size_t want = (n_ + n + kBlockVectors - 1) / kBlockVectors;
  if (want > blocks()) blocks_.make_room((want - blocks()) * block_bytes_);
  rest_.make_room(n);
}

void OddIntBlocks::append(const std::byte* codes, size_t n) {
  make_room(n);
  const size_t plane = codec_.plane_size(), size = codec_.code_size();
  const size_t other_planes = codec_.coarse_at() - plane;
  std::byte* rest = rest_.code_size() ? rest_.grow(n) : nullptr;
  std::vector<uint8_t> bits(kBlockVectors * plane);
  for (size_t i = 0; i < n;) {
    const size_t b = n_ / kBlockVectors, first = n_ % kBlockVectors;
    if (first == 0) std::memset(blocks_.grow(block_bytes_), 0, block_bytes_);
    const size_t fresh = std::min(n - i, kBlockVectors - first);
    unpack32(block(b), first, codec_.padded(), bits.data(), plane);
    uint16_t* add = coarse(b);
    for (size_t v = first; v < first + fresh; ++v, ++i, codes += size) {
      std::memcpy(bits.data() + v * plane, codes, plane);
      OddIntCodec::Coarse factors;
      std::memcpy(&factors, codes + codec_.coarse_at(), sizeof factors);
      add[v] = factors.add;
      add[kBlockVectors + v] = factors.rescale;
      if (!rest) continue;
      std::memcpy(rest, codes + plane, other_planes);
      std::memcpy(rest + other_planes, codes + codec_.fine_at(), codec_.fine_size());
      rest += rest_.code_size();
    }
    pack32(bits.data(), plane, first + fresh, codec_.padded(), block(b));
    n_ += fresh;
  }
}

void OddIntBlocks::codes(size_t begin, size_t n, std::byte* out) const {
  const size_t plane = codec_.plane_size(), size = codec_.code_size();
  const size_t other_planes = codec_.coarse_at() - plane;
  std::vector<uint8_t> bits(kBlockVectors * plane);
  for (size_t s = begin; s < begin + n;) {
    const size_t b = s / kBlockVectors, last = std::min(begin + n, (b + 1) * kBlockVectors);
    unpack32(block(b), in_block(b), codec_.padded(), bits.data(), plane);
    const uint16_t* add = coarse(b);
    for (; s < last; ++s, out += size) {
      const size_t v = s % kBlockVectors;
      std::memcpy(out, bits.data() + v * plane, plane);
      const OddIntCodec::Coarse factors{add[v], add[kBlockVectors + v]};
      std::memcpy(out + codec_.coarse_at(), &factors, sizeof factors);
      if (!rest_.code_size()) continue;
      std::memcpy(out + plane, rest_.row(s), other_planes);
      std::memcpy(out + codec_.fine_at(), rest_.row(s) + other_planes, codec_.fine_size());
    }
  }
}

void OddIntBlocks::truncate(size_t n) {
  n_ = n;
  blocks_.resize(blocks() * block_bytes_);
  if (rest_.code_size()) rest_.truncate(n);
}

void OddIntBlocks::clear() {
  n_ = 0;
  blocks_.release();
  rest_.clear();
}

// One query against blocks.
class OddIntBlocks::Scan {
 public:
  Scan(const OddIntBlocks& blocks, const float* q, How how)
      : all_(blocks), codec_(blocks.codec_), sure_(how.sure) {
    if (how.reading)
      how.reading->set_query(codec_, q, query_);
    else
      codec_.set_query(q, query_);
    if (how.coded) codec_.code_query(query_);
    const float unit = how.coded ? 1.f : 0.f;
    rough_.set(query_.turned.data(), codec_.padded(), unit, kSmallEntry);
    fine_.set(query_.turned.data(), codec_.padded(), unit);
    // The rounding of a group is even over a step: four spreads of the sum.
    const float rounding = 4 * rough_.step * std::sqrt(static_cast<float>(rough_.groups) / 12);
    terms_ = {query_.near, query_.scale * (rough_.offset + rounding) + codec_.slack * query_.length,
              query_.scale * rough_.step};
  }

  // Calls visit(slot, distance), in slot order, for those whose distance may be below limit(): for
  // all that are, and some others.
  template <class Limit, class Visit>
  void run(size_t begin, size_t end, const SelectedSlots* allowed, const Limit& limit,
           const Visit& visit) {
    const auto below = [&](size_t b, size_t count, uint32_t* masks) {
      if (sure_)
        std::fill_n(masks, count, ~uint32_t{0});
      else
        kernels::active().below_small(all_.block(b), all_.block_bytes_, count,
                                      rough_.entries.data(), rough_.groups, terms_, limit(), masks);
    };
    flat::near_blocks(begin, end, all_.n_, allowed, limit, below,
                      [&](size_t b, uint32_t mask) { look_closer(b, mask, visit); });
  }

 private:
  template <class Visit>
  void look_closer(size_t b, uint32_t mask, const Visit& visit) {
    const kernels::Table& use = kernels::active();
    const uint8_t* block = all_.block(b);
    const uint16_t* add = all_.coarse(b);
    uint32_t high[kBlockVectors], low[kBlockVectors];
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
      codec_.products(query_, all_.rest_.data(), all_.rest_.code_size(), slots, n, others,
                      products);
    for (size_t i = 0; i < n; ++i) {
      const size_t v = slots[i] % kBlockVectors;
      const double first = fine_.offset + fine_.step * (256.0 * high[v] + low[v]) + query_.sum / 2;
      const std::byte* factors = all_.rest_.code_size()
                                     ? all_.rest_.row(slots[i]) + others * codec_.plane_size()
                                     : nullptr;
      visit(slots[i],
            codec_.distance(query_, codec_.fine(factors, {add[v], add[kBlockVectors + v]}),
                            weight * first + products[i]));
    }
  }

  const OddIntBlocks& all_;
  const OddIntCodec& codec_;
  const bool sure_;
  OddIntCodec::Query query_;
  QueryTable rough_;
  FineQueryTable fine_;
  kernels::EstimateTerms terms_;
};

void OddIntBlocks::search(Matrix<const float> queries, How how, size_t k,
                          const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::search_blocks(
      n_, kBlockVectors, queries, [&](const float* q) { return Scan(*this, q, how); }, k, allowed,
      hits);
}

void OddIntBlocks::range_search(Matrix<const float> queries, How how, float radius,
                                const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::range_blocks(
      blocks(), queries, [&](const float* q) { return Scan(*this, q, how); }, radius, allowed,
      hits);
}

}  // namespace shortlist
