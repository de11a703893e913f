#include "index/versions.h"

#include <algorithm>
#include <optional>
#include <shared_mutex>

#include "base/error.h"

namespace shortlist {
namespace {

// Of `n` rows from `first` on.
std::optional<SelectedSlots> part_of(const SelectedSlots* all, size_t first, size_t n) {
  if (!all) return std::nullopt;
  Bitmap bits(n);
  for (size_t i = all->bits().next(first); i < first + n; i = all->bits().next(i + 1))
    bits.set(i - first);
  return std::optional<SelectedSlots>(std::in_place, std::move(bits));
}

float told(hit_t hit, const OddIntReading* reading) {
  return reading ? reading->compared(distance_of(hit)) : distance_of(hit);
}

std::vector<IndexSDCVersions::Older> with_centres(std::vector<IndexSDCVersions::Older> older,
                                                  const OddIntCodec& newest) {
  if (!newest.is_trained())
    throw NotTrainedError("the newest index has no centres; give it the encoder of its model");
  for (auto& part : older) {
    part.reading.centre = newest.centre;
    part.reading.query_centre = newest.query_centre;
  }
  return older;
}

}  // namespace

IndexSDCVersions::IndexSDCVersions(std::vector<Older> older, std::shared_ptr<IndexSDC> newest_)
    : IndexRows(newest_->d, newest_->metric_type),
      newest(std::move(newest_)),
      older_(with_centres(std::move(older), newest->codec())) {
  std::vector<const IndexSDC*> seen{newest.get()};
  for (const Older& part : older_) {
    if (std::find(seen.begin(), seen.end(), part.index.get()) != seen.end())
      throw ArgumentError("an index is given twice; each version needs one of its own");
    seen.push_back(part.index.get());
    part.reading.check(part.index->codec().m());
  }
  for (const IndexSDC* part : seen)
    if (part->metric_type != Metric::inner_product)
      throw UnsupportedError(
          "versions are compared by inner product; build the indexes with METRIC_INNER_PRODUCT");
  if (ntotal() > kNoSlot)
    throw ArgumentError(text("the versions hold ", ntotal(), " vectors together; one index holds ",
                             "at most ", kNoSlot));
}

template <class Visit>
void IndexSDCVersions::each_part(const Visit& visit) const {
  size_t first = 0;
  const auto one = [&](const IndexSDC& part, const OddIntReading* reading) {
    const std::shared_lock hold(part.lock());
    visit(part, reading, first);
    first += part.ntotal();
  };
  for (const Older& part : older_) one(*part.index, &part.reading);
  one(*newest, nullptr);
}

std::vector<int32_t> IndexSDCVersions::versions() const {
  const std::shared_lock hold(lock());
  std::vector<int32_t> out;
  int32_t version = 0;
  each_part([&](const IndexSDC& part, const OddIntReading*, size_t first) {
    out.resize(first + part.ntotal(), version++);
  });
  return out;
}

std::string IndexSDCVersions::summary() const {
  return text(older_.size() + 1, " versions, ", newest->summary());
}

size_t IndexSDCVersions::ntotal() const {
  size_t n = newest->ntotal();
  for (const Older& part : older_) n += part.index->ntotal();
  return n;
}

size_t IndexSDCVersions::memory() const {
  size_t bytes = newest->memory();
  for (const Older& part : older_) bytes += part.index->memory();
  return bytes;
}

void IndexSDCVersions::do_add(const Rows& x, const AddOptions& options) { newest->add(x, options); }

void IndexSDCVersions::do_reset() {
  for (const Older& part : older_) part.index->reset();
  newest->reset();
}

size_t IndexSDCVersions::do_remove(const Selector& sel) {
  const SelectedSlots gone(sel.slots({.slots = ntotal()}));
  size_t first = 0, removed = 0;
  const auto from = [&](IndexSDC& part) {
    const size_t n = part.ntotal();
    removed += part.remove_ids(*part_of(&gone, first, n));
    first += n;
  };
  for (const Older& part : older_) from(*part.index);
  from(*newest);
  return removed;
}

void IndexSDCVersions::nearest(const Rows& x, size_t k, const SelectedSlots* allowed, bool sure,
                               Hits& hits) const {
  std::vector<float> scratch;
  const Matrix<const float> queries{as_floats(x, scratch), x.n, x.d};
  k = std::min(k, ntotal());
  std::vector<TopK> tops;
  tops.reserve(x.n);
  for (size_t i = 0; i < x.n; ++i) tops.emplace_back(k);
  each_part([&](const IndexSDC& part, const OddIntReading* reading, size_t first) {
    const auto mine = part_of(allowed, first, part.ntotal());
    Hits found(x.n);
    part.blocks().search(queries,
                         {.coded = newest->sdc->symmetric, .sure = sure, .reading = reading}, k,
                         mine ? &*mine : nullptr, found.data());
    for (size_t i = 0; i < x.n; ++i)
      for (const hit_t hit : found[i])
        tops[i].push(told(hit, reading), static_cast<slot_t>(first + slot_of(hit)));
  });
  for (size_t i = 0; i < x.n; ++i) hits[i] = tops[i].finish();
}

void IndexSDCVersions::nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
                               const SearchParameters*, Hits& hits) const {
  nearest(x, k, allowed, false, hits);
}

void IndexSDCVersions::do_search_exact(const Rows& x, size_t k, float* distances,
                                       id_t* labels) const {
  Hits hits(x.n);
  nearest(x, k, nullptr, true, hits);
  write(hits, k, distances, labels);
}

void IndexSDCVersions::within(const Rows& x, float radius, const SelectedSlots* allowed,
                              const SearchParameters*, Hits& hits) const {
  std::vector<float> scratch;
  const Matrix<const float> queries{as_floats(x, scratch), x.n, x.d};
  each_part([&](const IndexSDC& part, const OddIntReading* reading, size_t first) {
    const auto mine = part_of(allowed, first, part.ntotal());
    Hits found(x.n);
    part.blocks().range_search(queries, {.coded = newest->sdc->symmetric, .reading = reading},
                               reading ? reading->own(radius) : radius, mine ? &*mine : nullptr,
                               found.data());
    for (size_t i = 0; i < x.n; ++i)
      for (const hit_t hit : found[i])
        hits[i].push_back(make_hit(told(hit, reading), static_cast<slot_t>(first + slot_of(hit))));
  });
}

void IndexSDCVersions::row(size_t i, float* out) const {
  each_part([&](const IndexSDC& part, const OddIntReading* reading, size_t first) {
    if (i < first || i - first >= part.ntotal()) return;
    std::vector<std::byte> code(part.codec().code_size());
    part.blocks().codes(i - first, 1, code.data());
    if (reading)
      reading->decode(part.codec(), code.data(), out);
    else
      part.codec().decode(code.data(), 1, out);
  });
}

void IndexSDCVersions::do_sa_encode(const Rows& x, std::byte* codes) const {
  newest->sa_encode(x, codes);
}
void IndexSDCVersions::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  newest->sa_decode(codes, n, x);
}

}  // namespace shortlist
