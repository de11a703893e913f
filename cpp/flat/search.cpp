#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/threads.h"
#include "flat/bits.h"
#include "flat/flat.h"
#include "flat/groups.h"

namespace shortlist::flat {
namespace {

constexpr size_t kScanRows = 1024;            // rows scored at a time for one query
constexpr size_t kWorthGrouping = 4;          // queries
constexpr size_t kBlockBytes = 32 << 10;      // a block of base rows stays near L1
constexpr size_t kMaxExactDimension = 33025;  // d * 255^2 < 2^31

// Calls visit(slot, distance) for allowed slots of [begin, end), in order.
template <class Visit>
void scan_range(DistanceComputer& computer, size_t begin, size_t end, const SelectedSlots* allowed,
                const Visit& visit) {
  float distances[kScanRows];
  for (size_t at = begin; at < end; at += kScanRows) {
    poll_interrupt();
    const size_t n = std::min(kScanRows, end - at);
    computer.score_range(at, n, distances);
    for (size_t i = 0; i < n; ++i)
      if (!allowed || (*allowed)[at + i]) visit(static_cast<slot_t>(at + i), distances[i]);
  }
}

template <class Visit>
void scan_slots(DistanceComputer& computer, const slot_t* slots, size_t n, const Visit& visit) {
  float distances[kScanRows];
  for (size_t at = 0; at < n; at += kScanRows) {
    poll_interrupt();
    const size_t count = std::min(kScanRows, n - at);
    computer.score(slots + at, count, distances);
    for (size_t i = 0; i < count; ++i) visit(slots[at + i], distances[i]);
  }
}

template <class Visit>
void scan_allowed(DistanceComputer& computer, size_t n, const SelectedSlots* allowed,
                  const Visit& visit) {
  if (allowed && allowed->listed())
    scan_slots(computer, allowed->list().data(), allowed->count(), visit);
  else
    scan_range(computer, 0, n, allowed, visit);
}

// A group of queries against base rows [begin, end), block by block. Codes that are not integers
// go through f32 dot products with a rounding margin, and what passes is scored again by the
// codec's own kernel, so a batch returns exactly what single queries return.
class Group {
 public:
  Group(const Vectors& base, Matrix<const float> queries, size_t k)
      : base_(base), queries_(queries), d_(base.codec.d), tops_(queries.rows) {
    for (auto& top : tops_) top.reset(k);
    wide_.resize(queries.rows * d_);
    exact_ = d_ <= kMaxExactDimension && base.codec.widen(queries, wide_.data());
    block_ = std::clamp<size_t>(kBlockBytes / (d_ * (exact_ ? 2 : 4)) / 4 * 4, 8, 512);
    if (exact_) {
      prepare_integers();
    } else {
      wide_ = {};
      prepare_floats();
    }
  }

  void scan(size_t begin, size_t end, const SelectedSlots* allowed) {
    for (size_t at = begin; at < end; at += block_) {
      poll_interrupt();
      const size_t n = std::min(block_, end - at);
      if (exact_)
        integers(at, n, allowed);
      else
        floats(at, n, allowed);
    }
  }
  std::vector<TopK>& tops() { return tops_; }

 private:
  void prepare_integers() {
    wide_rows_.resize(block_ * d_);
    int_dots_.resize(queries_.rows * block_);
    int_norms_.resize(queries_.rows);
    int_row_norms_.resize(block_);
    for (size_t i = 0; i < queries_.rows; ++i) int_norms_[i] = norm(wide_.data() + i * d_);
  }

  void prepare_floats() {
    adapted_.assign(queries_.data, queries_.data + queries_.rows * d_);
    for (size_t i = 0; i < queries_.rows; ++i) base_.codec.as_compared(adapted_.data() + i * d_);
    rows_.resize(block_ * d_);
    dots_.resize(queries_.rows * block_);
    norms_.resize(queries_.rows);
    row_norms_.resize(block_);
    for (size_t i = 0; i < queries_.rows; ++i) {
      computers_.push_back(base_.computer());
      computers_.back()->set_query(queries_.row(i));
    }
    norms_of(adapted_.data(), queries_.rows, norms_.data());
  }

  int32_t norm(const int16_t* x) const {
    int32_t sum = 0;
    kernels::active().dot_s16(x, d_, 1, x, d_, 1, d_, &sum, 1);
    return sum;
  }
  void norms_of(const float* x, size_t n, float* out) const {
    for (size_t i = 0; i < n; ++i)
      kernels::active().dot_f32(x + i * d_, d_, 1, x + i * d_, d_, 1, d_, out + i, 1);
  }

