#include "index/hnsw.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <shared_mutex>

#include "base/error.h"

namespace shortlist {
namespace {

constexpr id_t kMaxId = std::numeric_limits<id_t>::max() - 1;  // the next one must exist

size_t search_width(const Hnsw& graph, const SearchParameters* params) {
  const auto* own = dynamic_cast<const SearchParametersHNSW*>(params);
  const int ef = own ? own->efSearch : graph.efSearch.load();
  if (ef < 1)
    throw ArgumentError(text("efSearch = ", ef, "; it must be at least 1 (16 to 512 is usual)"));
  return static_cast<size_t>(ef);
}

}  // namespace

IndexHNSW::IndexHNSW(std::shared_ptr<IndexFlatCodes> storage_, size_t M)
    : Index(storage_->d, storage_->metric_type),
      hnsw(std::make_shared<Hnsw>(M)),
      storage(std::move(storage_)),
      int8_traversal_(codes_gain(*storage)),
      building_(d) {
  if (storage->takes_offset())
    throw UnsupportedError(
        "a graph compares vectors with each other, which codes with offsets cannot be; use an "
        "IndexPQ alone");
}

bool IndexHNSW::codes_gain(const IndexFlatCodes& storage) {
  return dynamic_cast<const FlatCodec*>(&storage.codec()) != nullptr;
}

std::string IndexHNSW::summary() const {
  return text("M=", hnsw->M(), ", efConstruction=", hnsw->efConstruction.load(),
              ", efSearch=", hnsw->efSearch.load(), ", ", storage->summary(),
              walks_codes() ? " walked as int8" : "");
}

size_t IndexHNSW::memory() const {
  return hnsw->memory() + storage->memory() + codes_.memory() + building_.memory() +
         names_.ids.capacity() * sizeof(id_t) +
         names_.slot_of.size() * (sizeof(std::pair<id_t, slot_t>) + 2 * sizeof(void*));
}

// The storage can be reached, and changed, from outside.
void IndexHNSW::check_storage() const {
  if (storage->ntotal() != hnsw->size())
    throw ArgumentError(text("the graph has ", hnsw->size(), " nodes but its storage has ",
                             storage->ntotal(), " vectors; add and remove through the ",
                             class_name(), ", not its storage"));
}

IdMap IndexHNSW::id_map() const {
  if (!names_.kept) return {.slots = hnsw->size()};
  return {.slots = hnsw->size(),
          .ids = names_.ids.data(),
          .slot_of = &names_.slot_of,
          .version = names_.version};
}

void IndexHNSW::restore(std::vector<id_t> ids, id_t next, bool int8_traversal) {
  if (!ids.empty() && ids.size() != hnsw->size())
    throw CorruptIndexError(
        text("the graph has ", hnsw->size(), " nodes but ", ids.size(), " ids"));
  if (next < 0 || next > kMaxId + 1)
    throw CorruptIndexError(text("the next id ", next, " is out of range"));
  Names names{.kept = !ids.empty(), .ids = std::move(ids), .slot_of = {}, .next = next};
  names.version = next_version();
  for (size_t s = 0; s < names.ids.size(); ++s) {
    const bool live = hnsw->is_live(static_cast<slot_t>(s));
    if (live != (names.ids[s] != kNoId))
      throw CorruptIndexError(
          text("slot ", s, " has the id ", names.ids[s], ", which contradicts its state"));
    if (names.ids[s] >= next)
      throw CorruptIndexError(text("the id ", names.ids[s], " is not below the next one, ", next));
    if (live && !names.slot_of.emplace(names.ids[s], static_cast<slot_t>(s)).second)
      throw CorruptIndexError(text("the id ", names.ids[s], " appears twice"));
  }
  names_ = std::move(names);
  if (int8_traversal) check_builds_by_codes("int8 traversal");
  int8_traversal_ = int8_traversal;
  follow_all();
}

void IndexHNSW::check_builds_by_codes(const char* what) const {
  if (builds_by_floats())
    throw UnsupportedError(text(what, " is not made for ", storage->codec().name(),
                                " codes, which are as small; use IndexHNSWFlat or IndexHNSWSQ"));
}

void IndexHNSW::release_building_vectors() {
  const std::lock_guard hold(lock());
  building_.clear();
}

void IndexHNSW::use_neighbor_blocks(bool wanted) {
  if (wanted) check_builds_by_codes("neighbor_blocks");
  const std::lock_guard hold(lock());
  {
    const std::lock_guard hold_storage(storage->lock());
    check_storage();
    hnsw->use_blocks(walked(), wanted);
  }
  settle();
}

void IndexHNSW::restore_neighbor_blocks(std::span<const slot_t> links) {
  check_builds_by_codes("neighbor_blocks");
  hnsw->restore_blocks(walked(), links);
}

void IndexHNSW::use_int8_traversal(bool wanted) {
  if (wanted) check_builds_by_codes("int8_traversal");
  const std::lock_guard hold(lock());
  {
    const std::lock_guard hold_storage(storage->lock());
    check_storage();
    int8_traversal_ = wanted;
    if (walks_codes() == wanted) return;
    codes_.clear();
    hnsw->renew_blocks(walked());
    follow_all();
  }
  settle();
}

// Codes follow the slots written in the storage; blocks are made of them.
void IndexHNSW::follow(std::span<const slot_t> written) {
  if (!int8_traversal_) return;
  bool others = walks_codes();
  try {
    others = codes_.follow(storage->vectors(), written);
  } catch (...) {
    if (others) hnsw->renew_blocks(walked());
    throw;
  }
  if (others) hnsw->renew_blocks(walked());
}

void IndexHNSW::follow_all() {
  std::vector<slot_t> all(hnsw->size());
  std::iota(all.begin(), all.end(), slot_t{0});
  follow(all);
}

void IndexHNSW::do_train(const Rows& x) { storage->train(x); }

void IndexHNSW::do_add(const Rows& x, const AddOptions& options) { insert(x, nullptr, options); }

void IndexHNSW::do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) {
  insert(x, ids, options);
}

