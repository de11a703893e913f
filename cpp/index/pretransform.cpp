#include "index/pretransform.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>

#include "base/error.h"
#include "index/query_aware.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using Chain = IndexPreTransform::Chain;

void check_fits(const VectorTransform& transform, size_t wanted, const char* what) {
  if (transform.d_out != wanted)
    throw DimensionError(text("a ", transform.class_name(), " from ", transform.d_in, " to ",
                              transform.d_out, " dimensions does not fit before ", what,
                              " that takes ", wanted, "; its d_out must be ", wanted));
}

std::vector<float> through(const Chain& chain, Matrix<const float> x, bool queries) {
  std::vector<float> now, next;
  for (const auto& transform : chain) {
    next.resize(x.rows * transform->d_out);
    queries ? transform->apply_queries(x, next.data()) : transform->apply(x, next.data());
    std::swap(now, next);
    x = {now.data(), x.rows, transform->d_out};
  }
  return now;
}

bool adds_residual(const Chain& chain) {
  const auto* aware =
      chain.empty() ? nullptr : dynamic_cast<const QueryAwareTransform*>(chain.front().get());
  if (!aware) return false;
  const std::shared_lock hold(aware->lock());
  return aware->residual;
}

// The parameters may be the inner index's own, as in faiss.
std::shared_ptr<SearchParameters> inward(const SearchParameters* params) {
  if (!params) return nullptr;
  const auto* own = dynamic_cast<const SearchParametersPreTransform*>(params);
  return own ? inner_parameters(own->index_params.get(), own->sel)
             : inner_parameters(params, nullptr);
}

}  // namespace

IndexPreTransform::IndexPreTransform(std::shared_ptr<Index> index_, Chain chain)
    : Index(index_->d, index_->metric_type), index(std::move(index_)), chain_(std::move(chain)) {
  d = d_behind();
  for (auto it = chain_.rbegin(); it != chain_.rend(); ++it) {
    check_fits(**it, d, it == chain_.rbegin() ? "an index" : "a transform");
    d = (*it)->d_in;
  }
}

Chain IndexPreTransform::chain() const {
  const std::shared_lock hold(chain_lock_);
  return chain_;
}

void IndexPreTransform::prepend_transform(std::shared_ptr<VectorTransform> transform) {
  const std::lock_guard hold(lock());
  check_fits(*transform, d, "an index");
  const size_t before = transform->d_in;
  {
    const std::lock_guard hold_chain(chain_lock_);
    chain_.insert(chain_.begin(), std::move(transform));
  }
  d = before;
}

std::string IndexPreTransform::summary() const {
  std::string out;
  for (const auto& t : chain()) out += text(t->class_name(), " ", t->d_in, " to ", t->d_out, ", ");
  return out + index->class_name() + ": " + index->summary();
}

bool IndexPreTransform::is_trained() const {
  const Chain parts = chain();
  return std::all_of(parts.begin(), parts.end(), [](const auto& t) { return t->is_trained(); }) &&
         index->is_trained();
}

size_t IndexPreTransform::memory() const {
  size_t sum = index->memory();
  for (const auto& t : chain()) sum += t->memory();
  return sum;
}

IndexPreTransform::Transformed IndexPreTransform::transformed(const Rows& x, bool queries) const {
  const Chain parts = chain();
  if (x.d != (parts.empty() ? d_behind() : parts.front()->d_in))
    check_dimension(x);  // d has changed since the caller looked
  Transformed out;
  if (parts.empty() && !index->takes_offset()) {
    out.rows = x;
    return out;
  }
  std::vector<float> scratch;
  const float* floats = as_floats(x, scratch);
  out.own = through(parts, {floats, x.n, x.d}, queries);
  if (index->takes_offset()) {
    std::vector<float> wider(x.n * index->d);  // vectors' offsets stay 0
    const float* y = parts.empty() ? floats : out.own.data();
    for (size_t i = 0; i < x.n; ++i) {
      float* row = wider.data() + i * index->d;
      std::copy_n(y + i * d_behind(), d_behind(), row);
      if (queries) row[d_behind()] = ordered_dot(floats + i * x.d, floats + i * x.d, x.d);
    }
    out.own = std::move(wider);
  }
  out.rows = as_rows({out.own.data(), x.n, index->d});
  return out;
}

float IndexPreTransform::offset_of(const float* x, const float* y, size_t d, bool residual) {
  double sum = 0;
  for (size_t j = 0; j < d; ++j) {
    const double off = double{x[j]} - y[j];
    sum += double{y[j]} * y[j] + (residual ? off * off : 0);
  }
  return static_cast<float>(sum);
}

IndexPreTransform::Transformed IndexPreTransform::with_offsets(const Rows& x) const {
  constexpr size_t kRows = 4096;
  Transformed out = transformed(x);
  if (!index->takes_offset()) return out;
  const bool residual = adds_residual(chain());
  const size_t most = std::min(x.n, kRows);
  std::vector<float> scratch, y(most * index->d);
  const float* floats = as_floats(x, scratch);
  std::vector<std::byte> codes(most * index->sa_code_size());
  for (size_t at = 0; at < x.n; at += kRows) {
    const size_t n = std::min(kRows, x.n - at);
    index->sa_encode(out.rows.slice(at, at + n), codes.data());
    index->sa_decode(codes.data(), n, y.data(), index->d);
    const std::vector<float> told = reverse_chain({y.data(), n, index->d});
    for (size_t i = 0; i < n; ++i) {
      const float* row = floats + (at + i) * x.d;
      const float* code = told.data() + i * x.d;
      out.own[(at + i + 1) * index->d - 1] = offset_of(row, code, x.d, residual);
    }
  }
  return out;
}