  void integers(size_t at, size_t n, const SelectedSlots* allowed) {
    base_.codec.widen(base_.store.row(at), n, wide_rows_.data());
    kernels::active().dot_s16(wide_.data(), d_, queries_.rows, wide_rows_.data(), d_, n, d_,
                              int_dots_.data(), block_);
    const bool l2 = base_.metric == Metric::l2;
    if (l2)
      for (size_t j = 0; j < n; ++j) int_row_norms_[j] = norm(wide_rows_.data() + j * d_);
    for (size_t i = 0; i < queries_.rows; ++i) {
      const int32_t* dots = int_dots_.data() + i * block_;
      TopK& top = tops_[i];
      for (size_t j = 0; j < n; ++j) {
        const int64_t whole = l2 ? int64_t{int_norms_[i]} + int_row_norms_[j] - 2 * int64_t{dots[j]}
                                 : -int64_t{dots[j]};
        const auto distance = static_cast<float>(whole);
        if (distance <= top.limit() && (!allowed || (*allowed)[at + j]))
          top.push(distance, static_cast<slot_t>(at + j));
      }
    }
  }

  void floats(size_t at, size_t n, const SelectedSlots* allowed) {
    base_.codec.decode(base_.store.row(at), n, rows_.data());
    kernels::active().dot_f32(adapted_.data(), d_, queries_.rows, rows_.data(), d_, n, d_,
                              dots_.data(), block_);
    norms_of(rows_.data(), n, row_norms_.data());
    const bool l2 = base_.metric == Metric::l2;
    // Rounding of two different summation orders, relative to |q|^2 + |x|^2.
    const float slack = (static_cast<float>(d_) / 4 + 16) * 0x1p-23f;
    for (size_t i = 0; i < queries_.rows; ++i) {
      const float* dots = dots_.data() + i * block_;
      TopK& top = tops_[i];
      for (size_t j = 0; j < n; ++j) {
        const float norms = norms_[i] + row_norms_[j];
        const float lowest = (l2 ? norms - 2 * dots[j] : -dots[j]) - slack * norms;
        if (lowest > top.limit() || (allowed && !(*allowed)[at + j])) continue;  // NaN goes on
        const auto slot = static_cast<slot_t>(at + j);
        float distance;
        computers_[i]->score(&slot, 1, &distance);
        top.push(distance, slot);
      }
    }
  }

  const Vectors& base_;
  const Matrix<const float> queries_;
  const size_t d_;
  size_t block_ = 0;
  bool exact_ = false;
  std::vector<TopK> tops_;
  std::vector<int16_t> wide_, wide_rows_;
  std::vector<int32_t> int_dots_, int_norms_, int_row_norms_;
  std::vector<std::unique_ptr<DistanceComputer>> computers_;
  std::vector<float> adapted_, rows_, dots_, norms_, row_norms_;
};

void search_each(const Vectors& base, Matrix<const float> queries, size_t k,
                 const SelectedSlots* allowed, std::vector<hit_t>* hits) {
  parallel_for(queries.rows, {}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    for (size_t i = begin; i < end; ++i) {
      TopK top(k);
      if (finite(queries.row(i), queries.cols)) {
        computer->set_query(queries.row(i));
        scan(*computer, base.store.size(), allowed, top);
      }
      hits[i] = top.finish();
    }
  });
}

}  // namespace

void search(const Vectors& base, const Rows& queries, size_t k, const SelectedSlots* allowed,
            std::vector<hit_t>* hits) {
  std::vector<float> scratch;
  const Matrix<const float> floats{as_floats(queries, scratch), queries.n, queries.d};
  k = std::min(k, base.store.size());
  if (k == 0) return;
  const bool bits = base.codec.is_bits();
  const auto in_groups = [&](const auto& make) {
    search_groups(base.store.size(), floats, make, allowed, hits);
  };
  if ((allowed && allowed->listed()) || (queries.n < kWorthGrouping && !bits) ||
      !base.codec.compares_decoded())
    search_each(base, floats, k, allowed, hits);
  else if (bits)
    in_groups([&](Matrix<const float> some) { return BitGroup(base, some, k); });
  else
    in_groups([&](Matrix<const float> some) { return Group(base, some, k); });
}

void range_search(const Vectors& base, const Rows& queries, float radius,
                  const SelectedSlots* allowed, std::vector<hit_t>* hits) {
  std::vector<float> scratch;
  const Matrix<const float> floats{as_floats(queries, scratch), queries.n, queries.d};
  parallel_for(floats.rows, {}, [&](size_t begin, size_t end, size_t) {
    const auto computer = base.computer();
    for (size_t i = begin; i < end; ++i) {
      if (!finite(floats.row(i), floats.cols)) continue;
      computer->set_query(floats.row(i));
      scan_allowed(*computer, base.store.size(), allowed, [&](slot_t s, float x) {
        if (x < radius) hits[i].push_back(make_hit(x, s));
      });
    }
  });
}

void scan(DistanceComputer& computer, const slot_t* slots, size_t n, TopK& top) {
  scan_slots(computer, slots, n, [&](slot_t s, float x) { top.push(x, s); });
}

void scan(DistanceComputer& computer, size_t n, const SelectedSlots* allowed, TopK& top) {
  scan_allowed(computer, n, allowed, [&](slot_t s, float x) { top.push(x, s); });
}

}  // namespace shortlist::flat
