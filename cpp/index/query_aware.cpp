#include "index/query_aware.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "cluster/init.h"
#include "codec/transform/opq.h"
#include "index/flat.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using Chain = IndexPreTransform::Chain;
using Trial = QueryAwareTransform::Trial;

constexpr double kExponents[] = {0, 0.25, 0.5, 0.75, 1};
constexpr size_t kLeastQueries = 32, kMostHeldOut = 500, kMostQueries = 8192;
constexpr size_t kMostVectors = 20000;  // in a trial
constexpr int kMostTurns = 10;          // of OPQ in a trial, and iterations in the first one
constexpr size_t kRecallAt = 10, kNeighbours = 100;
constexpr double kSure = 2;  // standard errors by which the plain codec must lose
constexpr uint64_t kSeed = 77;

struct Owned {
  std::vector<float> values;
  size_t d;
  size_t rows() const { return values.size() / d; }
  Matrix<const float> view() const { return {values.data(), rows(), d}; }
};

Owned rows_of(Matrix<const float> x, const std::vector<size_t>& which) {
  Owned out{std::vector<float>(which.size() * x.cols), x.cols};
  for (size_t i = 0; i < which.size(); ++i)
    std::copy_n(x.row(which[i]), x.cols, out.values.data() + i * x.cols);
  return out;
}

Owned sample_of(Matrix<const float> x, size_t most) {
  return rows_of(x, cluster::sample(x.rows, std::min(x.rows, most), kSeed));
}

// Queries and their true neighbours among the vectors of a trial.
struct Judged {
  Owned queries;
  size_t k;
  std::vector<float> products;
  std::vector<id_t> neighbours;

  Judged(Owned queries_, const Index& exact)
      : queries(std::move(queries_)), k(std::min(kNeighbours, exact.ntotal())) {
    products.resize(queries.rows() * k);
    neighbours.resize(products.size());
    exact.search(as_rows(queries.view()), k, products.data(), neighbours.data());
  }
};

// Of each held-out query.
struct Outcome {
  std::vector<double> recall, squares;
};

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.) / static_cast<double>(x.size());
}

// What stands behind the transform, trained whatever it was before.
void train_behind(const IndexPreTransform& behind, Matrix<const float> x) {
  std::vector<float> now, next;
  for (const auto& transform : behind.chain()) {
    transform->train(x);
    next.resize(x.rows * transform->d_out);
    transform->apply(x, next.data());
    std::swap(now, next);
    x = {now.data(), x.rows, transform->d_out};
  }
  behind.index->train(as_rows(x));
}

Outcome outcome_of(const QueryAwareTransform& transform, const IndexPreTransform& behind,
                   const Judged& judged, Matrix<const float> vectors) {
  constexpr size_t kBatch = 32;
  const size_t d = vectors.cols, n = behind.ntotal(), k = judged.k;
  const Matrix<const float> queries = judged.queries.view();
  std::vector<float> turned(kBatch * d), distances(kBatch * n), score(n);
  std::vector<id_t> labels(kBatch * n);
  Outcome out;
  for (size_t at = 0; at < queries.rows; at += kBatch) {
    const size_t m = std::min(kBatch, queries.rows - at);
    transform.apply_queries(queries.slice(at, at + m), turned.data());
    behind.search_exact(as_rows({turned.data(), m, d}), n, distances.data(), labels.data());
    for (size_t i = 0; i < m; ++i) {
      const float* products = judged.products.data() + (at + i) * k;
      const id_t* neighbours = judged.neighbours.data() + (at + i) * k;
      const float* found = distances.data() + i * n;
      const id_t* ids = labels.data() + i * n;
      const size_t wanted = std::min(kRecallAt, k);
      const float least = products[wanted - 1] - 1e-6f * std::abs(products[wanted - 1]);
      size_t right = 0;  // as near as the last wanted one, whichever it is
      for (size_t j = 0; j < wanted; ++j)
        right += ids[j] >= 0 && ordered_dot(queries.row(at + i),
                                            vectors.row(static_cast<size_t>(ids[j])), d) >= least;
      std::fill(score.begin(), score.end(), 0.f);
      for (size_t j = 0; j < n; ++j)
        if (ids[j] >= 0) score[static_cast<size_t>(ids[j])] = found[j];
      double sum = 0;
      for (size_t j = 0; j < k; ++j) {
        const double e = double{products[j]} - score[static_cast<size_t>(neighbours[j])];
        sum += e * e;
      }
      out.recall.push_back(static_cast<double>(right) / static_cast<double>(wanted));
      out.squares.push_back(sum / static_cast<double>(k));
    }
  }
  return out;
}

