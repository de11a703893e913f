#include "index/wrap.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>

#include "base/error.h"

namespace shortlist {

IndexIDMap::IndexIDMap(std::shared_ptr<Index> index_)
    : Index(index_->d, index_->metric_type), index(std::move(index_)) {
  // Rows already there would have no id; faiss refuses them too.
  if (index->ntotal() != 0)
    throw ArgumentError(text("the index to wrap already holds ", index->ntotal(),
                             " vectors without ids; wrap it while it is empty"));
  index->reset();  // one that was emptied starts at row 0 again
}

IndexIDMap::IndexIDMap(std::shared_ptr<Index> index_, std::vector<id_t> id_map)
    : Index(index_->d, index_->metric_type), index(std::move(index_)), id_map_(std::move(id_map)) {}

size_t IndexIDMap::memory() const { return index->memory() + id_map_.capacity() * sizeof(id_t); }

void IndexIDMap::do_train(const Rows& x) { index->train(x); }

void IndexIDMap::do_train_for(const Rows& x, const Rows& queries,
                              std::optional<Objective> objective) {
  index->train_for(x, queries, objective);
}

void IndexIDMap::do_expect(const Rows& x, const id_t*) {
  check_rows();
  if (const size_t want = id_map_.size() + x.n; want > id_map_.capacity())
    id_map_.reserve(std::max(want, id_map_.size() * 3 / 2));
  const std::lock_guard hold(index->lock());
  index->do_expect(x, nullptr);
}

bool IndexIDMap::do_settle() {
  const std::lock_guard hold(index->lock());
  return index->do_settle();
}

void IndexIDMap::do_add(const Rows&, const AddOptions&) {
  throw UnsupportedError(
      text(class_name(), " needs an id for each vector; call add_with_ids(x, ids)"));
}

void IndexIDMap::do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) {
  const std::lock_guard hold(index->lock());
  check_rows();
  const auto name = [&] {
    const auto fresh = static_cast<size_t>(index->next_id()) - id_map_.size();
    id_map_.insert(id_map_.end(), ids, ids + fresh);
    renamed();
  };
  try {
    index->do_add(x, options);
  } catch (...) {
    name();  // what an interrupted add has stored
    throw;
  }
  name();
}

std::shared_ptr<const SelectedSlots> IndexIDMap::rows_of(const Selector& sel) const {
  return sel.among({.slots = id_map_.size(), .ids = id_map_.data(), .version = version_});
}

// The inner search's parameters, whose selectors see rows instead of the user's ids.
std::shared_ptr<SearchParameters> IndexIDMap::inward(const SearchParameters* params) const {
  if (!params) return nullptr;
  return params->copy([&](const SearchParameters::SelectorPtr& sel) { return rows_of(*sel); });
}

// The inner index can be reached, and changed, from outside.
void IndexIDMap::check_rows() const {
  if (index->next_id() != static_cast<id_t>(id_map_.size()))
    throw ArgumentError(text("the wrapped index has rows up to ", index->next_id(), " but ",
                             id_map_.size(), " ids are known; add and remove through the ",
                             class_name()));
}

void IndexIDMap::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                           const SearchParameters* params) const {
  check_rows();
  index->search(x, k, distances, labels, inward(params).get());
  name_results(labels, x.n * k);
}

void IndexIDMap::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  check_rows();
  index->search_exact(x, k, distances, labels);
  name_results(labels, x.n * k);
}

RangeResult IndexIDMap::do_range_search(const Rows& x, float radius,
                                        const SearchParameters* params) const {
  check_rows();
  RangeResult out = index->range_search(x, radius, inward(params).get());
  name_results(out.labels.data(), out.labels.size());
  return out;
}

void IndexIDMap::name_results(id_t* labels, size_t n) const {
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0) continue;
    if (static_cast<size_t>(labels[i]) >= id_map_.size())
      throw ArgumentError(text("the wrapped index returned row ", labels[i], " but only ",
                               id_map_.size(), " ids are known; add and remove through the ",
                               class_name()));
    labels[i] = id_map_[static_cast<size_t>(labels[i])];
  }
}

size_t IndexIDMap::do_remove(const Selector& sel) {
  check_rows();
  const auto gone = rows_of(sel);  // asked once: a callback may change its mind
  const std::lock_guard hold(index->lock());
  const size_t removed = index->do_remove(*gone);
  if (index->keeps_ids_on_remove()) {
    gone->bits().for_each([&](slot_t row) { id_map_[row] = kNoId; });
  } else {
    size_t kept = 0;
    for (size_t row = 0; row < id_map_.size(); ++row)
      if (!(*gone)[row]) id_map_[kept++] = id_map_[row];
    id_map_.resize(kept);
  }
  renamed();
  return removed;
}

void IndexIDMap::do_reset() {
  index->reset();
  id_map_.clear();
  renamed();
}

