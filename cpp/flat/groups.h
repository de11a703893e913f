// Searches of many queries: in groups that share a piece of the base while it is in cache.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/selector.h"
#include "base/threads.h"
#include "codec/oddint/lookup.h"
#include "kernels/floats.h"
#include "kernels/topk.h"

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

// Scans of blocks give what they find to a sink: limit() is how near a distance must be,
// push(distance, slot) takes one, and take(distances, masks, blocks, first) marked ones of blocks.
// TopK is one; this takes everything nearer than a radius, as it comes.
class Within {
 public:
  explicit Within(float radius) : radius_(radius) {}
  float limit() const { return radius_; }
  void push(float distance, slot_t slot) {
    if (distance < radius_) hits_.push_back(make_hit(distance, slot));
  }
  void take(const float* distances, const uint32_t* masks, size_t blocks, slot_t first) {
    const size_t before = hits_.size();
    float near[TopK::kMostTaken];
    slot_t slots[TopK::kMostTaken];
    const size_t n = kernels::active().take_marked(distances, masks, blocks, first, near, slots);
    hits_.resize(before + n);
    for (size_t i = 0; i < n; ++i) hits_[before + i] = make_hit(near[i], slots[i]);
  }
  std::vector<hit_t> finish() { return std::move(hits_); }

 private:
  float radius_;
  std::vector<hit_t> hits_;
};

// Goes over blocks of kBlockVectors of n vectors, slots from `first` on, a multiple of that.
// below(b, count, masks) writes which vectors of `count` blocks from b on are near enough, a bit
// each; visit(b, count, masks) is called, in order, where any of them is allowed. How near that is,
// limit(), is asked for once for some blocks, as soon as it is not everything.
inline constexpr size_t kMostTogether = TopK::kMostTaken / kBlockVectors;
template <class Limit, class Below, class Visit>
void near_blocks(size_t begin, size_t end, size_t n, size_t first, const SelectedSlots* allowed,
                 const Limit& limit, const Below& below, const Visit& visit) {
  uint32_t wanted[kMostTogether], near[kMostTogether];
  for (size_t b = begin; b < end;) {
    const size_t most =
        limit() < std::numeric_limits<float>::infinity() ? std::min(end - b, kMostTogether) : 1;
    size_t count = most;
    if (allowed)
      for (count = 0; count < most; ++count) {
        wanted[count] = allowed->bits().half_word(first / kBlockVectors + b + count);
        if (!wanted[count]) break;
      }
    if (count) below(b, count, near);
    if (const size_t past = (b + count) * kBlockVectors; count && past > n)
      near[count - 1] &= ~uint32_t{0} >> (past - n);
    uint32_t any = 0;
    for (size_t i = 0; i < count; ++i) any |= allowed ? near[i] &= wanted[i] : near[i];
    if (any) visit(b, count, near);
    b += std::max<size_t>(count, 1);
  }
}

// Queries against blocks of `width` vectors. make(query) gives what scans for one of them:
// run(begin, end, allowed, sink) gives the sink, in slot order, all vectors of these blocks whose
// distance is below its limit, and perhaps others.
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
        if (scans_[i]) scans_[i]->run(b, std::min(last, b + kTile), allowed, tops_[i]);
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
      Within near(radius);
      make(queries.row(i)).run(0, blocks, allowed, near);
      hits[i] = near.finish();
    }
  });
}

}  // namespace shortlist::flat
