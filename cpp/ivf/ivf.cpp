#include "ivf/ivf.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/error.h"

namespace shortlist {

using lists::kSlotStep;

Ivf::Ivf(size_t d, size_t nlist, std::shared_ptr<lists::Form> form_)
    : d(d), nlist(nlist), form(std::move(form_)), buckets_(nlist) {
  for (Bucket& b : buckets_) b.codes = form->list();
  changed();
}

size_t Ivf::memory() const {
  size_t sum = centroids_.capacity() * sizeof(float) + first_.capacity() * sizeof(size_t) +
               list_of_.capacity() * sizeof(slot_t);
  for (const Bucket& b : buckets_) sum += b.codes->memory() + b.ids.capacity() * sizeof(id_t);
  return sum;
}

std::vector<std::byte> Ivf::codes(size_t list) const {
  std::vector<std::byte> out(list_size(list) * form->code_size());
  buckets_[list].codes->codes(0, list_size(list), out.data());
  return out;
}

double Ivf::imbalance() const {
  double squares = 0;
  for (const Bucket& b : buckets_)
    squares += static_cast<double>(b.ids.size()) * static_cast<double>(b.ids.size());
  const auto n = static_cast<double>(size_);
  return size_ ? static_cast<double>(nlist) * squares / (n * n) : 1;
}

void Ivf::set_centroids(std::vector<float> centroids) {
  if (centroids.size() != nlist * d)
    throw ArgumentError(text("there are ", centroids.size(),
                             " values of centroids; nlist = ", nlist, " of them have ", nlist * d));
  centroids_ = std::move(centroids);
}

void Ivf::check_fits(size_t n) const {
  // Slots are 32 bits wide, and a list may waste some.
  const size_t most = kNoSlot - nlist * kSlotStep;
  if (n > most - size_)
    throw ArgumentError(text("an index of ", nlist, " lists holds at most ", most,
                             " vectors; it has ", size_, " and ", n,
                             " more were added: split the data over several indexes"));
}

void Ivf::changed() {
  first_.assign(nlist + 1, 0);
  size_ = 0;
  for (size_t l = 0; l < nlist; ++l) {
    const size_t n = list_size(l);
    size_ += n;
    first_[l + 1] = first_[l] + (n + kSlotStep - 1) / kSlotStep * kSlotStep;
  }
  list_of_.clear();
  for (size_t l = 0; l < nlist; ++l)
    list_of_.resize(first_[l + 1] / kSlotStep, static_cast<slot_t>(l));
  version_ = next_version();
  by_slot_ = nullptr;
  places_ = nullptr;
}

void Ivf::add(Matrix<const float> x, const slot_t* list, size_t copies, const id_t* ids,
              const ProgressFn& progress) {
  const size_t all = copies * x.rows;
  check_fits(all);
  // Rows by list: those of list l are order[begin[l]] to order[begin[l + 1]].
  std::vector<size_t> begin(nlist + 1), order(all);
  for (size_t i = 0; i < all; ++i)
    if (list[i] != kNoSlot) ++begin[list[i] + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<size_t> next(begin.begin(), begin.end() - 1), used;
  for (size_t i = 0; i < all; ++i)
    if (list[i] != kNoSlot) order[next[list[i]]++] = i % x.rows;
  for (size_t l = 0; l < nlist; ++l)
    if (begin[l + 1] > begin[l]) used.push_back(l);
  std::vector<Piece> pieces(used.size());
  parallel_for(used.size(), {.progress = progress ? &progress : nullptr},
               [&](size_t first, size_t last, size_t) {
                 std::vector<float> rows;
                 for (size_t u = first; u < last; ++u) {
                   const size_t l = used[u], n = begin[l + 1] - begin[l];
                   pieces[u] = {l, std::vector<std::byte>(n * form->code_size()), {}};
                   pieces[u].ids.reserve(n);
                   rows.resize(n * d);
                   for (size_t i = 0; i < n; ++i) {
                     const size_t from = order[begin[l] + i];
                     std::copy_n(x.row(from), d, &rows[i * d]);
                     pieces[u].ids.push_back(ids[from]);
                   }
                   form->encode({rows.data(), n, d}, centroid(l), pieces[u].codes.data());
                 }
               });
  append(pieces);
}

void Ivf::append(std::span<const Piece> pieces) {
  std::vector<size_t> sizes(nlist);
  for (size_t l = 0; l < nlist; ++l) sizes[l] = list_size(l);
  try {
    for (const Piece& piece : pieces)
      append(piece.list, piece.codes.data(), piece.ids.data(), piece.ids.size());
  } catch (...) {  // memory is out: all stays as it was
    for (size_t l = 0; l < nlist; ++l) {
      buckets_[l].ids.resize(std::min(sizes[l], list_size(l)));
      buckets_[l].codes->truncate(std::min(sizes[l], buckets_[l].codes->size()));
    }
    throw;
  }
  changed();
}

void Ivf::append(size_t list, const std::byte* codes, const id_t* ids, size_t n) {
  check_fits(n);
  buckets_[list].ids.insert(buckets_[list].ids.end(), ids, ids + n);
  buckets_[list].codes->append(codes, n);
}

size_t Ivf::remove(const Selector& sel) {
  const auto gone = selected(sel);
  const size_t before = size_, size = form->code_size();
  if (gone->count() == 0) return 0;
  for (size_t l = 0; l < nlist; ++l) {
    Bucket& bucket = buckets_[l];
    const size_t n = bucket.ids.size();
    size_t kept = 0;
    while (kept < n && !(*gone)[first_[l] + kept]) ++kept;
    if (kept == n) continue;
    const size_t from = kept / kSlotStep * kSlotStep;  // whole blocks stay as they are
    std::vector<std::byte> all((n - from) * size), stay;
    bucket.codes->codes(from, n - from, all.data());
    for (size_t i = from; i < n; ++i) {
      if ((*gone)[first_[l] + i]) continue;
      if (i >= kept) bucket.ids[kept++] = bucket.ids[i];
      const std::byte* code = all.data() + (i - from) * size;
      stay.insert(stay.end(), code, code + size);
    }
    bucket.ids.resize(kept);
    bucket.codes->truncate(from);
    bucket.codes->append(stay.data(), kept - from);
  }
  changed();
  return before - size_;
}

void Ivf::clear() {
  for (Bucket& b : buckets_) {
    b.ids = {};
    b.codes = form->list();
  }
  changed();
}

void Ivf::take(Ivf& other, id_t add_id) {
  check_fits(other.size_);
  for (size_t l = 0; l < nlist; ++l) {
    const Bucket& from = other.buckets_[l];
    if (from.ids.empty()) continue;
    const auto moved = other.codes(l);
    Bucket& to = buckets_[l];
    for (const id_t id : from.ids) to.ids.push_back(id + add_id);
    to.codes->append(moved.data(), from.ids.size());
  }
  changed();
  other.clear();
}

size_t Ivf::within(const slot_t* list, size_t n, size_t most) const {
  size_t seen = 0;
  for (size_t p = 0; p < n; ++p) {
    if (seen >= most) return p;
    if (list[p] != kNoSlot) seen += list_size(list[p]);
  }
  return n;
}

void Ivf::scan_list(lists::Scanner& scanner, slot_t l, float near, const SelectedSlots* allowed,
                    lists::Found& found) const {
  scanner.set_list(centroid(l), near);
  scanner.scan(*buckets_[l].codes, first_[l], allowed, found);
}

// The nearest list query by query, since what it holds tells how near the rest must be; then list
// by list, so that a list is read once for many queries.
void Ivf::scan(std::span<const Probes> queries, Scanners& scanners, const SelectedSlots* allowed,
               lists::Found* found) const {
  constexpr size_t kWorthSorting = 16;  // queries
  struct Pair {
    slot_t query;
    float near;
  };
  if (scanners.made.empty()) scanners.made.push_back(scanners.make());
  const bool one = scanners.made.front()->serves_any();
  while (!one && scanners.made.size() < queries.size()) scanners.made.push_back(scanners.make());
  const auto scanner = [&](size_t i) -> lists::Scanner& {
    if (one) scanners.made.front()->set_query(queries[i].q);
    return *scanners.made[one ? 0 : i];
  };
  const bool together = queries.size() >= kWorthSorting;
  std::vector<size_t> begin(together ? nlist + 1 : 0);
  const auto alone = [&](const Probes& q) { return together ? std::min<size_t>(q.n, 1) : q.n; };
  for (size_t i = 0; i < queries.size(); ++i) {
    const Probes& q = queries[i];
    poll_interrupt();
    if (!one) scanners.made[i]->set_query(q.q);
    scanner(i).set_probes(q.list, q.n, centroids_.data());
    const auto skipped = [&](size_t p) { return q.list[p] == kNoSlot || !list_size(q.list[p]); };
    for (size_t p = 0; p < alone(q); ++p) {
      if (const slot_t next = p + 1 < q.n ? q.list[p + 1] : kNoSlot; next != kNoSlot)
        buckets_[next].codes->prefetch();
      if (!skipped(p)) scan_list(scanner(i), q.list[p], q.near[p], allowed, found[i]);
    }
    for (size_t p = alone(q); p < q.n; ++p)
      if (!skipped(p)) ++begin[q.list[p] + 1];
  }
  if (!together) return;
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<size_t> next(begin.begin(), begin.end() - 1);
  std::vector<Pair> pairs(begin[nlist]);
  for (size_t i = 0; i < queries.size(); ++i) {
    const Probes& q = queries[i];
    for (size_t p = alone(q); p < q.n; ++p)
      if (q.list[p] != kNoSlot && list_size(q.list[p]))
        pairs[next[q.list[p]]++] = {static_cast<slot_t>(i), q.near[p]};
  }
  constexpr size_t kPollLists = 64;
  for (slot_t l = 0; l < nlist; ++l) {
    if (l % kPollLists == 0) poll_interrupt();
    for (size_t p = begin[l]; p < begin[l + 1]; ++p)
      scan_list(scanner(pairs[p].query), l, pairs[p].near, allowed, found[pairs[p].query]);
  }
}

std::shared_ptr<const std::vector<id_t>> Ivf::ids_by_slot() const {
  const std::lock_guard hold(made_lock_);
  if (!by_slot_) {
    auto fresh = std::make_shared<std::vector<id_t>>(first_[nlist], kNoId);
    for (size_t l = 0; l < nlist; ++l)
      std::copy(buckets_[l].ids.begin(), buckets_[l].ids.end(),
                fresh->begin() + static_cast<ptrdiff_t>(first_[l]));
    by_slot_ = std::move(fresh);
  }
  return by_slot_;
}

std::shared_ptr<const SelectedSlots> Ivf::selected(const Selector& sel) const {
  const auto ids = ids_by_slot();
  return sel.among({.slots = ids->size(), .ids = ids->data(), .version = version_});
}

id_t Ivf::id_at(slot_t slot) const {
  const auto [l, at] = place_of(slot);
  return buckets_[l].ids[at];
}

void Ivf::decode(Place place, std::span<std::byte> code, float* out) const {
  buckets_[place.list].codes->codes(place.at, 1, code.data());
  form->decode(code.data(), 1, centroid(place.list), out);
}

void Ivf::decode(std::span<const slot_t> slots, float* out) const {
  std::vector<std::byte> code(form->code_size());
  for (size_t i = 0; i < slots.size(); ++i) decode(place_of(slots[i]), code, out + i * d);
}

std::shared_ptr<const Ivf::Places> Ivf::places() const {
  const std::lock_guard hold(made_lock_);
  if (!places_) {
    auto fresh = std::make_shared<Places>();
    fresh->reserve(size_);
    for (size_t l = 0; l < nlist; ++l)
      for (size_t i = 0; i < list_size(l); ++i)
        fresh->insert_or_assign(buckets_[l].ids[i],
                                Place{static_cast<slot_t>(l), static_cast<slot_t>(i)});
    places_ = std::move(fresh);
  }
  return places_;
}

void Ivf::reconstruct(id_t id, float* out) const {
  const auto all = places();
  const auto found = all->find(id);
  if (found == all->end())
    throw IdError(text("id ", id, " is not in this index of ", size_, " vectors"));
  std::vector<std::byte> code(form->code_size());
  decode(found->second, code, out);
}

}  // namespace shortlist
