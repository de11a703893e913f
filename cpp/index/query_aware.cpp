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
#include "kernels/kernels.h"

namespace shortlist {
namespace {

using Chain = IndexPreTransform::Chain;
using Trial = QueryAwareTransform::Trial;

constexpr double kExponents[] = {0, 0.25, 0.5, 0.75, 1};
constexpr size_t kLeastQueries = 32, kMostHeldOut = 500, kMostQueries = 8192;
constexpr size_t kMostVectors = 20000;  // in a trial
constexpr size_t kMostFitted =
    100000;                     // vectors whose codes the queries' side is fitted to at last
constexpr int kMostTurns = 10;  // of OPQ in a trial, and iterations in the first one
constexpr size_t kRecallAt = 10, kNeighbours = 100;
constexpr size_t kDifferent = 4;  // neighbours of a query whose differences from it make H of L2
constexpr double kSure = 2;       // standard errors by which the plain codec must lose
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

// Vectors, queries and their true neighbours.
struct Judged {
  Owned vectors, queries;
  size_t k;
  std::vector<float> distances;  // or products
  std::vector<id_t> neighbours;

  Judged(Owned vectors_, Owned queries_, Metric metric)
      : vectors(std::move(vectors_)),
        queries(std::move(queries_)),
        k(std::min(kNeighbours, vectors.rows())) {
    IndexFlat exact(vectors.d, metric);
    exact.add(as_rows(vectors.view()));
    distances.resize(queries.rows() * k);
    neighbours.resize(distances.size());
    exact.search(as_rows(queries.view()), k, distances.data(), neighbours.data());
  }
  const float* query(size_t i) const { return queries.view().row(i); }
  const float* neighbour(size_t i, size_t j) const {
    return vectors.view().row(static_cast<size_t>(neighbours[i * k + j]));
  }
};

// Of each held-out query.
struct Outcome {
  std::vector<double> recall, squares;
};

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.) / static_cast<double>(x.size());
}

// What stands behind the transform, trained whatever it was before; x is what the transform makes
// of vectors.
void train_behind(const Chain& chain, Index& index, Matrix<const float> x) {
  std::vector<float> now, next;
  for (size_t i = 1; i < chain.size(); ++i) {
    chain[i]->train(x);
    next.resize(x.rows * chain[i]->d_out);
    chain[i]->apply(x, next.data());
    std::swap(now, next);
    x = {now.data(), x.rows, chain[i]->d_out};
  }
  if (index.takes_offset()) {  // which training does not look at
    next.assign(x.rows * index.d, 0);
    for (size_t i = 0; i < x.rows; ++i) std::copy_n(x.row(i), x.cols, &next[i * index.d]);
    x = {next.data(), x.rows, index.d};
  }
  index.train(as_rows(x));
}

// An inner product, or a distance negated: larger is nearer.
float nearness(Metric metric, const float* q, const float* x, size_t d) {
  if (metric == Metric::inner_product) return ordered_dot(q, x, d);
  float distance;
  kernels::active().rows[kernels::l2_f32](q, reinterpret_cast<const std::byte*>(x), 0, nullptr, 1,
                                          d, &distance);
  return -distance;
}

