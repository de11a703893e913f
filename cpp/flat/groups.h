// Searches of many queries: in groups that share a piece of the base while it is in cache.
#pragma once

#include <algorithm>
#include <vector>

#include "base/selector.h"
#include "base/threads.h"
#include "base/topk.h"
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

}  // namespace shortlist::flat
