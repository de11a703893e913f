#include "cluster/kmeans.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "cluster/assign.h"
#include "cluster/balance.h"
#include "cluster/batches.h"
#include "cluster/init.h"
#include "cluster/split.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist::cluster {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kClusterGrain = 16;
constexpr size_t kPollRows = 1024;
constexpr size_t kAhead = 3, kAheadBytes = 1024;  // rows of a cluster lie anywhere in memory

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check(const Rows& x, size_t k, const Options& options) {
  if (k < 1) throw ArgumentError("k = 0 clusters were asked for; k must be at least 1");
  if (x.n < k)
    throw ArgumentError(text("there are ", x.n, " training points for k = ", k,
                             " clusters; pass at least k points, or ask for fewer clusters"));
  if (k >= kNoSlot)
    throw ArgumentError(text("k = ", k, " clusters; at most 2^32 - 2 are possible"));
  if (options.nredo < 1) throw ArgumentError("nredo = 0; k-means must run at least once");
  if (options.max_points_per_centroid < 1)
    throw ArgumentError("max_points_per_centroid = 0 leaves no training points; use at least 1");
  if (options.initial.rows > k)
    throw ArgumentError(text("there are ", options.initial.rows, " initial centroids for k = ", k,
                             " clusters; pass at most k"));
  if (options.initial.rows && options.initial.cols != x.d)
    throw DimensionError(text("the initial centroids have ", options.initial.cols,
                              " dimensions but the vectors have ", x.d));
  if (!(options.balanced >= 0 && options.balanced <= 1))
    throw ArgumentError(text("balanced = ", options.balanced,
                             "; it must be from 0, plain k-means, to 1, clusters of like sizes"));
  if (options.batch_size && options.batch_size < k)
    throw ArgumentError(text("batch_size = ", options.batch_size, " rows for k = ", k,
                             " clusters; use at least k, or 0 for all rows in each iteration"));
  check_finite(x, "cluster");
  check_finite(as_rows(options.initial), "start from");
  double total = 0;
  for (size_t i = 0; options.weights && i < x.n; ++i) {
    const float w = options.weights[i];
    if (!(w >= 0) || !std::isfinite(w))
      throw ArgumentError(
          text("weight ", i, " is ", w, "; weights must be finite and not negative"));
    total += w;
  }
  if (options.weights && !(total > 0))
    throw ArgumentError("all weights are 0; at least one point must count");
}

class Lloyd {
 public:
  Lloyd(const Points& all, size_t k, const Options& options)
      : batches_(all, options.batch_size, options.seed),
        x_(batches_.points().x),
        k_(k),
        frozen_(options.frozen ? options.initial.rows : 0),
        options_(options),
        begin_(k + 1),
        weight_(k) {}

  Clusters run(size_t redo) {
    Clusters out;
    out.centroids.resize(k_ * x_.d);
    centroids_ = {out.centroids.data(), k_, x_.d};
    batches_.restart();
    take_batch();
    initialise(mix64(options_.seed ^ mix64(redo + 1)));
    const auto start = Clock::now();
    double searching = 0;
    bool again = false;  // the same rows as in the iteration before
    Balance balance(k_, options_.balanced);
    for (size_t i = 0; i < options_.niter; ++i) {
      const auto before = Clock::now();
      const Nearest centroids({centroids_.data, k_, x_.d}, options_.metric);
      if (options_.balanced > 0)
        balance.assign(centroids, x_, weights_, nearest_.data(), distances_.data());
      else
        centroids.assign(x_, nearest_.data(), distances_.data());
      searching += seconds_since(before);
      group();
      Iteration now;
      now.objective = objective();
      now.imbalance = imbalance();
      if (!batches_.whole()) before_.assign(centroids_.data, centroids_.row(k_));
      average();
      now.splits = split();
      finish(frozen_);
      now.seconds = seconds_since(start);
      now.seconds_search = searching;
      out.iterations.push_back(now);
      if (options_.report) options_.report(now);
      if (options_.progress)
        options_.progress(redo * options_.niter + i + 1, options_.nredo * options_.niter);
      const bool stays = again && converged(out.iterations[i - 1].objective, now.objective);
      if (batches_.whole() && stays) break;
      again = batches_.whole() || (moved() && !stays);
      if (!again) {
        batches_.grow();
        take_batch();
      }
    }
    if (options_.nearest) std::copy(nearest_.begin(), nearest_.end(), options_.nearest);
    return out;
  }