void IndexIDMap::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  index->check_compatible_for_merge(*dynamic_cast<const IndexIDMap&>(other).index);
}

void IndexIDMap::do_merge(Index& other, id_t add_id) {
  auto& from = dynamic_cast<IndexIDMap&>(other);
  check_rows();
  from.check_rows();
  if (index->keeps_ids_on_remove() || from.index->keeps_ids_on_remove())
    unsupported("merge_from over a graph", "add the other index's vectors with add_with_ids");
  index->merge_from(*from.index, 0);
  for (id_t id : from.id_map_) id_map_.push_back(id + add_id);
  from.id_map_.clear();
  from.renamed();
  renamed();
}

void IndexIDMap::do_sa_encode(const Rows& x, std::byte* codes) const { index->sa_encode(x, codes); }
void IndexIDMap::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  index->sa_decode(codes, n, x, d);
}

// An id given twice names the later vector, as in faiss.
std::shared_ptr<const IndexIDMap::Positions> IndexIDMap::positions() const {
  const std::lock_guard hold(positions_lock_);
  if (!positions_) {
    auto fresh = std::make_shared<Positions>();
    fresh->reserve(id_map_.size());
    for (size_t i = 0; i < id_map_.size(); ++i)
      if (id_map_[i] != kNoId) fresh->insert_or_assign(id_map_[i], static_cast<id_t>(i));
    positions_ = std::move(fresh);
  }
  return positions_;
}

void IndexIDMap::renamed() {
  version_ = next_version();
  const std::lock_guard hold(positions_lock_);
  positions_ = nullptr;
}

void IndexIDMap::do_reconstruct(id_t id, float* out) const {
  if (!finds_by_id())
    unsupported("reconstruct",
                text("use ", class_name(), "2, which can find a vector by its id").c_str());
  check_rows();
  const auto known = positions();
  const auto it = known->find(id);
  if (it == known->end())
    throw IdError(text("id ", id, " is not in this ", class_name(), " of ", ntotal(), " vectors"));
  index->reconstruct_batch(&it->second, 1, out, d);
}

IndexRefine::IndexRefine(std::shared_ptr<Index> base_index_,
                         std::shared_ptr<IndexFlatCodes> refine_index_)
    : Index(base_index_->d, base_index_->metric_type),
      base_index(std::move(base_index_)),
      refine_index(std::move(refine_index_)) {
  if (refine_index->d != d || refine_index->metric_type != metric_type)
    throw DimensionError(text("the refining index has d = ", refine_index->d, " and metric ",
                              name_of(refine_index->metric_type), "; the base has d = ", d, " and ",
                              name_of(metric_type), ": both must agree"));
  if (base_index.get() == refine_index.get())
    throw ArgumentError(
        "base_index and refine_index are the same index; the refining one needs its own, more "
        "precise codes");
  if (refine_index->ntotal() != base_index->ntotal())
    throw ArgumentError(text("the refining index holds ", refine_index->ntotal(),
                             " vectors but the base ", base_index->ntotal(),
                             "; they must hold the same ones"));
  if (base_index->ntotal() == 0) base_index->reset();  // one that was emptied starts at row 0 again
}

void IndexRefine::do_train(const Rows& x) {
  base_index->train(x);
  refine_index->train(x);
}

void IndexRefine::do_train_for(const Rows& x, const Rows& queries,
                               std::optional<Objective> objective) {
  base_index->train_for(x, queries, objective);
  refine_index->train(x);
}

void IndexRefine::do_expect(const Rows& x, const id_t*) {
  check_rows();
  for (Index* part : {static_cast<Index*>(refine_index.get()), base_index.get()}) {
    const std::lock_guard hold(part->lock());
    part->do_expect(x, nullptr);
  }
}

bool IndexRefine::do_settle() {
  const std::lock_guard hold(base_index->lock());
  return base_index->do_settle();
}

void IndexRefine::do_add(const Rows& x, const AddOptions& options) {
  check_rows();
  const size_t before = refine_index->ntotal();
  {
    Index& refine = *refine_index;
    const std::lock_guard hold(refine.lock());
    refine.do_add(x, {.allow_nan = options.allow_nan, .progress = {}});
  }
  try {
    const std::lock_guard hold(base_index->lock());
    base_index->do_add(x, options);
  } catch (...) {
    // Keep what an interrupted add has stored in the base, and no more.
    refine_index->remove_ids(SelectorRange(base_index->next_id(), static_cast<id_t>(before + x.n)));
    throw;
  }
}

// Both indexes can be reached, and changed, from outside.
slot_t IndexRefine::row_of(id_t id) const {
  if (static_cast<size_t>(id) >= refine_index->ntotal())
    throw ArgumentError(text("the base index returned row ", id, " but the refining index has ",
                             refine_index->ntotal(), " vectors; add through the ", class_name()));
  return static_cast<slot_t>(id);
}

