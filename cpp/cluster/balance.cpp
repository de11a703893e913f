#include "cluster/balance.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace shortlist::cluster {
namespace {

constexpr size_t kBatch = size_t{1} << 16, kPerCentroid = 32;  // rows shared out together
constexpr size_t kParts = 32;  // of a batch, added up in one order whatever the threads
constexpr size_t kGrain = 384;
constexpr size_t kFirstRounds = 60, kRounds = 4;  // from no prices, from those of a call before
constexpr double kEntropy = 0.05;                 // softness, in units of `gap`
constexpr double kEven = 1.001;                   // the imbalance at which rounds end
constexpr float kLeast = 1e-6f;                   // of its share that a centroid counts as having

}  // namespace

struct Balance::Batch : Candidates {
  const float* weights;
  double gap = 0;  // by how much candidates are farther than the nearest, on average

  Batch(const Candidates& rows, const float* w) : Candidates(rows), weights(w) {
    for (size_t i = 0; i < n; ++i) {
      const float* near = &distances[i * width];
      if (slots[i * width] == kNoSlot || !std::isfinite(near[0])) throw_too_far();
      const size_t found = candidates(i);
      double sum = 0;
      for (size_t j = 0; j < found; ++j) sum += near[j];
      gap += sum / static_cast<double>(found) - near[0];
    }
    gap /= static_cast<double>(n);
  }
  // Fewer than `width` where distances are too large for a float.
  size_t candidates(size_t i) const {
    const slot_t* all = &slots[i * width];
    return static_cast<size_t>(std::find(all, all + width, kNoSlot) - all);
  }
  double weight(size_t i) const { return weights ? weights[i] : 1.; }
};

void Balance::settle(const Batch& batch) {
  const size_t k = prices_.size(), each = (batch.n + kParts - 1) / kParts;
  const auto softness = static_cast<float>(kEntropy * batch.gap);
  if (!(softness > 0)) return;
  double total = 0;
  for (size_t i = 0; i < batch.n; ++i) total += batch.weight(i);
  if (!(total > 0)) return;
  const double share = total / static_cast<double>(k);
  const auto most = static_cast<float>(batch.gap);
  std::vector<double> sums(kParts * k);
  const size_t rounds = fresh_ ? kFirstRounds : kRounds;
  fresh_ = false;
  for (size_t round = 0; round < rounds; ++round) {
    parallel_for(kParts, {}, [&](size_t first, size_t last, size_t) {
      for (size_t part = first; part < last; ++part) {
        double* sum = &sums[part * k];
        std::fill(sum, sum + k, 0.);
        float p[kCandidates];
        const size_t end = std::min(batch.n, (part + 1) * each);
        for (size_t i = part * each; i < end; ++i) {
          if (i % kGrain == 0) poll_interrupt();
          const slot_t* slots = &batch.slots[i * batch.width];
          const float* near = &batch.distances[i * batch.width];
          const size_t m = batch.candidates(i);
          for (size_t j = 0; j < m; ++j) p[j] = (near[0] - near[j] - prices_[slots[j]]) / softness;
          const float all = kernels::active().exps(p, m, *std::max_element(p, p + m));
          const double scale = batch.weight(i) / double{all};
          for (size_t j = 0; j < m; ++j) sum[slots[j]] += scale * p[j];
        }
      }
    });
    double squares = 0, mean = 0;
    for (size_t c = 0; c < k; ++c) {
      double got = 0;
      for (size_t part = 0; part < kParts; ++part) got += sums[part * k + c];
      got /= share;
      squares += got * got;
      prices_[c] += softness * std::log(std::max(static_cast<float>(got), kLeast));
      mean += prices_[c];
    }
    mean /= static_cast<double>(k);
    for (float& price : prices_) price = std::clamp(price - static_cast<float>(mean), -most, most);
    if (squares / static_cast<double>(k) < kEven) break;
  }
}

size_t Balance::batch_rows(size_t k) { return std::max(kBatch, k * kPerCentroid); }

void Balance::assign(const Nearest& centroids, const Rows& x, const float* weights, slot_t* chosen,
                     float* distances) {
  const size_t k = prices_.size(), most = batch_rows(k), width = std::min(k, kCandidates);
  const size_t batches = (x.n + most - 1) / most;
  for (size_t b = 0; b < batches; ++b) {
    const size_t begin = x.n * b / batches, n = x.n * (b + 1) / batches - begin;
    std::vector<slot_t> slots(n * width);
    std::vector<float> near(n * width);
    parallel_for(n, {.grain = kGrain}, [&](size_t first, size_t last, size_t) {
      centroids.search(x.slice(begin + first, begin + last), width, &slots[first * width],
                       &near[first * width]);
    });
    share_out({n, width, slots.data(), near.data()}, weights ? weights + begin : nullptr,
              chosen + begin, distances + begin);
  }
}

void Balance::share_out(const Candidates& rows, const float* weights, slot_t* chosen,
                        float* distances) {
  if (!rows.n) return;
  const Batch batch(rows, weights);
  settle(batch);
  parallel_for(batch.n, {.grain = kGrain}, [&](size_t first, size_t last, size_t) {
    for (size_t i = first; i < last; ++i) {
      const slot_t* slots = &batch.slots[i * batch.width];
      const float* near = &batch.distances[i * batch.width];
      const auto cost = [&](size_t j) { return near[j] + strength_ * prices_[slots[j]]; };
      const size_t m = batch.candidates(i);
      size_t best = 0;
      for (size_t j = 1; j < m; ++j)
        if (cost(j) < cost(best)) best = j;
      chosen[i] = slots[best];
      distances[i] = near[best];
    }
  });
}

}  // namespace shortlist::cluster