void IndexHNSW::do_expect(const Rows& x, const id_t* ids) {
  const std::lock_guard hold(storage->lock());
  check_storage();
  if (ids) {
    check_ids(x.n, ids, false);
  } else if (next_id() > kMaxId || static_cast<size_t>(kMaxId - next_id()) < x.n - 1) {
    throw IdError(
        text("the ids after ", next_id() - 1, " have run out; add_with_ids can use free ones"));
  }
  make_room(x);
}

void IndexHNSW::make_room(const Rows& x) {
  CodeStore& store = storage->mutable_codes();
  const size_t before = store.size(), fresh = x.n - std::min(x.n, hnsw->free_slots().size());
  constexpr size_t kFew = 16;
  more_to_come_ = x.n < hnsw->live() / kFew;
  store.make_room(fresh);
  hnsw->make_room(x.n);
  if (builds_by_floats()) {
    building_.follow(storage->vectors());
    building_.make_room(fresh);
  }
  if (!int8_traversal_ || !codes_.outgrown(before + fresh, x)) return;
  // Decided by all rows together, not by those of a part, as when the index is opened again.
  const auto back = [&] {
    store.truncate(before);
    codes_.truncate(before);
  };
  std::vector<slot_t> slots(x.n);
  std::iota(slots.begin(), slots.end(), static_cast<slot_t>(before));
  try {
    encode_rows(storage->codec(), x, store.grow(x.n));
    follow(slots);
  } catch (...) {
    back();
    throw;
  }
  back();
}