 private:
  void take_batch() {
    x_ = batches_.points().x;
    weights_ = batches_.points().weights;
    nearest_.assign(x_.n, kNoSlot);
    distances_.resize(x_.n);
    order_.resize(x_.n);
  }
  double weight(size_t i) const { return weights_ ? weights_[i] : 1.; }

  void initialise(uint64_t seed) {
    const auto& initial = options_.initial;
    std::copy_n(initial.data, initial.rows * x_.d, centroids_.data);
    if (options_.init == Init::kmeans_plus_plus) {
      kmeans_plus_plus(x_, weights_, seed, initial.rows, centroids_);
    } else {
      std::vector<float> scratch;
      float* next = centroids_.row(initial.rows);
      for (size_t i : sample(x_.n, k_ - initial.rows, seed)) {
        std::copy_n(as_floats(x_.slice(i, i + 1), scratch), x_.d, next);
        next += x_.d;
      }
    }
    finish(0);
    if (options_.nearest) std::copy_n(options_.nearest, x_.n, nearest_.begin());
  }

  // The rows of each cluster, in order.
  void group() {
    std::fill(begin_.begin(), begin_.end(), 0);
    for (slot_t c : nearest_) ++begin_[c + 1];
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    std::vector<size_t> next(begin_.begin(), begin_.end() - 1);
    for (size_t i = 0; i < x_.n; ++i) order_[next[nearest_[i]]++] = i;
  }

  double objective() const {
    double sum = 0;
    for (size_t i = 0; i < x_.n; ++i) sum += weight(i) * distances_[i];
    return batches_.share() * (options_.metric == Metric::l2 ? sum : -sum);
  }

  double imbalance() const {
    double sum = 0;
    for (size_t c = 0; c < k_; ++c) {
      const auto share = static_cast<double>(begin_[c + 1] - begin_[c]) / static_cast<double>(x_.n);
      sum += share * share;
    }
    return sum * static_cast<double>(k_);
  }

  bool converged(double before, double now) const {
    return std::fabs(before - now) <= options_.early_stop_threshold * std::fabs(before);
  }

  double squared_distance(const float* a, const float* b) const {
    float distance;
    kernels::active().rows[kernels::l2_f32](a, reinterpret_cast<const std::byte*>(b), 0, nullptr, 1,
                                            x_.d, &distance);
    return distance;
  }

  // Calls body(cluster, scratch) for each cluster that may move.
  template <class Body>
  void each_cluster(const Body& body) const {
    parallel_for(k_ - frozen_, {.grain = kClusterGrain}, [&](size_t begin, size_t end, size_t) {
      std::vector<float> scratch;
      for (size_t c = begin; c < end; ++c) body(frozen_ + c, scratch);
    });
  }

  void fetch(size_t member) const {
    if (member >= x_.n) return;
    const std::byte* row = x_.row(order_[member]);
    prefetch(row, std::min(kAheadBytes, x_.d * size_of(x_.dtype)));
  }

  void average() {
    each_cluster([&](size_t c, std::vector<float>& scratch) {
      std::vector<double> sums(x_.d);
      double total = 0;
      for (size_t m = begin_[c]; m < begin_[c + 1]; ++m) {
        const size_t i = order_[m];
        if (m % kPollRows == 0) poll_interrupt();
        fetch(m + kAhead);
        const float* row = as_floats(x_.slice(i, i + 1), scratch);
        const double w = weight(i);
        total += w;
        for (size_t t = 0; t < x_.d; ++t) sums[t] += w * row[t];
      }
      weight_[c] = total;
      if (!(total > 0)) return;
      for (size_t t = 0; t < x_.d; ++t) centroids_.row(c)[t] = static_cast<float>(sums[t] / total);
    });
  }

