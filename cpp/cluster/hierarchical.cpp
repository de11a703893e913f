#include "cluster/hierarchical.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "cluster/balance.h"
#include "cluster/batches.h"
#include "cluster/kmeans.h"
#include "kernels/floats.h"

namespace shortlist::cluster {
namespace {

constexpr double kFill = 0.85;              // of max_size, what clusters are meant to have
constexpr size_t kSmall = size_t{1} << 14;  // rows that one thread splits down to clusters
constexpr size_t kPollRows = 1024;

// Rows order[begin] to order[end - 1].
struct Part {
  size_t begin, end;
  size_t size() const { return end - begin; }
};

class Splitter {
 public:
  Splitter(const Rows& x, size_t max_size, const HierarchyOptions& options)
      : x_(x), max_size_(max_size), options_(options), order_(x.n) {
    std::iota(order_.begin(), order_.end(), size_t{0});
  }

  Hierarchy run() {
    // Large parts one after the other, each by all threads; small ones side by side.
    std::vector<Part> large{{0, x_.n}}, small;
    while (!large.empty()) {
      const Part part = large.back();
      large.pop_back();
      if (part.size() <= std::max(kSmall, max_size_))
        small.push_back(part);
      else
        for (const Part& child : split(part)) large.push_back(child);
      report(0);
    }
    std::sort(small.begin(), small.end(),
              [](const Part& a, const Part& b) { return a.begin < b.begin; });
    std::vector<std::vector<Part>> leaves(small.size());
    const ProgressFn progress = [&](size_t done, size_t) {
      report(done < small.size() ? small[done].begin : x_.n);
    };
    parallel_for(small.size(), {.progress = &progress}, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) leaves[i] = leaves_of(small[i]);
    });
    return finish(leaves);
  }

 private:
  void report(size_t done) const {
    if (options_.progress) options_.progress(done, x_.n);
  }

  std::vector<Part> leaves_of(const Part& part) {
    std::vector<Part> todo{part}, leaves;
    while (!todo.empty()) {
      const Part next = todo.back();
      todo.pop_back();
      if (next.size() <= max_size_) {
        leaves.push_back(next);
      } else {
        const auto children = split(next);
        todo.insert(todo.end(), children.rbegin(), children.rend());
      }
    }
    return leaves;
  }

  // As many parts as make all splits of the way down to clusters alike.
  size_t ways(size_t n) const {
    const double leaves =
        std::ceil(static_cast<double>(n) / std::max(1., kFill * static_cast<double>(max_size_)));
    const auto most = static_cast<double>(options_.branching);
    const double levels = std::max(1., std::ceil(std::log(leaves) / std::log(most) - 1e-9));
    const auto each = static_cast<size_t>(std::ceil(std::pow(leaves, 1 / levels) - 1e-9));
    return std::clamp(each, size_t{2}, std::min(options_.branching, n));
  }

  void cut(const Rows& x, size_t k, uint64_t seed, slot_t* which) const {
    Options how;
    how.niter = options_.niter;
    how.metric = options_.metric;
    how.spherical = options_.spherical;
    how.balanced = 1;
    how.min_points_per_centroid = 1;
    how.seed = seed;
    const auto found = kmeans(x, k, how);
    std::vector<float> distances(x.n);
    const Nearest nearest({found.centroids.data(), k, x.d}, options_.metric);
    Balance(k, 1).assign(nearest, x, nullptr, which, distances.data());
  }

  std::vector<Part> split(const Part& part) {
    const size_t n = part.size(), k = ways(n);
    const auto first = order_.begin() + static_cast<ptrdiff_t>(part.begin);
    const std::vector<size_t> numbers(first, first + static_cast<ptrdiff_t>(n));
    const Points all(x_, nullptr);
    const Points own = n == x_.n ? all.first(n) : all.at(numbers);
    std::vector<slot_t> which(n);
    const uint64_t seed = mix64(options_.seed ^ mix64(part.begin) ^ n);
    if (options_.cut && n > kSmall)
      options_.cut(own.x, k, seed, which.data());
    else
      cut(own.x, k, seed, which.data());
    std::vector<size_t> begin(k + 1);
    for (slot_t c : which) ++begin[c + 1];
    const size_t largest = *std::max_element(begin.begin(), begin.end());
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<size_t> next(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < n; ++i) order_[part.begin + next[which[i]]++] = numbers[i];
    if (4 * largest > 3 * n)  // too much alike
      for (size_t c = 0; c <= k; ++c) begin[c] = n * c / k;
    std::vector<Part> children;
    for (size_t c = 0; c < k; ++c)
      if (begin[c] < begin[c + 1])
        children.push_back({part.begin + begin[c], part.begin + begin[c + 1]});
    return children;
  }

  Hierarchy finish(const std::vector<std::vector<Part>>& parts) const {
    std::vector<Part> leaves;
    for (const auto& some : parts) leaves.insert(leaves.end(), some.begin(), some.end());
    if (leaves.size() >= kNoSlot)
      throw ArgumentError(text("max_size = ", max_size_, " makes ", leaves.size(),
                               " clusters; at most 2^32 - 2 are possible"));
    Hierarchy out{std::vector<float>(leaves.size() * x_.d), std::vector<slot_t>(x_.n)};
    parallel_for(leaves.size(), {}, [&](size_t begin, size_t end, size_t) {
      std::vector<double> sums(x_.d);
      std::vector<float> scratch;
      for (size_t leaf = begin; leaf < end; ++leaf) {
        std::fill(sums.begin(), sums.end(), 0.);
        for (size_t m = leaves[leaf].begin; m < leaves[leaf].end; ++m) {
          if (m % kPollRows == 0) poll_interrupt();
          const size_t i = order_[m];
          out.labels[i] = static_cast<slot_t>(leaf);
          const float* row = as_floats(x_.slice(i, i + 1), scratch);
          for (size_t t = 0; t < x_.d; ++t) sums[t] += row[t];
        }
        float* centroid = &out.centroids[leaf * x_.d];
        for (size_t t = 0; t < x_.d; ++t)
          centroid[t] = static_cast<float>(sums[t] / static_cast<double>(leaves[leaf].size()));
        if (options_.spherical) normalize_row(centroid, x_.d);
      }
    });
    return out;
  }

  const Rows& x_;
  const size_t max_size_;
  const HierarchyOptions& options_;
  std::vector<size_t> order_;
};

}  // namespace

Hierarchy hierarchical_kmeans(const Rows& x, size_t max_size, const HierarchyOptions& options) {
  if (max_size < 1) throw ArgumentError("max_size = 0; a cluster holds at least 1 row");
  if (options.branching < 2)
    throw ArgumentError(
        text("branching = ", options.branching, "; a part is split into at least 2"));
  if (!x.n) throw ArgumentError("there are no rows to cluster; pass at least 1");
  check_finite(x, "cluster");
  return Splitter(x, max_size, options).run();
}

}  // namespace shortlist::cluster
