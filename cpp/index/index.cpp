#include "index/index.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>

#include "base/error.h"
#include "codec/codec.h"

namespace shortlist {

std::shared_ptr<SearchParameters> inner_parameters(const SearchParameters* own,
                                                   const SearchParameters::SelectorPtr& outer) {
  auto inner =
      own ? own->copy([](const auto& sel) { return sel; }) : std::make_shared<SearchParameters>();
  if (outer)
    inner->sel = inner->sel
                     ? std::make_shared<SelectorPair>(SelectorPair::Op::both, outer, inner->sel)
                     : outer;
  return inner;
}

Index::Index(size_t d, Metric metric) : d(d), metric_type(metric) {
  if (d < 1 || d > kMaxDimension)
    throw DimensionError(
        text("dimension d = ", d, " is out of range; choose 1 to ", kMaxDimension));
}

void Index::check_dimension(const Rows& x) const {
  if (x.d != d)
    throw DimensionError(text("the vectors have ", x.d, " dimensions but this ", class_name(),
                              " has d = ", d, "; pass an array of shape (n, ", d, ")"));
}

void Index::check_width(size_t width) const {
  if (width && width != d)
    throw DimensionError(text("vectors of ", width, " dimensions were expected of this ",
                              class_name(), ", but it has got d = ", d,
                              " since; put transforms before it while nothing else uses it"));
}

void Index::check_trained(const char* verb) const {
  if (!is_trained())
    throw NotTrainedError(text("this ", class_name(), " must be trained before it can ", verb,
                               "; call train(x) with a sample of the vectors"));
}

void Index::unsupported(const char* what, const char* fix) const {
  throw UnsupportedError(text(class_name(), " does not offer ", what, "; ", fix));
}

void Index::train(const Rows& x) {
  check_dimension(x);
  check_finite(x, "train on");
  const std::lock_guard hold(lock_);
  do_train(x);
}

void Index::train_for(const Rows& x, const Rows& queries, std::optional<Objective> objective) {
  check_dimension(x);
  check_finite(x, "train on");
  const std::lock_guard hold(lock_);
  do_train_for(x, queries, objective);
}

void Index::add(const Rows& x, const AddOptions& options) {
  check_dimension(x);
  if (!options.allow_nan) check_finite(x, "add");
  const std::lock_guard hold(lock_);
  check_trained("add vectors");
  if (!x.n) return;
  do_expect(x, nullptr);
  in_turns(x, options, [&](const Rows& part, size_t, const AddOptions& o) { do_add(part, o); });
}

void Index::add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) {
  check_dimension(x);
  if (!options.allow_nan) check_finite(x, "add");
  const std::lock_guard hold(lock_);
  check_trained("add vectors");
  if (!x.n) return;
  do_expect(x, ids);
  in_turns(x, options, [&](const Rows& part, size_t at, const AddOptions& o) {
    do_add_with_ids(part, ids + at, o);
  });
}

void Index::in_turns(const Rows& x, const AddOptions& options, const Store& store) {
  size_t at = 0;
  AddOptions within = options;
  if (options.progress)
    within.progress = [&](size_t done, size_t) { options.progress(at + done, x.n); };
  for (const size_t rows = rows_in_turn(); at < x.n; at += rows) {
    if (at) lock_.pause();
    store(x.slice(at, std::min(x.n, at + rows)), at, within);
  }
  settle();
}

void Index::settle() {
  while (do_settle()) lock_.pause();
}

void Index::check_search(const Rows& x, size_t k) const {
  check_dimension(x);
  if (k == 0) throw ArgumentError("k = 0 neighbours were asked for; k must be at least 1");
}

void Index::search(const Rows& x, size_t k, float* distances, id_t* labels,
                   const SearchParameters* params) const {
  check_search(x, k);
  const std::shared_lock hold(lock_);
  check_trained("search");
  if (x.n) do_search(x, k, distances, labels, params);
}

void Index::search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  check_search(x, k);
  const std::shared_lock hold(lock_);
  check_trained("search");
  if (x.n) do_search_exact(x, k, distances, labels);
}

RangeResult Index::range_search(const Rows& x, float radius, const SearchParameters* params) const {
  check_dimension(x);
  if (std::isnan(radius)) throw ArgumentError("the radius is NaN; pass a number");
  const std::shared_lock hold(lock_);
  check_trained("search");
  return do_range_search(x, radius, params);
}

size_t Index::remove_ids(const Selector& sel) {
  const std::lock_guard hold(lock_);
  const size_t removed = do_remove(sel);
  settle();
  return removed;
}

void Index::reset() {
  const std::lock_guard hold(lock_);
  do_reset();
}

void Index::reconstruct_batch(const id_t* ids, size_t n, float* out, size_t width) const {
  const std::shared_lock hold(lock_);
  check_width(width);
  do_reconstruct_batch(ids, n, out);
}

void Index::do_reconstruct_batch(const id_t* ids, size_t n, float* out) const {
  for (size_t i = 0; i < n; ++i) do_reconstruct(ids[i], out + i * d);
}

void Index::check_compatible_for_merge(const Index& other) const {
  if (other.d != d)
    throw DimensionError(
        text("cannot merge an index with d = ", other.d, " into one with d = ", d));
  if (other.metric_type != metric_type)
    throw ArgumentError(text("cannot merge a ", name_of(other.metric_type), " index into a ",
                             name_of(metric_type), " one"));
  if (other.class_name() != class_name())
    throw ArgumentError(text("cannot merge a ", other.class_name(), " into a ", class_name(),
                             "; both must be of one class"));
}

void Index::merge_from(Index& other, id_t add_id) {
  if (&other == this) throw ArgumentError("cannot merge an index into itself");
  check_compatible_for_merge(other);
  // Locked by address, so that two merges in opposite directions cannot wait for each other.
  RwLock& first = &lock_ < &other.lock_ ? lock_ : other.lock_;
  RwLock& second = &lock_ < &other.lock_ ? other.lock_ : lock_;
  const std::lock_guard hold_first(first);
  const std::lock_guard hold_second(second);
  do_merge(other, add_id);
  settle();
}

size_t Index::sa_code_size() const {
  unsupported("codes outside the index", "use IndexFlat or IndexScalarQuantizer");
}

void Index::sa_encode(const Rows& x, std::byte* codes) const {
  check_dimension(x);
  const std::shared_lock hold(lock_);
  check_trained("encode");
  do_sa_encode(x, codes);
}

void Index::sa_decode(const std::byte* codes, size_t n, float* x, size_t width) const {
  const std::shared_lock hold(lock_);
  check_width(width);
  check_trained("decode");
  do_sa_decode(codes, n, x);
}

void Index::do_train_for(const Rows&, const Rows&, std::optional<Objective>) {
  unsupported("training for queries",
              "put a QueryAwareTransform before it: index_factory(d, \"QA,...\")");
}
void Index::do_add_with_ids(const Rows&, const id_t*, const AddOptions&) {
  unsupported("add_with_ids", "wrap it: IndexIDMap2(index)");
}
RangeResult Index::do_range_search(const Rows&, float, const SearchParameters*) const {
  unsupported("range_search", "use search(x, k)");
}
size_t Index::do_remove(const Selector&) {
  unsupported("remove_ids", "build a new index without these vectors");
}
void Index::do_merge(Index&, id_t) {
  unsupported("merge_from", "reconstruct the vectors and add them");
}
void Index::do_sa_encode(const Rows&, std::byte*) const { (void)sa_code_size(); }
void Index::do_sa_decode(const std::byte*, size_t, float*) const { (void)sa_code_size(); }

}  // namespace shortlist
