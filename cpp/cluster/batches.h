// The rows that k-means looks at: all, a sample, or a batch that grows.
#pragma once

#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "base/types.h"

namespace shortlist::cluster {

// Rows and what each weighs, borrowed or owned.
struct Points {
  Rows x;
  const float* weights = nullptr;  // or all 1

  Points(const Rows& x, const float* weights) : x(x), weights(weights) {}
  Points(Points&&) = default;
  Points& operator=(Points&&) = default;
  // These, if there are at most so many, or a sample of so many in their order.
  Points some(size_t most, uint64_t seed) const;
  // The rows of these numbers.
  Points at(const std::vector<size_t>& rows) const;
  Points first(size_t n) const;  // borrowed
  double weight() const;         // of all together

 private:
  Array<std::byte> own_rows_;
  std::vector<float> own_weights_;
};

// Nested batches: each holds the one before and as many rows again, drawn at random, until one
// holds all. The first has `size` rows, or all where that is 0. Rows of batches are copied, half of
// all at most; those of the last are not.
class Batches {
 public:
  Batches(const Points& all, size_t size, uint64_t seed);
  const Points& points() const { return now_; }
  bool whole() const { return now_.x.n == all_.x.n; }
  double share() const { return share_; }  // the weight of all in units of the batch's
  void grow() { take(2 * now_.x.n); }
  void restart() { take(size_); }

 private:
  void take(size_t n);

  const Points& all_;
  const size_t size_;
  const Points drawn_;  // in random order
  Points now_;
  double share_ = 1;
};

}  // namespace shortlist::cluster
