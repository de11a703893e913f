// The nearest centroid of each row, or the few nearest, exactly, for a quarter of the
// multiplications.
//
// All pairs are compared as whole numbers of 7 and 8 bits, four products to a lane. Cauchy and
// Schwarz bound what rounding took away, and only centroids that may be nearer than the nearest so
// far, few of thousands, are compared as floats. The nearest so far is at first a guess, such as
// the answer of the iteration before: a better guess spares comparisons, any gives the same answer.
// Rows of few dimensions, which have little to multiply, are floats in the first comparison too.
#pragma once

#include <vector>

#include "base/memory.h"
#include "base/types.h"
#include "kernels/kernels.h"

namespace shortlist::cluster {

// The ArgumentError of a row whose distances are too large for a float.
[[noreturn]] void throw_too_far();

class Nearest {
 public:
  // Borrows the centroids, which are finite. Throws DimensionError for more than 2^18 dimensions.
  Nearest(Matrix<const float> centroids, Metric metric);

  size_t memory() const;  // besides the centroids
  // `nearest` holds guesses, or kNoSlot. Distances are "smaller is nearer": squared L2, or the
  // negated inner product; ties go to the smaller slot. Throws ArgumentError for a row whose
  // distances are too large for a float.
  void assign(const Rows& x, slot_t* nearest, float* distances) const;
  // The n nearest of each row, nearest first, on the calling thread; kNoSlot where there are fewer,
  // and all of a row with NaN.
  void search(const Rows& x, size_t n, slot_t* nearest, float* distances) const;

 private:
  struct Scratch;
  void pack(size_t block);
  float ready(const float* x, size_t i, Scratch& scratch) const;
  void filter(size_t first, size_t n, Scratch& scratch) const;
  Scratch scratch() const;
  // keep.offer(i, slot, distance) takes note of a centroid near row i; keep.limit(i) is how near
  // others must be, and keep.known(i) one that need not be offered again.
  template <class Keep>
  void compare_group(const Rows& x, Scratch& scratch, Keep& keep) const;

  const Matrix<const float> centroids_;
  const Metric metric_;
  const bool plain_;           // compared as floats only
  const size_t stride_;        // of codes: d rounded up to 4
  const float rounding_;       // of float sums, relative to the sum of absolute terms
  std::vector<float> centre_;  // what codes and values are relative to
  float centre_square_ = 0;
  Array<float> values_;                            // blocks of 64, as kernels.h lays them out,
  Array<uint8_t> codes_;                           // or these
  std::vector<float> bias_, scale_, size_, rest_;  // |c - centre|, and what codes leave of it
};

}  // namespace shortlist::cluster