void IndexRefine::check_rows() const {
  if (base_index->next_id() != refine_index->next_id())
    throw ArgumentError(text("the base index has rows up to ", base_index->next_id(),
                             " but the refining index up to ", refine_index->next_id(),
                             "; add through the ", class_name()));
}

// What the base is searched with: its own parameters, and the outer selector beside its own.
std::shared_ptr<const SearchParameters> IndexRefine::inward(const SearchParameters* params) const {
  const auto* own = dynamic_cast<const IndexRefineSearchParameters*>(params);
  if (!own) return params ? params->copy([](const auto& sel) { return sel; }) : nullptr;
  return inner_parameters(own->base_index_params.get(), own->sel);
}

void IndexRefine::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                            const SearchParameters* params) const {
  check_rows();
  const auto* own = dynamic_cast<const IndexRefineSearchParameters*>(params);
  const float factor = own ? own->k_factor : k_factor;
  if (!(factor >= 1) || factor > 1000)
    throw ArgumentError(text("k_factor = ", factor, "; it must be between 1 and 1000"));
  constexpr size_t kStep = 16;  // candidates between two looks at the margin
  const size_t wide = std::min(static_cast<size_t>(std::ceil(static_cast<float>(k) * factor)),
                               std::max(k, base_index->ntotal()));
  std::vector<float> found_distances(x.n * wide);
  std::vector<id_t> found(x.n * wide);
  base_index->search(x, wide, found_distances.data(), found.data(), inward(params).get());
  // Locked after the base: the base may be a graph over this very storage.
  const std::shared_lock hold(refine_index->lock());
  std::vector<float> scratch;
  const Matrix<const float> queries{as_floats(x, scratch), x.n, x.d};
  parallel_for(x.n, {.grain = 16}, [&](size_t begin, size_t end, size_t) {
    const auto computer = refine_index->vectors().computer();
    std::vector<slot_t> slots;
    for (size_t i = begin; i < end; ++i) {
      slots.clear();
      for (size_t j = 0; j < wide; ++j)
        if (const id_t id = found[i * wide + j]; id >= 0) slots.push_back(row_of(id));
      TopK top(k);
      computer->set_query(queries.row(i));
      const float margin = base_index->margin(queries.row(i));
      const size_t step = std::isfinite(margin) ? std::max(k, kStep) : slots.size();
      for (size_t at = 0; at < slots.size(); at += step) {  // nearest first by the base
        const size_t n = std::min(step, slots.size() - at);
        flat::scan(*computer, slots.data() + at, n, top);
        if (at + n == slots.size()) break;
        const auto& nearest = top.finish();
        if (nearest.size() == k &&
            outward(found_distances[i * wide + at + n]) - margin > distance_of(nearest[k - 1]))
          break;
      }
      write_hits(*this, top.finish(), k, nullptr, distances + i * k, labels + i * k);
    }
  });
}

void IndexRefine::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  check_rows();
  if (ntotal() != refine_index->ntotal())
    throw UnsupportedError(text("the base index has ", ntotal(), " vectors and the refining index ",
                                refine_index->ntotal(),
                                "; search_exact needs both to have the same"));
  refine_index->search(x, k, distances, labels);
}

RangeResult IndexRefine::do_range_search(const Rows& x, float radius,
                                         const SearchParameters* params) const {
  check_rows();
  const RangeResult found = base_index->range_search(x, radius, inward(params).get());
  const std::shared_lock hold(refine_index->lock());
  std::vector<float> scratch;
  const Matrix<const float> queries{as_floats(x, scratch), x.n, x.d};
  const auto computer = refine_index->vectors().computer();
  std::vector<std::vector<hit_t>> hits(x.n);
  for (size_t i = 0; i < x.n; ++i) {
    computer->set_query(queries.row(i));
    for (size_t at = found.lims[i]; at < found.lims[i + 1]; ++at) {
      const slot_t slot = row_of(found.labels[at]);
      float distance;
      computer->score(&slot, 1, &distance);
      if (distance < outward(radius)) hits[i].push_back(make_hit(distance, slot));
    }
  }
  return gather_ranges(*this, hits.data(), x.n, nullptr);
}

void IndexRefine::do_reset() {
  base_index->reset();
  refine_index->reset();
}

void IndexRefine::do_reconstruct(id_t id, float* out) const {
  refine_index->reconstruct_batch(&id, 1, out, d);
}
void IndexRefine::do_sa_encode(const Rows& x, std::byte* codes) const {
  refine_index->sa_encode(x, codes);
}
void IndexRefine::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  refine_index->sa_decode(codes, n, x, d);
}

IndexRefineFlat::IndexRefineFlat(std::shared_ptr<Index> base)
    : IndexRefine(base, std::make_shared<IndexFlat>(base->d, base->metric_type)) {}

}  // namespace shortlist