// Of an index of the vectors.
Outcome outcome_of(const Index& index, const Judged& judged) {
  constexpr size_t kBatch = 32;
  const size_t d = index.d, n = index.ntotal(), k = judged.k;
  const Metric metric = index.metric_type;
  const Matrix<const float> queries = judged.queries.view(), vectors = judged.vectors.view();
  std::vector<float> distances(kBatch * n), told(n);
  std::vector<id_t> labels(kBatch * n);
  Outcome out;
  for (size_t at = 0; at < queries.rows; at += kBatch) {
    const size_t m = std::min(kBatch, queries.rows - at);
    index.search_exact(as_rows(queries.slice(at, at + m)), n, distances.data(), labels.data());
    for (size_t i = 0; i < m; ++i) {
      const float* q = queries.row(at + i);
      const float* exact = judged.distances.data() + (at + i) * k;
      const id_t* neighbours = judged.neighbours.data() + (at + i) * k;
      const float* found = distances.data() + i * n;
      const id_t* ids = labels.data() + i * n;
      const size_t wanted = std::min(kRecallAt, k);
      const auto vector = [&](id_t id) { return vectors.row(static_cast<size_t>(id)); };
      const float last = nearness(metric, q, vector(neighbours[wanted - 1]), d);
      const float least = last - 1e-6f * std::abs(last);
      size_t right = 0;  // as near as the last wanted one, whichever it is
      for (size_t j = 0; j < wanted; ++j)
        right += ids[j] >= 0 && nearness(metric, q, vector(ids[j]), d) >= least;
      std::fill(told.begin(), told.end(), 0.f);
      for (size_t j = 0; j < n; ++j)
        if (ids[j] >= 0) told[static_cast<size_t>(ids[j])] = found[j];
      double sum = 0;
      for (size_t j = 0; j < k; ++j) {
        const double e = double{exact[j]} - told[static_cast<size_t>(neighbours[j])];
        sum += e * e;
      }
      out.recall.push_back(static_cast<double>(right) / static_cast<double>(wanted));
      out.squares.push_back(sum / static_cast<double>(k));
    }
  }
  return out;
}

// Of the queries from their nearest vectors: what the errors of L2 distances are products with.
Owned differences(const Judged& learnt) {
  const size_t d = learnt.vectors.d, each = std::min(kDifferent, learnt.k);
  Owned out{std::vector<float>(learnt.queries.rows() * each * d), d};
  float* next = out.values.data();
  for (size_t i = 0; i < learnt.queries.rows(); ++i)
    for (size_t j = 0; j < each; ++j, next += d)
      for (size_t t = 0; t < d; ++t) next[t] = learnt.query(i)[t] - learnt.neighbour(i, j)[t];
  return out;
}

// Which products of queries and codes, that stand for `told`, would make L2 distances exact.
std::vector<float> products_for(const Judged& learnt, const std::vector<float>& told,
                                bool residual) {
  const size_t d = learnt.vectors.d;
  std::vector<float> out = learnt.distances;
  for (size_t i = 0; i < out.size(); ++i) {
    const float* q = learnt.query(i / learnt.k);
    const float* code = told.data() + static_cast<size_t>(learnt.neighbours[i]) * d;
    const float offset = IndexPreTransform::offset_of(learnt.neighbour(i / learnt.k, i % learnt.k),
                                                      code, d, residual);
    out[i] = (ordered_dot(q, q, d) + offset - out[i]) / 2;
  }
  return out;
}

// Fits the queries' side to the codes of `index`, which `transform` stands before and which holds
// the vectors; whether those can be told.
bool fit(QueryAwareTransform& transform, const IndexPreTransform& index, const Judged& learnt,
         Objective objective) {
  const size_t n = learnt.vectors.rows(), d = learnt.vectors.d;
  std::vector<float> told(n * d), codes(n * d);
  std::vector<id_t> ids(n);
  std::iota(ids.begin(), ids.end(), id_t{0});
  try {
    index.reconstruct_batch(ids.data(), n, told.data());
  } catch (const UnsupportedError&) {
    return false;
  }
  transform.apply({told.data(), n, d}, codes.data());
  // What neighbours share changes no recall; a little of it keeps scores near.
  const double level = objective == Objective::recall ? 0.05 : 1;
  const std::vector<float> products = index.metric_type == Metric::l2
                                          ? products_for(learnt, told, transform.residual)
                                          : learnt.distances;
  transform.fit(learnt.queries.view(), learnt.k, learnt.neighbours.data(), products.data(),
                {codes.data(), n, d}, level);
  return true;
}

