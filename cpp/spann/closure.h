// Which posting lists a vector goes to: closure assignment (Chen et al. 2021, SPANN, arXiv
// 2111.08566, section 3.2, with the rule of the relative neighbourhood graph), or SOAR
// (cluster/soar.h).
#pragma once

#include <vector>

#include "flat/flat.h"

namespace shortlist::spann {

inline constexpr size_t kMostReplicas = 1024;

struct ClosureOptions {
  size_t replicas = 8;   // lists of a vector, at most
  float rng_factor = 1;  // a list is left out if this * its distance to a chosen one is less than
                         // its distance to the vector; 0 leaves none out
  float epsilon = 10;    // lists farther than (1 + epsilon) times the nearest are left out
};

// Of each row the lists it goes to, nearest first, as places among its candidates: `replicas` of
// them, kNoSlot where there are fewer. `candidates` are the lists found near each row, nearest
// first, `width` a row, kNoSlot where there are fewer, and `near` the squared distances to their
// centroids. Centroids are compared with each other by squared L2, whatever their metric.
std::vector<slot_t> closure(const Vectors& centroids, const slot_t* candidates, const float* near,
                            size_t rows, size_t width, const ClosureOptions& options);

struct SpillOptions {
  size_t replicas = 2;  // lists of a vector
  float lambda = 1.5;   // how much a residual along those of lists before it weighs
};

// As closure(), by SOAR's rule: the nearest, and the best of the other candidates of each row of x.
std::vector<slot_t> spill(const Vectors& centroids, const Rows& x, const slot_t* candidates,
                          size_t width, const SpillOptions& options);

}  // namespace shortlist::spann