  // Whether centroids moved by more than the choice of a batch's rows would make them: by more than
  // the variance of a mean of so many rows, all clusters taken together.
  bool moved() const {
    std::vector<double> excess(k_);
    each_cluster([&](size_t c, std::vector<float>& scratch) {
      const float *now = centroids_.row(c), *then = &before_[c * x_.d];
      double spread = 0;
      for (size_t m = begin_[c]; m < begin_[c + 1]; ++m) {
        const size_t i = order_[m];
        if (m % kPollRows == 0) poll_interrupt();
        spread += weight(i) * squared_distance(as_floats(x_.slice(i, i + 1), scratch), now);
      }
      const size_t n = begin_[c + 1] - begin_[c];
      const double step = weight_[c] * squared_distance(then, now);
      if (n) excess[c] = step - spread / static_cast<double>(n);
    });
    return std::accumulate(excess.begin(), excess.end(), 0.) > 0;
  }

  // Empty clusters take halves of others. Returns how many did.
  size_t split() {
    const auto full = [&](double weight) { return weight > 0; };
    if (std::all_of(weight_.begin() + static_cast<ptrdiff_t>(frozen_), weight_.end(), full))
      return 0;
    std::vector<Spread> clusters(k_);
    each_cluster([&](size_t c, std::vector<float>& scratch) {
      clusters[c] = {begin_[c + 1] - begin_[c], weight_[c], 0};
      for (size_t m = begin_[c]; m < begin_[c + 1]; ++m) {
        if (m % kPollRows == 0) poll_interrupt();
        const size_t i = order_[m];
        const float* row = as_floats(x_.slice(i, i + 1), scratch);
        clusters[c].squares += weight(i) * squared_distance(row, centroids_.row(c));
      }
    });
    return split_largest(centroids_, clusters, frozen_, options_.seed);
  }

  // What centroids must be besides means.
  void finish(size_t first) {
    for (size_t c = first; c < k_; ++c) {
      float* centroid = centroids_.row(c);
      if (options_.spherical) {
        const double length =
            std::sqrt(std::inner_product(centroid, centroid + x_.d, centroid, 0.));
        for (size_t t = 0; length > 0 && t < x_.d; ++t)
          centroid[t] = static_cast<float>(centroid[t] / length);
      }
      if (options_.int_centroids)
        for (size_t t = 0; t < x_.d; ++t) centroid[t] = std::round(centroid[t]);
    }
  }

  Batches batches_;
  Rows x_;
  const float* weights_ = nullptr;
  const size_t k_, frozen_;
  const Options& options_;
  Matrix<float> centroids_{};
  std::vector<float> before_;  // the centroids an iteration began with
  std::vector<slot_t> nearest_;
  std::vector<size_t> order_;
  std::vector<float> distances_;
  std::vector<size_t> begin_;
  std::vector<double> weight_;
};

bool better(const Clusters& a, const Clusters& b, Metric metric) {
  if (a.iterations.empty() || b.iterations.empty()) return false;
  const double x = a.iterations.back().objective, y = b.iterations.back().objective;
  return metric == Metric::l2 ? x < y : x > y;
}

}  // namespace

Clusters kmeans(const Rows& x, size_t k, const Options& options) {
  check(x, k, options);
  const auto points_for = [&](size_t each) { return each > SIZE_MAX / k ? SIZE_MAX : each * k; };
  const Points points =
      Points(x, options.weights).some(points_for(options.max_points_per_centroid), options.seed);
  if (points.x.n == k) {  // each is its own cluster
    std::vector<float> scratch;
    const float* rows = as_floats(points.x, scratch);
    return {{rows, rows + k * x.d}, {Iteration{}}};
  }
  if (points.x.n < points_for(options.min_points_per_centroid))
    warn(text("clustering ", x.n, " points into ", k, " clusters; ",
              points_for(options.min_points_per_centroid),
              " or more make good centroids: pass more points, or ask for fewer clusters"));
  Lloyd lloyd(points, k, options);
  Clusters best = lloyd.run(0);
  for (size_t redo = 1; redo < options.nredo; ++redo) {
    Clusters next = lloyd.run(redo);
    if (better(next, best, options.metric)) best = std::move(next);
  }
  return best;
}

}  // namespace shortlist::cluster
