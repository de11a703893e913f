// Where k-means begins: which rows to use, and which of them are the first centroids.
#pragma once

#include <vector>

#include "base/types.h"

namespace shortlist::cluster {

// `count` of n numbers, each set as likely as another, in increasing order.
std::vector<size_t> sample(size_t n, size_t count, uint64_t seed);

// Fills rows `known` onwards of the centroids with rows of x, each drawn with a probability that
// is proportional to its weight times its squared distance from the centroids so far (k-means++).
void kmeans_plus_plus(const Rows& x, const float* weights, uint64_t seed, size_t known,
                      Matrix<float> centroids);

}  // namespace shortlist::cluster
