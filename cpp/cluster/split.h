// What becomes of clusters without points.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace shortlist::cluster {

struct Spread {
  size_t points;
  double weight;
  double squares;  // summed weighted squared distances from the mean
};

// An empty cluster takes half of the one whose points are farthest from its mean, all told: both
// become copies of that centroid, moved a little apart. Clusters from `first` on take part. Returns
// how many did; the others stay.
size_t split_largest(Matrix<float> centroids, const std::vector<Spread>& clusters, size_t first,
                     uint64_t seed);

}  // namespace shortlist::cluster