std::vector<float> IndexPreTransform::apply_chain(const Rows& x) const {
  check_dimension(x);
  const std::shared_lock hold(lock());
  Transformed out = with_offsets(x);
  if (out.own.empty() && x.n) {
    std::vector<float> scratch;
    const float* floats = as_floats(x, scratch);
    out.own.assign(floats, floats + x.n * x.d);
  }
  return std::move(out.own);
}

std::vector<float> IndexPreTransform::reverse_chain(Matrix<const float> y) const {
  if (y.cols != index->d)
    throw DimensionError(text("the vectors have ", y.cols,
                              " dimensions but behind the transforms "
                              "they have ",
                              index->d));
  Chain parts = chain();
  std::reverse(parts.begin(), parts.end());
  std::vector<float> now(y.rows * d_behind()), next;
  for (size_t i = 0; i < y.rows; ++i)
    std::copy_n(y.row(i), d_behind(), now.data() + i * d_behind());
  for (const auto& transform : parts) {
    next.resize(y.rows * transform->d_in);
    transform->reverse_transform({now.data(), y.rows, transform->d_out}, next.data());
    std::swap(now, next);
  }
  return now;
}

// As in faiss what is trained stays, and what comes behind the last untrained part sees nothing.
void IndexPreTransform::do_train(const Rows& x) {
  const Chain parts = chain();
  const bool whole = parts.empty() || !index->is_trained();
  size_t last = parts.size();
  if (!whole)
    while (last > 0 && parts[last - 1]->is_trained()) --last;
  std::vector<float> scratch, now, next;
  Matrix<const float> y{as_floats(x, scratch), x.n, x.d};
  for (size_t i = 0; i < last; ++i) {
    if (y.cols != parts[i]->d_in) check_dimension(x);
    if (!parts[i]->is_trained()) parts[i]->train(y);
    if (i + 1 == last && !whole) return;
    next.resize(y.rows * parts[i]->d_out);
    parts[i]->apply(y, next.data());
    std::swap(now, next);
    y = {now.data(), y.rows, parts[i]->d_out};
  }
  if (!whole) return;
  if (index->takes_offset())
    index->train(transformed(x).rows);
  else
    index->train(parts.empty() ? x : as_rows(y));
}

void IndexPreTransform::do_train_for(const Rows& x, const Rows& queries,
                                     std::optional<Objective> objective) {
  const Chain parts = chain();
  const auto* first =
      parts.empty() ? nullptr : dynamic_cast<QueryAwareTransform*>(parts.front().get());
  if (!first) return Index::do_train_for(x, queries, objective);
  std::vector<float> scratch, scratch_queries;
  train_query_aware(parts, index, {as_floats(x, scratch), x.n, x.d},
                    {as_floats(queries, scratch_queries), queries.n, queries.d},
                    objective.value_or(first->objective));
}

void IndexPreTransform::do_expect(const Rows& x, const id_t* ids) {
  const Transformed y = transformed(x);
  const std::lock_guard hold(index->lock());
  index->do_expect(y.rows, ids);
}

void IndexPreTransform::do_add(const Rows& x, const AddOptions& options) {
  const Transformed y = with_offsets(x);
  if (!options.allow_nan) check_finite(y.rows, "add transformed");
  const std::lock_guard hold(index->lock());
  index->do_add(y.rows, options);
}

void IndexPreTransform::do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) {
  const Transformed y = with_offsets(x);
  if (!options.allow_nan) check_finite(y.rows, "add transformed");
  const std::lock_guard hold(index->lock());
  index->do_add_with_ids(y.rows, ids, options);
}

bool IndexPreTransform::do_settle() {
  const std::lock_guard hold(index->lock());
  return index->do_settle();
}

void IndexPreTransform::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                                  const SearchParameters* params) const {
  index->search(transformed(x, true).rows, k, distances, labels, inward(params).get());
}

void IndexPreTransform::do_search_exact(const Rows& x, size_t k, float* distances,
                                        id_t* labels) const {
  index->search_exact(transformed(x, true).rows, k, distances, labels);
}

RangeResult IndexPreTransform::do_range_search(const Rows& x, float radius,
                                               const SearchParameters* params) const {
  return index->range_search(transformed(x, true).rows, radius, inward(params).get());
}

size_t IndexPreTransform::do_remove(const Selector& sel) {
  const std::lock_guard hold(index->lock());
  return index->do_remove(sel);
}

void IndexPreTransform::do_reconstruct(id_t id, float* out) const {
  std::vector<float> y(index->d);
  index->reconstruct_batch(&id, 1, y.data(), y.size());
  const std::vector<float> x = reverse_chain({y.data(), 1, y.size()});
  std::copy(x.begin(), x.end(), out);
}

void IndexPreTransform::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  const auto& that = dynamic_cast<const IndexPreTransform&>(other);
  const Chain mine = chain(), theirs = that.chain();
  if (!std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end(),
                  [](const auto& a, const auto& b) { return a->same_as(*b); }))
    throw ArgumentError(
        "the transforms of the two indexes differ, so that their vectors mean different things; "
        "train one, and copy it (clone_index) for the other");
  index->check_compatible_for_merge(*that.index);
}

void IndexPreTransform::do_merge(Index& other, id_t add_id) {
  index->merge_from(*dynamic_cast<IndexPreTransform&>(other).index, add_id);
}

void IndexPreTransform::do_sa_encode(const Rows& x, std::byte* codes) const {
  index->sa_encode(with_offsets(x).rows, codes);
}

void IndexPreTransform::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  std::vector<float> y(n * index->d);
  index->sa_decode(codes, n, y.data(), index->d);
  const std::vector<float> back = reverse_chain({y.data(), n, index->d});
  std::copy(back.begin(), back.end(), x);
}

}  // namespace shortlist