// Throws IdError unless the ids are all there, or none is, and each is given once.
void IndexHNSW::check_ids(size_t n, const id_t* ids, bool there) const {
  const IdMap map = id_map();
  std::unordered_map<id_t, size_t> seen;
  for (size_t i = 0; i < n; ++i) {
    if (!there && (ids[i] < 0 || ids[i] > kMaxId))
      throw IdError(
          text("id ", ids[i], " at position ", i, " is out of range; ids are 0 to ", kMaxId));
    if ((map.find(ids[i]) != kNoSlot) != there)
      throw IdError(text("id ", ids[i], there ? " is not in this " : " is already in this ",
                         class_name(),
                         there ? "; use add or add_with_ids for new vectors"
                               : "; use update_vectors to replace it"));
    if (const auto [it, fresh] = seen.emplace(ids[i], i); !fresh)
      throw IdError(text("id ", ids[i], " is given twice, at positions ", it->second, " and ", i));
  }
}

void IndexHNSW::update_vectors(const Rows& x, const id_t* ids, const AddOptions& options) {
  check_dimension(x);
  check_finite(x, "store");
  const std::lock_guard hold(lock());
  {
    const std::lock_guard hold_storage(storage->lock());
    check_storage();
    check_ids(x.n, ids, true);
    make_room(x);
  }
  in_turns(x, options,
           [&](const Rows& part, size_t at, const AddOptions& o) { insert(part, ids + at, o); });
}

void IndexHNSW::add_with_links(const Rows& x, std::span<const id_t> links,
                               const AddOptions& options) {
  check_dimension(x);
  if (!options.allow_nan) check_finite(x, "add");
  const size_t width = hnsw->max_links(0);
  if (links.size() != x.n * width)
    throw ArgumentError(text("there are ", links.size(), " links for ", x.n, " vectors; ", width,
                             " each are right, -1 where there are fewer"));
  std::vector<slot_t> slots(links.size(), kNoSlot);
  for (size_t i = 0; i < links.size(); ++i) {
    if (links[i] == -1) continue;
    if (links[i] < 0 || static_cast<size_t>(links[i]) >= x.n)
      throw ArgumentError(text("links[", i / width, ", ", i % width, "] = ", links[i],
                               " is no row of x; pass 0 to ", x.n - 1, ", or -1 for none"));
    slots[i] = static_cast<slot_t>(links[i]);
  }
  const std::lock_guard hold(lock());
  check_trained("add vectors");
  if (hnsw->size())
    throw ArgumentError(text("this ", class_name(), " holds ", ntotal(),
                             " vectors, and links are those of all; add with links to an empty "
                             "index, or add(x) to this one"));
  if (!x.n) return;
  do_expect(x, nullptr);
  try {
    insert(x, nullptr, options, nullptr, slots);
  } catch (...) {
    do_reset();
    throw;
  }
  settle();
}

std::vector<slot_t> IndexHNSW::links() const {
  const std::shared_lock hold(lock());
  if (names_.kept)
    throw UnsupportedError(text("vectors of this ", class_name(),
                                " were removed or have ids of their own, so links are not by id; "
                                "add the vectors to a new one"));
  const size_t width = hnsw->max_links(0);
  std::vector<slot_t> out(hnsw->size() * width, kNoSlot);
  for (slot_t s = 0; s < hnsw->size(); ++s)
    std::ranges::copy(hnsw->links(s, 0), out.begin() + static_cast<ptrdiff_t>(s * width));
  return out;
}

void IndexHNSW::insert(const Rows& x, const id_t* ids, const AddOptions& options,
                       const std::byte* given, std::span<const slot_t> links) {
  const std::lock_guard hold(storage->lock());
  check_storage();
  CodeStore& store = storage->mutable_codes();
  const Codec& codec = storage->codec();
  const size_t before = store.size();
  const size_t reused = std::min(x.n, hnsw->free_slots().size());
  if (ids || reused) keep_names(before);
  if (builds_by_floats()) building_.follow(storage->vectors());

  std::vector<slot_t> slots;
  try {
    std::vector<std::byte> codes(reused * codec.code_size());
    const auto encode = [&](size_t begin, size_t end, std::byte* out) {
      const size_t size = codec.code_size();
      if (given)
        std::copy(given + begin * size, given + end * size, out);
      else
        encode_rows(codec, x.slice(begin, end), out);
    };
    encode(0, reused, codes.data());
    encode(reused, x.n, store.grow(x.n - reused));
    slots = hnsw->allocate(x.n);
    for (size_t i = 0; i < reused; ++i)
      std::memcpy(store.row(slots[i]), codes.data() + i * codec.code_size(), codec.code_size());
    if (builds_by_floats()) building_.write(slots, x);
  } catch (...) {
    store.truncate(before);
    building_.truncate(before);
    throw;
  }
  size_t done = 0;
  try {
    try {
      follow(slots);
    } catch (...) {
      hnsw->release(slots);
      throw;
    }
    if (links.empty())
      hnsw->insert(built_by(), slots, &options.progress, &done);
    else
      hnsw->insert_linked(built_by(), links, &options.progress);
  } catch (...) {
    keep_names(before);
    name(std::span(slots).first(done), ids);
    throw;
  }
  name(slots, ids);
}