class Trials {
 public:
  Trials(const IndexPreTransform& behind, Matrix<const float> x, Matrix<const float> queries,
         Objective objective)
      : behind_(behind),
        objective_(objective),
        vectors_(sample_of(x, kMostVectors)),
        split_(queries),
        exact_(vectors_),
        learnt_(std::move(split_.learnt), *exact_.index),
        held_(std::move(split_.held), *exact_.index),
        roots_(learnt_.queries.view()) {}

  void run(QueryAwareTransform& chosen) {
    for (const double exponent : kExponents) try_exponent(exponent);
    const size_t best = choose();
    {
      const std::lock_guard hold(chosen.lock());
      chosen.trials = trials_;
      chosen.chosen = best;
      chosen.objective = objective_;
      chosen.sizes = {vectors_.rows(), learnt_.queries.rows(), held_.queries.rows()};
    }
    chosen.set_exponent(roots_, trials_[best].exponent);
  }

  // Fits the queries' side to the codes of `behind`; whether those can be told.
  bool fit(QueryAwareTransform& transform, const IndexPreTransform& behind) const {
    std::vector<float> codes(vectors_.values.size());
    std::vector<id_t> ids(vectors_.rows());
    std::iota(ids.begin(), ids.end(), id_t{0});
    try {
      behind.reconstruct_batch(ids.data(), ids.size(), codes.data());
    } catch (const UnsupportedError&) {
      return false;
    }
    // What neighbours share changes no recall; a little of it keeps scores near.
    const double level = objective_ == Objective::recall ? 0.05 : 1;
    transform.fit(learnt_.queries.view(), learnt_.k, learnt_.neighbours.data(),
                  learnt_.products.data(), {codes.data(), vectors_.rows(), vectors_.d}, level);
    return true;
  }

  void add_to(IndexPreTransform& behind, const QueryAwareTransform& transform) const {
    const std::vector<float> y = transformed(transform);
    behind.add(as_rows({y.data(), vectors_.rows(), vectors_.d}));
  }

 private:
  struct Split {
    Owned learnt, held;
    explicit Split(Matrix<const float> queries) {
      const size_t n = queries.rows, held_out = std::clamp<size_t>(n / 5, 8, kMostHeldOut);
      const std::vector<size_t> apart = cluster::sample(n, held_out, kSeed);
      std::vector<size_t> others;
      for (size_t i = 0, next = 0; i < n; ++i)
        if (next < apart.size() && apart[next] == i)
          ++next;
        else
          others.push_back(i);
      held = rows_of(queries, apart);
      learnt = sample_of(rows_of(queries, others).view(), kMostQueries);
    }
  };
  struct Exact {
    std::unique_ptr<IndexFlat> index;
    explicit Exact(const Owned& vectors)
        : index(std::make_unique<IndexFlat>(vectors.d, Metric::inner_product)) {
      index->add(as_rows(vectors.view()));
    }
  };

  std::vector<float> transformed(const QueryAwareTransform& transform) const {
    std::vector<float> y(vectors_.values.size());
    transform.apply(vectors_.view(), y.data());
    return y;
  }

