// Clusters of like sizes by optimal transport (Cuturi 2013), as RepCONC constrains its codes (Zhan
// et al. 2022, arXiv 2110.05789, section 4.2).
//
// Each centroid has a price. Where all have the right one, rows that go where distance and price
// together are least fill all clusters alike. Sinkhorn's iterations find prices: rows are shared
// out softly, and a centroid that gets more than its share becomes dearer by the logarithm of the
// excess. Of a row only the nearest centroids are considered, so that nobody is sent far away.
#pragma once

#include <vector>

#include "base/types.h"
#include "cluster/assign.h"

namespace shortlist::cluster {

// Rows with the centroids near them, of each row `width`: nearest first, kNoSlot behind the last.
// Distances of a row may lack what they have in common.
struct Candidates {
  size_t n, width;
  const slot_t* slots;
  const float* distances;
};

class Balance {
 public:
  static constexpr size_t kCandidates = 16;  // centroids that a row may go to

  // `strength`: the part of the price that rows pay, 0 to 1.
  Balance(size_t k, double strength) : strength_(static_cast<float>(strength)), prices_(k) {}

  // As Nearest::assign, by distance and price. Prices go on from one call to the next. The rows are
  // shared out in batches, whose memory grows with k but not with x.n. Rows weigh 1 or `weights`.
  void assign(const Nearest& centroids, const Rows& x, const float* weights, slot_t* chosen,
              float* distances);
  // Of rows whose candidates were found already: one batch. Throws ArgumentError as
  // Nearest::assign.
  void share_out(const Candidates& rows, const float* weights, slot_t* chosen, float* distances);
  static size_t batch_rows(size_t k);                           // that are shared out together
  const std::vector<float>& prices() const { return prices_; }  // in units of distances

 private:
  struct Batch;
  void settle(const Batch& batch);

  const float strength_;
  std::vector<float> prices_;
  bool fresh_ = true;
};

}  // namespace shortlist::cluster
