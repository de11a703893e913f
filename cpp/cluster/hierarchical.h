// Clusters of at most so many rows, by splitting again and again: hierarchical balanced clustering,
// as SPANN makes its postings (Chen et al. 2021, arXiv 2111.08566, section 3.2).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"
#include "base/types.h"

namespace shortlist::cluster {

struct HierarchyOptions {
  size_t branching = 32;  // parts of a split, at most
  size_t niter = 10;      // iterations of k-means in a split
  Metric metric = Metric::l2;
  bool spherical = false;  // centroids have length 1
  uint64_t seed = 1234;
  // Who splits parts that are large: cut(x, k, seed, which) says of each row which of k parts it
  // goes to. Null: all threads, as small ones.
  std::function<void(const Rows&, size_t, uint64_t, slot_t*)> cut = nullptr;
  ProgressFn progress = nullptr;  // rows that are in their final clusters, of all
};

struct Hierarchy {
  std::vector<float> centroids;  // the clusters' means; neighbours in the tree are neighbours here
  std::vector<slot_t> labels;    // of each row the cluster it is in
};

// Splits x into parts of like sizes by k-means with Balance, and every part that has more than
// max_size rows again. No cluster is empty or larger than max_size; clusters are filled to
// about 85 %. A row's cluster need not be that of the nearest centroid. What k-means
// cannot tell apart, such as more than max_size copies of a row, is cut in order.
//
// Needs, besides x, the rows of the largest part below the whole and some 20 bytes a row. The same
// rows, options and seed give the same bytes, whatever the number of threads. Throws ArgumentError
// for a max_size below 1, a branching below 2, no rows, NaN, Inf and values whose squares are too
// large.
Hierarchy hierarchical_kmeans(const Rows& x, size_t max_size, const HierarchyOptions& options);

}  // namespace shortlist::cluster
