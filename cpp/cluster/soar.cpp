#include "cluster/soar.h"

#include <limits>

#include "kernels/kernels.h"

namespace shortlist::cluster {

Spill::Spill(Matrix<const float> centroids, float lambda)
    : centroids_(centroids), lambda_(lambda), residual_(centroids.cols) {}

slot_t Spill::second(const float* x, slot_t first, std::span<const slot_t> candidates) {
  const size_t d = centroids_.cols;
  others_.clear();
  for (const slot_t c : candidates)
    if (c != first && c != kNoSlot) others_.push_back(c);
  squares_.resize(others_.size());
  products_.resize(others_.size());
  double square = 0, own = 0;  // of r, and <r, x>
  for (size_t i = 0; i < d; ++i) {
    residual_[i] = x[i] - centroids_.row(first)[i];
    square += double{residual_[i]} * double{residual_[i]};
    own += double{residual_[i]} * double{x[i]};
  }
  const auto* base = reinterpret_cast<const std::byte*>(centroids_.data);
  const auto over = [&](kernels::RowsOp op, const float* q, float* out) {
    kernels::active().rows[op](q, base, d * sizeof(float), others_.data(), others_.size(), d, out);
  };
  over(kernels::l2_f32, x, squares_.data());
  over(kernels::ip_f32, residual_.data(), products_.data());
  slot_t best = kNoSlot;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < others_.size(); ++i) {
    const double along = own - double{products_[i]};
    const double cost = double{squares_[i]} + (square > 0 ? lambda_ * along * along / square : 0);
    if (cost < least) {
      least = cost;
      best = others_[i];
    }
  }
  return best;
}

}  // namespace shortlist::cluster
