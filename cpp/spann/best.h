// The k nearest of a stream in which a vector may come more than once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "base/types.h"

namespace shortlist::spann {

struct Candidate {
  float distance;
  id_t id;
  uint64_t row;  // of the vector, where it is in a file of its own
};

// Of each id the nearest is kept. Which candidates are kept does not depend on their order: equally
// near ones go by id.
class Best {
 public:
  explicit Best(size_t k) : k_(k), full_(2 * k + 64) {}

  // Candidates above it cannot enter.
  float limit() const { return limit_; }
  void push(const Candidate& candidate) {
    if (!(candidate.distance <= limit_)) return;
    kept_.push_back(candidate);
    if (kept_.size() >= full_) {
      drop();
      full_ = kept_.size() + k_ + 64;
    }
  }
  // Nearest first; at most k.
  std::vector<Candidate> finish() {
    drop();
    return std::move(kept_);
  }

 private:
  void drop() {
    const auto by_id = [](const Candidate& a, const Candidate& b) {
      return std::tie(a.id, a.distance, a.row) < std::tie(b.id, b.distance, b.row);
    };
    const auto by_distance = [](const Candidate& a, const Candidate& b) {
      return std::tie(a.distance, a.id) < std::tie(b.distance, b.id);
    };
    std::sort(kept_.begin(), kept_.end(), by_id);
    const auto same = [](const Candidate& a, const Candidate& b) { return a.id == b.id; };
    kept_.erase(std::unique(kept_.begin(), kept_.end(), same), kept_.end());
    std::sort(kept_.begin(), kept_.end(), by_distance);
    if (kept_.size() < k_) return;
    kept_.resize(k_);
    if (k_) limit_ = kept_.back().distance;
  }

  size_t k_, full_;
  float limit_ = std::numeric_limits<float>::infinity();
  std::vector<Candidate> kept_;
};

}  // namespace shortlist::spann