// Fills the tables for the first `slots` slots; until ids and slots differ, neither is kept.
void IndexHNSW::keep_names(size_t slots) {
  if (names_.kept) return;
  names_.ids.resize(slots);
  names_.slot_of.reserve(slots);
  for (size_t s = 0; s < slots; ++s) {
    names_.ids[s] = static_cast<id_t>(s);
    names_.slot_of.emplace(static_cast<id_t>(s), static_cast<slot_t>(s));
  }
  names_.next = static_cast<id_t>(slots);
  names_.kept = true;
}

void IndexHNSW::name(std::span<const slot_t> slots, const id_t* ids) {
  if (!names_.kept) return;
  names_.version = next_version();
  names_.ids.resize(hnsw->size(), kNoId);
  for (size_t i = 0; i < slots.size(); ++i) {
    const id_t id = ids ? ids[i] : names_.next;
    names_.next = std::max(names_.next, id + 1);
    const auto [at, fresh] = names_.slot_of.emplace(id, slots[i]);
    if (!fresh) {  // an update: the old vector goes
      hnsw->erase({&at->second, 1});
      names_.ids[at->second] = kNoId;
      at->second = slots[i];
    }
    names_.ids[slots[i]] = id;
  }
}

void IndexHNSW::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                          const SearchParameters* params) const {
  const size_t ef = search_width(*hnsw, params);
  const std::shared_lock hold(storage->lock());
  check_storage();
  const IdMap map = id_map();
  const auto allowed = params && params->sel ? params->sel->among(map) : nullptr;
  std::vector<std::vector<hit_t>> hits(x.n);
  hnsw->search(walked(), storage->vectors(), x, k, ef, allowed.get(), hits.data());
  for (size_t i = 0; i < x.n; ++i)
    write_hits(*this, hits[i], k, map.ids, distances + i * k, labels + i * k);
}

void IndexHNSW::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  const std::shared_lock hold(storage->lock());
  check_storage();
  std::vector<std::vector<hit_t>> hits(x.n);
  std::optional<SelectedSlots> live;
  if (hnsw->live() < hnsw->size()) live.emplace(hnsw->live_slots());
  flat::search(storage->vectors(), x, k, live ? &*live : nullptr, hits.data());
  const IdMap map = id_map();
  for (size_t i = 0; i < x.n; ++i)
    write_hits(*this, hits[i], k, map.ids, distances + i * k, labels + i * k);
}

RangeResult IndexHNSW::do_range_search(const Rows& x, float radius,
                                       const SearchParameters* params) const {
  const size_t ef = search_width(*hnsw, params);
  const std::shared_lock hold(storage->lock());
  check_storage();
  const IdMap map = id_map();
  const auto allowed = params && params->sel ? params->sel->among(map) : nullptr;
  std::vector<std::vector<hit_t>> hits(x.n);
  hnsw->range_search(storage->vectors(), x, outward(radius), ef, allowed.get(), hits.data());
  return gather_ranges(*this, hits.data(), x.n, map.ids);
}

