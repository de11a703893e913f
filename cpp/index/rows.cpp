#include "index/rows.h"

#include <algorithm>
#include <cfloat>

#include "base/error.h"

namespace shortlist {
namespace {

constexpr size_t kMaxRows = kNoSlot;  // slots are 32 bits wide

std::shared_ptr<const SelectedSlots> chosen(const SearchParameters* params, size_t n) {
  return params && params->sel ? params->sel->among({.slots = n}) : nullptr;
}

}  // namespace

void IndexRows::check_fits(size_t n) const {
  if (n > kMaxRows - ntotal())
    throw ArgumentError(text("one index holds at most ", kMaxRows, " vectors; it has ", ntotal(),
                             " and ", n, " more were added: split the data over several indexes"));
}

void IndexRows::check_empty() const {
  if (ntotal())
    throw ArgumentError(text("training now would change what the ", ntotal(),
                             " stored codes mean; train before add, or call reset() first"));
}

void IndexRows::do_expect(const Rows& x, const id_t*) {
  check_fits(x.n);
  make_room(x.n);
}

void IndexRows::write(const Hits& hits, size_t k, float* distances, id_t* labels) const {
  for (size_t i = 0; i < hits.size(); ++i)
    write_hits(*this, hits[i], k, nullptr, distances + i * k, labels + i * k);
}

void IndexRows::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                          const SearchParameters* params) const {
  const auto allowed = chosen(params, ntotal());
  Hits hits(x.n);
  nearest(x, k, allowed.get(), params, hits);
  write(hits, k, distances, labels);
}

void IndexRows::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  do_search(x, k, distances, labels, nullptr);
}

RangeResult IndexRows::do_range_search(const Rows& x, float radius,
                                       const SearchParameters* params) const {
  const auto allowed = chosen(params, ntotal());
  Hits hits(x.n);
  within(x, outward(radius), allowed.get(), params, hits);
  return gather_ranges(*this, hits.data(), x.n, nullptr);
}

void IndexRows::do_reconstruct(id_t id, float* out) const {
  if (id < 0 || static_cast<size_t>(id) >= ntotal())
    throw IdError(text("id ", id, " is not in this ", class_name(),
                       "; its ids are 0 to ntotal - 1 = ", static_cast<id_t>(ntotal()) - 1));
  row(static_cast<size_t>(id), out);
}

void write_hits(const Index& index, const std::vector<hit_t>& hits, size_t k, const id_t* ids,
                float* distances, id_t* labels) {
  for (size_t i = 0; i < hits.size(); ++i) {
    distances[i] = index.outward(distance_of(hits[i]));
    labels[i] = ids ? ids[slot_of(hits[i])] : static_cast<id_t>(slot_of(hits[i]));
  }
  std::fill(distances + hits.size(), distances + k, index.outward(FLT_MAX));
  std::fill(labels + hits.size(), labels + k, kNoId);
}

RangeResult gather_ranges(const Index& index, const std::vector<hit_t>* hits, size_t n,
                          const id_t* ids) {
  RangeResult out;
  out.lims.resize(n + 1);
  for (size_t i = 0; i < n; ++i) out.lims[i + 1] = out.lims[i] + hits[i].size();
  out.distances.resize(out.lims[n]);
  out.labels.resize(out.lims[n]);
  for (size_t i = 0; i < n; ++i)
    write_hits(index, hits[i], hits[i].size(), ids, out.distances.data() + out.lims[i],
               out.labels.data() + out.lims[i]);
  return out;
}

}  // namespace shortlist
