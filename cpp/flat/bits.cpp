#include "flat/bits.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/threads.h"

namespace shortlist::flat {
namespace {

constexpr size_t kBlockBytes = 16 << 10;  // stay in the first cache from query to query
constexpr size_t kMostRows = 4096;
constexpr size_t kFirstRows = 64;  // until the k nearest of some are known, every row is near

}  // namespace

BitGroup::BitGroup(const Vectors& base, Matrix<const float> queries, size_t k)
    : base_(base),
      bytes_(base.codec.code_size()),
      rows_(queries.rows == 1
                ? kMostRows
                : std::clamp<size_t>(kBlockBytes / bytes_ / 64 * 64, kFirstRows, kMostRows)),
      queries_(queries.rows * bytes_),
      tops_(queries.rows),
      near_(rows_ / 64) {
  base.codec.encode(queries, queries_.data());
  for (auto& top : tops_) top.reset(k);
}

void BitGroup::scan(size_t begin, size_t end, const SelectedSlots* allowed) {
  for (size_t at = begin; at < end;) {
    poll_interrupt();
    const size_t n = std::min({rows_, std::max(kFirstRows, at - begin), end - at});
    for (size_t i = 0; i < tops_.size(); ++i) block(i, at, n, allowed);
    at += n;
  }
}

// Slots come in order, so that of equally near ones the first stays: later ones must be nearer.
void BitGroup::block(size_t i, size_t begin, size_t n, const SelectedSlots* allowed) {
  const auto& kernels = kernels::active();
  const std::byte* query = queries_.data() + i * bytes_;
  TopK& top = tops_[i];
  const uint32_t limit = top.limit() < std::numeric_limits<float>::infinity()
                             ? static_cast<uint32_t>(top.limit())
                             : std::numeric_limits<uint32_t>::max();
  kernels.near_bits(query, base_.store.row(begin), n, bytes_, limit, near_.data());
  slots_.clear();
  for (size_t w = 0; w * 64 < n; ++w)
    for (uint64_t near = near_[w]; near; near &= near - 1) {
      const size_t s = begin + w * 64 + static_cast<size_t>(std::countr_zero(near));
      if (!allowed || (*allowed)[s]) slots_.push_back(static_cast<slot_t>(s));
    }
  if (slots_.empty()) return;
  distances_.resize(slots_.size());
  kernels.rows[kernels::hamming_bits](query, base_.store.data(), bytes_, slots_.data(),
                                      slots_.size(), bytes_, distances_.data());
  for (size_t j = 0; j < slots_.size(); ++j) top.push(distances_[j], slots_[j]);
}

}  // namespace shortlist::flat
