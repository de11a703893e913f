#include "flat/least_sums.h"

#include <algorithm>

namespace shortlist {

const std::vector<LeastSums::Sum>& LeastSums::find(const float* tables, size_t k) {
  sort_table(tables, k, sums_);
  for (size_t m = 1; m < M_; ++m) {
    sort_table(tables + (m << nbits_), k, entries_);
    add_table(m, k);
  }
  std::sort(sums_.begin(), sums_.end());  // those that are equal came in any order
  return sums_;
}

void LeastSums::sort_table(const float* table, size_t k, std::vector<Sum>& out) const {
  const size_t n = size_t{1} << nbits_;
  if (k == 1) {
    const float* least = std::min_element(table, table + n);
    out.assign(1, {*least, static_cast<uint64_t>(least - table)});
    return;
  }
  out.resize(n);
  for (size_t i = 0; i < out.size(); ++i) out[i] = {table[i], i};
  const size_t kept = std::min(k, out.size());
  std::partial_sort(out.begin(), out.begin() + static_cast<ptrdiff_t>(kept), out.end());
  out.resize(kept);
}

// The k least of one table more are made of the k least before. (i, j) is looked at after
// (i, j - 1), and (i, 0) after (i - 1, 0).
void LeastSums::add_table(size_t m, size_t k) {
  const auto push = [&](size_t i, size_t j) {
    const Sum &a = sums_[i], &b = entries_[j];
    heap_.push_back({{a.value + b.value, a.entries | b.entries << m * nbits_}, i, j});
    std::push_heap(heap_.begin(), heap_.end());
  };
  more_.clear();
  heap_.clear();
  push(0, 0);
  while (more_.size() < k && !heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Pair least = heap_.back();
    heap_.pop_back();
    more_.push_back(least.sum);
    if (least.j + 1 < entries_.size()) push(least.i, least.j + 1);
    if (least.j == 0 && least.i + 1 < sums_.size()) push(least.i + 1, 0);
  }
  sums_.swap(more_);
}

}  // namespace shortlist