class Trials {
 public:
  Trials(const IndexPreTransform& whole, Matrix<const float> x, Matrix<const float> queries,
         Objective objective)
      : whole_(whole),
        objective_(objective),
        vectors_(sample_of(x, kMostVectors)),
        queries_(queries),
        learnt_(vectors_, queries_.learnt, whole.metric_type),
        held_(vectors_, queries_.held, whole.metric_type),
        roots_(whole.metric_type == Metric::l2 ? differences(learnt_).view()
                                               : queries_.learnt.view()) {}

  void run(QueryAwareTransform& chosen) {
    for (const double exponent : kExponents) try_exponent(exponent);
    const size_t best = choose();
    {
      const std::lock_guard hold(chosen.lock());
      chosen.trials = trials_;
      chosen.chosen = best;
      chosen.objective = objective_;
      chosen.residual = trials_[best].residual;
      chosen.sizes = {vectors_.rows(), queries_.learnt.rows(), queries_.held.rows()};
    }
    chosen.set_exponent(roots_, trials_[best].exponent);
  }

  const Owned& queries() const { return queries_.learnt; }

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
  void try_exponent(double exponent) {
    const auto copy = std::dynamic_pointer_cast<IndexPreTransform>(clone_index(whole_));
    const Chain chain = copy->chain();
    auto& transform = dynamic_cast<QueryAwareTransform&>(*chain.front());
    transform.set_exponent(roots_, exponent);
    for (const auto& part : chain)
      if (auto* opq = dynamic_cast<OPQMatrix*>(part.get())) {
        opq->niter = std::min(opq->niter, kMostTurns);
        opq->niter_pq_0 = std::min(opq->niter_pq_0, kMostTurns);
      }
    std::vector<float> y(vectors_.values.size());
    transform.apply(vectors_.view(), y.data());
    train_behind(chain, *copy->index, {y.data(), vectors_.rows(), vectors_.d});
    for (const bool residual : {false, true}) {
      if (residual && !copy->index->takes_offset()) break;
      transform.set_exponent(roots_, exponent);  // without what was fitted
      transform.residual = residual;
      copy->reset();
      copy->add(as_rows(vectors_.view()));
      note(transform, exponent, false, outcome_of(*copy, held_));
      if (fit(transform, *copy, learnt_, objective_))
        note(transform, exponent, true, outcome_of(*copy, held_));
    }
  }

  void note(const QueryAwareTransform& transform, double exponent, bool fitted, Outcome outcome) {
    trials_.push_back({static_cast<float>(exponent), fitted, transform.residual,
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

  const IndexPreTransform& whole_;
  const Objective objective_;
  const Owned vectors_;
  const Split queries_;
  const Judged learnt_, held_;
  const QueryAwareTransform::Roots roots_;
  std::vector<Trial> trials_;
  std::vector<Outcome> outcomes_;
};

}  // namespace

void train_query_aware(const Chain& chain, const std::shared_ptr<Index>& index,
                       Matrix<const float> x, Matrix<const float> queries, Objective objective) {
  auto& transform = dynamic_cast<QueryAwareTransform&>(*chain.front());
  if (index->metric_type == Metric::l2 && !index->takes_offset())
    throw UnsupportedError(text("behind a QueryAwareTransform an ", index->class_name(),
                                " of L2 distances would compare what is not alike; use an IndexPQ "
                                "with an offset (index_factory: \"QA,PQ...\"), or "
                                "METRIC_INNER_PRODUCT, which orders vectors of unit length alike"));
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
  const IndexPreTransform whole(index, chain);
  Trials trials(whole, x, queries, objective);
  trials.run(transform);
  std::vector<float> y(x.rows * x.cols);
  transform.apply(x, y.data());
  train_behind(chain, *index, {y.data(), x.rows, x.cols});
  if (!transform.trials[transform.chosen].fitted) return;
  const Judged learnt(sample_of(x, kMostFitted), trials.queries(), whole.metric_type);
  const auto copy = std::dynamic_pointer_cast<IndexPreTransform>(clone_index(whole));
  copy->add(as_rows(learnt.vectors.view()));
  fit(transform, *copy, learnt, objective);
}

}  // namespace shortlist
