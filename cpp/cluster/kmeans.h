// k-means: Lloyd's iterations over an exact assignment, or one to clusters of like sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"
#include "base/types.h"

namespace shortlist::cluster {

enum class Init { random, kmeans_plus_plus };

struct Iteration {
  double objective = 0;       // sum of weighted squared distances, or of inner products
  double seconds = 0;         // since the iterations began
  double seconds_search = 0;  // of them, in assigning
  double imbalance = 1;       // 1 when all clusters are of one size, k when one has everything
  size_t splits = 0;          // clusters that were empty and took half of another
};

// faiss's ClusteringParameters, and what its Clustering takes besides.
struct Options {
  size_t niter = 25;
  size_t nredo = 1;  // times to start anew; the best objective is kept
  Metric metric = Metric::l2;
  bool spherical = false;                // centroids have length 1
  bool int_centroids = false;            // centroids are whole numbers
  size_t min_points_per_centroid = 39;   // fewer are warned of
  size_t max_points_per_centroid = 256;  // of more a sample is drawn
  uint64_t seed = 1234;
  Init init = Init::random;
  double early_stop_threshold = 0;  // the relative change of the objective that ends it
  double balanced = 0;              // 0 to 1: how far clusters are made of like sizes, see Balance
  size_t batch_size = 0;            // rows of the first iterations, or 0 for all in each
  const float* weights = nullptr;   // one for each row, or all 1
  Matrix<const float> initial{};    // the first centroids, up to k
  bool frozen = false;              // which then stay as they are
  // Of each row, where all are clustered: a guess of the initial centroid nearest to it, and then
  // the one that was nearest in the last iteration. Good guesses make it faster, no different.
  slot_t* nearest = nullptr;
  ProgressFn progress;  // iterations done, of nredo * niter
  std::function<void(const Iteration&)> report;
};

struct Clusters {
  std::vector<float> centroids;  // k rows
  std::vector<Iteration> iterations;
};

// The same rows, options and seed give the same bytes, whatever the number of threads. Throws
// ArgumentError for fewer rows than clusters, NaN, Inf, and values whose squares are too large.
//
// With a batch_size iterations begin with so many rows drawn at random, and go on with twice as
// many whenever centroids moved less than the choice of rows alone would move them: nested batches
// (Newling and Fleuret 2016), a form of mini-batch k-means (Sculley 2010) that ends where Lloyd's
// does. Objectives are then told as if of all rows.
Clusters kmeans(const Rows& x, size_t k, const Options& options);

}  // namespace shortlist::cluster
