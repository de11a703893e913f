#include "cluster/soar.h"

#include <limits>

#include "kernels/kernels.h"

namespace shortlist::cluster {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// How far a query is from centroids, or their products.
void over(kernels::RowsOp op, const float* q, Matrix<const float> centroids,
          const std::vector<slot_t>& slots, float* out) {
  kernels::active().rows[op](q, reinterpret_cast<const std::byte*>(centroids.data),
                             centroids.cols * sizeof(float), slots.data(), slots.size(),
                             centroids.cols, out);
}

}  // namespace

Spill::Spill(Matrix<const float> centroids, float lambda)
    : centroids_(centroids), lambda_(lambda), residual_(centroids.cols) {}

void Spill::choose(const float* x, slot_t first, std::span<const slot_t> candidates,
                   std::span<slot_t> further) {
  others_.clear();
  for (const slot_t c : candidates)
    if (c != first && c != kNoSlot) others_.push_back(c);
  distances_.resize(others_.size());
  over(kernels::l2_f32, x, centroids_, others_, distances_.data());
  costs_.assign(distances_.begin(), distances_.end());
  slot_t last = first;
  for (slot_t& chosen : further) {
    chosen = kNoSlot;
    if (last == kNoSlot) continue;
    amplify(x, last);
    double least = kNever;
    for (size_t i = 0; i < others_.size(); ++i)
      if (costs_[i] < least) {
        least = costs_[i];
        chosen = others_[i];
      }
    for (size_t i = 0; i < others_.size(); ++i)
      if (others_[i] == chosen) costs_[i] = kNever;
    last = chosen;
  }
}

// Adds lambda <r / |r|, x - c'>^2 to the cost of each c', r the residual of a chosen list.
void Spill::amplify(const float* x, slot_t chosen) {
  double square = 0, own = 0;  // of r, and <r, x>
  for (size_t i = 0; i < centroids_.cols; ++i) {
    residual_[i] = x[i] - centroids_.row(chosen)[i];
    square += double{residual_[i]} * double{residual_[i]};
    own += double{residual_[i]} * double{x[i]};
  }
  if (!(square > 0)) return;
  over(kernels::ip_f32, residual_.data(), centroids_, others_, distances_.data());
  for (size_t i = 0; i < others_.size(); ++i) {
    const double along = own - double{distances_[i]};
    costs_[i] += lambda_ * along * along / square;
  }
}

}  // namespace shortlist::cluster
