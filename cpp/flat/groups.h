// Searches of many queries: in groups that share a piece of the base while it is in cache.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/selector.h"
#include "base/threads.h"
#include "base/topk.h"
#include "codec/oddint/lookup.h"
#include "kernels/floats.h"

namespace shortlist::flat {

// make(queries) gives what scans for some of them: scan(begin, end, allowed) looks at these of the
// n rows, and tops() holds the nearest of each query. Threads that groups leave idle get parts of
// the base, which begin at multiples of 64. A query with NaN finds none.
template <class Make>
void search_groups(size_t n, Matrix<const float> queries, const Make& make,
                   const SelectedSlots* allowed, std::vector<hit_t>* hits) {
  constexpr size_t kQueryGroup = 36;
  constexpr size_t kMinSplit = 4096;  // rows worth a thread of their own
  const size_t groups = (queries.rows + kQueryGroup - 1) / kQueryGroup;
  const size_t splits = queries.rows == 1 || groups >= num_threads()
                            ? 1
                            : std::clamp<size_t>(n / kMinSplit, 1, num_threads());
  const auto part = [&](size_t split) {
    return split == splits ? n : n * split / splits / 64 * 64;
  };
  std::vector<std::vector<TopK>> parts(groups * splits);
  parallel_for(groups * splits, {}, [&](size_t begin, size_t end, size_t) {
    for (size_t unit = begin; unit < end; ++unit) {
      const size_t first = unit / splits * kQueryGroup, split = unit % splits;
      auto group = make(queries.slice(first, std::min(queries.rows, first + kQueryGroup)));
      group.scan(part(split), part(split + 1), allowed);
      parts[unit] = std::move(group.tops());
    }
  });
  for (size_t i = 0; i < queries.rows; ++i) {
    auto* split = &parts[i / kQueryGroup * splits];
    TopK& top = split[0][i % kQueryGroup];
    for (size_t s = 1; s < splits; ++s) top.merge(split[s][i % kQueryGroup]);
    hits[i] = finite(queries.row(i), queries.cols) ? top.finish() : std::vector<hit_t>{};
  }
}

// Goes over blocks of kBlockVectors of n vectors, slots from `first` on, a multiple of that.
// below(b, count, masks) writes which vectors of
// `count` blocks from b on are near enough, a bit each; visit(b, mask) is called, in order, where
// any of them is allowed. How near that is, limit(), is asked for once for some blocks, as soon as
// it is not everything.
inline constexpr size_t kMostTogether = 8;
template <class Limit, class Below, class Visit>
void near_blocks(size_t begin, size_t end, size_t n, size_t first, const SelectedSlots* allowed,
                 const Limit& limit, const Below& below, const Visit& visit) {
  uint32_t wanted[kMostTogether], near[kMostTogether];
  for (size_t b = begin; b < end;) {
    const size_t most =
        limit() < std::numeric_limits<float>::infinity() ? std::min(end - b, kMostTogether) : 1;
    size_t count = 0;
    for (; count < most; ++count) {
      const size_t left = n - (b + count) * kBlockVectors;
      wanted[count] = left < kBlockVectors ? (uint32_t{1} << left) - 1 : ~uint32_t{0};
      if (allowed) wanted[count] &= allowed->bits().half_word(first / kBlockVectors + b + count);
      if (!wanted[count]) break;
    }
    if (count) below(b, count, near);
    for (size_t i = 0; i < count; ++i)
      if (const uint32_t mask = wanted[i] & near[i]) visit(b + i, mask);
    b += std::max<size_t>(count, 1);
  }
}

// Queries against blocks of `width` vectors. make(query) gives what scans for one of them:
// run(begin, end, allowed, limit, visit) calls visit(slot, distance), in slot order, for all
// vectors of these blocks whose distance is below limit(), and may for others.
template <class Make>
class BlockGroup {
 public:
  using Scan = std::invoke_result_t<Make, const float*>;

  BlockGroup(size_t width, Matrix<const float> queries, const Make& make, size_t k)
      : width_(width) {
    scans_.reserve(queries.rows);
    for (size_t i = 0; i < queries.rows; ++i) {
      tops_.emplace_back(k);
      scans_.emplace_back();
      if (finite(queries.row(i), queries.cols)) scans_[i].emplace(make(queries.row(i)));
    }
  }
  void scan(size_t begin, size_t end, const SelectedSlots* allowed) {
    constexpr size_t kTile = 64;  // blocks that stay in cache from query to query
    const size_t last = (end + width_ - 1) / width_;
    for (size_t b = begin / width_; b < last; b += kTile) {
      poll_interrupt();
      for (size_t i = 0; i < tops_.size(); ++i)
        if (scans_[i])
          scans_[i]->run(
              b, std::min(last, b + kTile), allowed, [&] { return tops_[i].worst(); },
              [&](slot_t s, float x) { tops_[i].push(x, s); });
    }
  }
  std::vector<TopK>& tops() { return tops_; }

 private:
  const size_t width_;
  std::vector<TopK> tops_;
  std::vector<std::optional<Scan>> scans_;
};

// For each query the k nearest of n, sorted by (distance, slot); a query with NaN has none.
template <class Make>
void search_blocks(size_t n, size_t width, Matrix<const float> queries, const Make& make, size_t k,
                   const SelectedSlots* allowed, std::vector<hit_t>* hits) {
  k = std::min(k, n);
  if (k == 0) return;
  search_groups(
      n, queries, [&](Matrix<const float> some) { return BlockGroup<Make>(width, some, make, k); },
      allowed, hits);
}

// Every slot with a distance < radius, in slot order.
template <class Make>
void range_blocks(size_t blocks, Matrix<const float> queries, const Make& make, float radius,
                  const SelectedSlots* allowed, std::vector<hit_t>* hits) {
  parallel_for(queries.rows, {}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      if (!finite(queries.row(i), queries.cols)) continue;
      make(queries.row(i))
          .run(
              0, blocks, allowed, [&] { return radius; },
              [&](slot_t s, float x) {
                if (x < radius) hits[i].push_back(make_hit(x, s));
              });
    }
  });
}

}  // namespace shortlist::flat