  void try_exponent(double exponent) {
    QueryAwareTransform transform(vectors_.d);
    transform.set_exponent(roots_, exponent);
    const auto copy = std::dynamic_pointer_cast<IndexPreTransform>(clone_index(behind_));
    for (const auto& part : copy->chain())
      if (auto* opq = dynamic_cast<OPQMatrix*>(part.get())) {
        opq->niter = std::min(opq->niter, kMostTurns);
        opq->niter_pq_0 = std::min(opq->niter_pq_0, kMostTurns);
      }
    const std::vector<float> y = transformed(transform);
    train_behind(*copy, {y.data(), vectors_.rows(), vectors_.d});
    add_to(*copy, transform);
    note(exponent, false, outcome_of(transform, *copy, held_, vectors_.view()));
    if (fit(transform, *copy))
      note(exponent, true, outcome_of(transform, *copy, held_, vectors_.view()));
  }

  void note(double exponent, bool fitted, Outcome outcome) {
    trials_.push_back({static_cast<float>(exponent), fitted,
                       static_cast<float>(mean(outcome.recall)),
                       static_cast<float>(mean(outcome.squares))});
    outcomes_.push_back(std::move(outcome));
  }

  // The best, unless the first, which is the plain codec, may be as good.
  size_t choose() const {
    const auto gain = [&](size_t trial) {
      const auto& a = outcomes_[trial];
      const auto& b = outcomes_[0];
      std::vector<double> out(a.recall.size());
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = objective_ == Objective::recall ? a.recall[i] - b.recall[i]
                                                 : b.squares[i] - a.squares[i];
      return out;
    };
    size_t best = 0;
    for (size_t i = 1; i < outcomes_.size(); ++i)
      if (mean(gain(i)) > mean(gain(best))) best = i;
    const std::vector<double> by = gain(best);
    double variance = 0;
    for (const double x : by) variance += (x - mean(by)) * (x - mean(by));
    const auto n = static_cast<double>(by.size());
    return mean(by) > kSure * std::sqrt(variance / (n * (n - 1))) ? best : 0;
  }

  const IndexPreTransform& behind_;
  const Objective objective_;
  const Owned vectors_;
  Split split_;
  const Exact exact_;
  const Judged learnt_, held_;
  const QueryAwareTransform::Roots roots_;
  std::vector<Trial> trials_;
  std::vector<Outcome> outcomes_;
};

}  // namespace

void train_query_aware(const Chain& chain, const std::shared_ptr<Index>& index,
                       Matrix<const float> x, Matrix<const float> queries, Objective objective) {
  auto& transform = dynamic_cast<QueryAwareTransform&>(*chain.front());
  if (index->metric_type != Metric::inner_product)
    throw UnsupportedError(
        "a QueryAwareTransform keeps inner products, not L2 distances; use METRIC_INNER_PRODUCT, "
        "which orders vectors of unit length alike (put L2norm before them)");
  if (queries.cols != x.cols)
    throw DimensionError(text("the queries have ", queries.cols, " dimensions, the vectors ",
                              x.cols, "; both must be alike"));
  check_finite(as_rows(queries), "learn from queries among");
  if (queries.rows < kLeastQueries)
    throw ArgumentError(text("there are ", queries.rows, " queries to learn from; pass at least ",
                             kLeastQueries, ", better several times the ", x.cols,
                             " dimensions, or leave QA out"));
  if (x.rows < 1) throw ArgumentError("there are no vectors to train on");
  if (index->ntotal())
    throw ArgumentError(
        text("the index holds ", index->ntotal(),
             " vectors, whose codes training would make meaningless; call reset()"));
  IndexPreTransform behind(index, Chain(chain.begin() + 1, chain.end()));
  Trials trials(behind, x, queries, objective);
  trials.run(transform);
  std::vector<float> y(x.rows * x.cols);
  transform.apply(x, y.data());
  train_behind(behind, {y.data(), x.rows, x.cols});
  if (!transform.trials[transform.chosen].fitted) return;
  const auto copy = std::dynamic_pointer_cast<IndexPreTransform>(clone_index(behind));
  trials.add_to(*copy, transform);
  trials.fit(transform, *copy);
}

}  // namespace shortlist