size_t IndexHNSW::do_remove(const Selector& sel) {
  const std::lock_guard hold(storage->lock());
  check_storage();
  const Bitmap chosen = sel.slots(id_map());
  std::vector<slot_t> gone;
  chosen.for_each([&](slot_t s) {
    if (hnsw->is_live(s)) gone.push_back(s);
  });
  if (gone.empty()) return 0;
  keep_names(hnsw->size());
  names_.version = next_version();
  hnsw->erase(gone);
  for (slot_t s : gone) {
    names_.slot_of.erase(names_.ids[s]);
    names_.ids[s] = kNoId;
  }
  return gone.size();
}

bool IndexHNSW::do_settle() {
  const std::lock_guard hold(storage->lock());
  if (!hnsw->settled()) {
    if (builds_by_floats()) building_.follow(storage->vectors());
    if (hnsw->settle(built_by())) return true;
  }
  if (!more_to_come_) building_.clear();
  return false;
}

void IndexHNSW::do_reset() {
  const bool blocks = hnsw->has_blocks();
  storage->reset();
  hnsw->reset();
  codes_.clear();
  building_.clear();
  hnsw->use_blocks(walked(), blocks);
  names_ = {};
}

void IndexHNSW::do_reconstruct(id_t id, float* out) const {
  const std::shared_lock hold(storage->lock());
  check_storage();
  const slot_t s = id_map().find(id);
  if (s == kNoSlot)
    throw IdError(text("id ", id, " is not in this ", class_name(), " of ", ntotal(), " vectors"));
  storage->codec().decode(storage->codes().row(s), 1, out);
}

void IndexHNSW::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  check_same_codes(storage->codec(), dynamic_cast<const IndexHNSW&>(other).storage->codec());
}

void IndexHNSW::do_merge(Index& other, id_t add_id) {
  auto& from = dynamic_cast<IndexHNSW&>(other);
  constexpr size_t kRows = size_t{1} << 16;
  std::vector<slot_t> slots;
  std::vector<id_t> ids;
  for (size_t s = 0; s < from.hnsw->size(); ++s) {
    if (!from.hnsw->is_live(static_cast<slot_t>(s))) continue;
    slots.push_back(static_cast<slot_t>(s));
    if (from.names_.kept) ids.push_back(from.names_.ids[s] + add_id);
  }
  for (id_t id : ids)
    if (id < 0 || id > kMaxId || id_map().find(id) != kNoSlot)
      throw IdError(text(
          "id ", id,
          " of the other index plus add_id is negative or already here; choose another add_id"));
  const size_t size = storage->codec().code_size();
  std::vector<std::byte> codes;
  std::vector<float> rows;
  for (size_t at = 0; at < slots.size(); at += kRows) {
    const size_t n = std::min(kRows, slots.size() - at);
    codes.resize(n * size);
    rows.resize(n * d);
    for (size_t i = 0; i < n; ++i)
      std::memcpy(&codes[i * size], from.storage->codes().row(slots[at + i]), size);
    storage->codec().decode(codes.data(), n, rows.data());
    insert(as_rows({rows.data(), n, d}), ids.empty() ? nullptr : ids.data() + at, {}, codes.data());
  }
  from.do_reset();
}

void IndexHNSW::do_sa_encode(const Rows& x, std::byte* codes) const {
  storage->sa_encode(x, codes);
}
void IndexHNSW::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  storage->sa_decode(codes, n, x);
}

namespace {
std::shared_ptr<IndexFlat> flat_storage(size_t d, Metric metric, DType dtype) {
  if (metric == Metric::l2) return std::make_shared<IndexFlatL2>(d, dtype);
  return std::make_shared<IndexFlatIP>(d, dtype);
}
}  // namespace

IndexHNSWFlat::IndexHNSWFlat(size_t d, size_t M, Metric metric, DType dtype)
    : IndexHNSW(flat_storage(d, metric, dtype), M) {}
IndexHNSWSQ::IndexHNSWSQ(size_t d, QuantizerType qtype, size_t M, Metric metric)
    : IndexHNSW(std::make_shared<IndexScalarQuantizer>(d, qtype, metric), M) {}

}  // namespace shortlist
