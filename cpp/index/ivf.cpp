#include "index/ivf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "cluster/soar.h"
#include "index/flat.h"
#include "index/in_blocks.h"
#include "index/multi_index.h"
#include "kernels/floats.h"
#include "lists/blocks.h"
#include "lists/rows.h"

namespace shortlist {
namespace {

constexpr size_t kCodecRows = 100'000;  // of which a codec is trained
constexpr size_t kIterations = 10;      // of k-means, as faiss's IndexIVF

std::shared_ptr<Codec> codec_of(size_t d, DType dtype) {
  if (dtype == DType::f32) return std::make_shared<FlatCodec>(d);
  return std::make_shared<ScalarQuantizer>(d, quantizer_for(dtype));
}

void check_probes(size_t nprobe) {
  if (nprobe < 1) throw ArgumentError("nprobe = 0 lists were asked for; it must be at least 1");
}

void check_id(const id_t* ids, size_t i) {
  if (ids[i] == kNoId)
    throw IdError(text("ids[", i, "] = -1, which searches return for no result; choose another"));
}

}  // namespace

IndexIVF::IndexIVF(std::shared_ptr<Index> quantizer_, size_t d, size_t nlist, Metric metric,
                   std::shared_ptr<lists::Form> form)
    : Index(d, metric), quantizer(std::move(quantizer_)), ivf_(d, nlist, std::move(form)) {
  if (nlist < 1 || nlist >= kNoSlot / lists::kSlotStep)
    throw ArgumentError(text("nlist = ", nlist, "; it must be from 1 to ",
                             kNoSlot / lists::kSlotStep - 1, " lists"));
  if (quantizer->d != d)
    throw DimensionError(text("the quantizer has d = ", quantizer->d, "; it must have ", d,
                              " dimensions as the index"));
  cp.niter = kIterations;
  cp.spherical = metric == Metric::inner_product;
  if (dynamic_cast<const MultiIndexQuantizer*>(quantizer.get())) quantizer_trains_alone = 1;
  if (quantizer->is_trained() && quantizer->ntotal() == nlist) {
    take_centroids();
    trained_ = ivf_.form->is_trained();
  }
}

void IndexIVF::set_by_residual(bool wanted) {
  const std::lock_guard hold(lock());
  if (wanted == by_residual()) return;
  if (!chooses_residual())
    throw ArgumentError(text("by_residual of an ", class_name(), " is ",
                             by_residual() ? "True" : "False",
                             "; IndexIVFPQ and IndexIVFScalarQuantizer have the choice"));
  if (ntotal() || (trained_ && ivf_.form->needs_training()))
    throw ArgumentError(
        "by_residual cannot change once the codes are trained; set it before train");
  ivf_.form->by_residual = wanted;
}

void IndexIVF::set_soar_lambda(float lambda) {
  const std::lock_guard hold(lock());
  if (!(lambda >= 0 && std::isfinite(lambda)))
    throw ArgumentError(text("soar_lambda = ", lambda, "; it must be 0 or more, such as 1"));
  if (lambda > 0 && nlist() < 2) throw ArgumentError("soar_lambda needs a second list; nlist = 1");
  if (ntotal())
    throw ArgumentError(text("soar_lambda says which lists the ", ntotal(),
                             " stored vectors are in; set it before add, or call reset() first"));
  soar_lambda_ = lambda;
}

std::string IndexIVF::summary() const {
  return text(nlist(), " lists, nprobe ", nprobe.load(), ", ", copies() * code_size(),
              " bytes a vector", copies() > 1 ? " in two lists; " : "; ", quantizer->class_name());
}

void IndexIVF::take_centroids() {
  std::vector<id_t> all(nlist());
  for (size_t i = 0; i < nlist(); ++i) all[i] = static_cast<id_t>(i);
  std::vector<float> centroids(nlist() * d);
  quantizer->reconstruct_batch(all.data(), nlist(), centroids.data(), d);
  ivf_.set_centroids(std::move(centroids));
  const auto* flat = dynamic_cast<const IndexFlat*>(quantizer.get());
  if (flat && flat->dtype == DType::f32 && flat->metric_type == metric_type)
    nearest_.emplace(Matrix<const float>{ivf_.centroids().data(), nlist(), d}, metric_type);
}

void IndexIVF::restore(bool trained, id_t next) {
  if (trained) take_centroids();
  trained_ = trained;
  next_ = next;
}

void IndexIVF::train_quantizer(Matrix<const float> x) {
  if (quantizer->is_trained() && quantizer->ntotal() == nlist()) return;
  if (quantizer_trains_alone == 1) {
    quantizer->train(as_rows(x));
  } else {
    cluster::Options options = cp;
    options.metric = metric_type;
    const auto clusters = cluster::kmeans(as_rows(x), nlist(), options);
    const Rows centroids = as_rows({clusters.centroids.data(), nlist(), d});
    if (quantizer->ntotal()) quantizer->reset();
    if (!quantizer->is_trained()) quantizer->train(centroids);
    quantizer->add(centroids);
  }
  if (quantizer->ntotal() != nlist())
    throw ArgumentError(text("after training the quantizer holds ", quantizer->ntotal(),
                             " vectors; it should hold nlist = ", nlist()));
}

void IndexIVF::check_empty() const {
  if (ntotal())
    throw ArgumentError(text("training now would change what the ", ntotal(),
                             " stored codes mean; train before add, or call reset() first"));
}

void IndexIVF::do_train(const Rows& rows) {
  check_empty();
  std::vector<float> scratch, sample;
  Matrix<const float> x{as_floats(rows, scratch), rows.n, rows.d};
  train_quantizer(x);
  take_centroids();
  if (x.rows > kCodecRows) {
    sample.resize(kCodecRows * d);
    for (size_t i = 0; i < kCodecRows; ++i)
      std::copy_n(x.row(i * x.rows / kCodecRows + mix64(i) % (x.rows / kCodecRows)), d,
                  &sample[i * d]);
    x = {sample.data(), kCodecRows, d};
  }
  const std::vector<slot_t> list = assign(x);
  std::vector<const float*> centroids(x.rows);
  for (size_t i = 0; i < x.rows; ++i) centroids[i] = ivf_.centroid(list[i]);
  ivf_.form->train(x, centroids.data());
  trained_ = true;
}

std::vector<slot_t> IndexIVF::assign(Matrix<const float> x) const {
  std::vector<slot_t> list(x.rows, kNoSlot);
  std::vector<float> near(x.rows);
  if (nearest_ && finite(x.data, x.rows * x.cols))
    nearest_->assign(as_rows(x), list.data(), near.data());
  else
    nearest_lists(as_rows(x), 1, nullptr, near.data(), list.data());
  return list;
}

// The first lists, then the second.
std::vector<slot_t> IndexIVF::assign_twice(Matrix<const float> x) const {
  constexpr size_t kCandidates = 64;
  const size_t n = std::min(kCandidates, nlist());
  std::vector<slot_t> list(2 * x.rows, kNoSlot);
  parallel_for(x.rows, {.grain = 256}, [&](size_t begin, size_t end, size_t) {
    cluster::Spill spill({ivf_.centroids().data(), nlist(), d}, soar_lambda_);
    std::vector<slot_t> near((end - begin) * n), all;
    std::vector<float> distances(near.size());
    nearest_lists(as_rows(x.slice(begin, end)), n, nullptr, distances.data(), near.data());
    for (size_t i = begin; i < end; ++i) {
      const std::span<const slot_t> own(&near[(i - begin) * n], n);
      slot_t &first = list[i], &second = list[x.rows + i];
      first = own.front();
      if (first == kNoSlot) continue;
      spill.choose(x.row(i), first, own, {&second, 1});
      if (second != kNoSlot) continue;
      if (all.empty()) {  // a quantizer that found no other
        all.resize(nlist());
        std::iota(all.begin(), all.end(), slot_t{0});
      }
      spill.choose(x.row(i), first, all, {&second, 1});
    }
  });
  return list;
}

void IndexIVF::nearest_lists(const Rows& x, size_t n, const SearchParameters* quantizer_params,
                             float* near, slot_t* lists) const {
  if (nearest_ && !quantizer_params) {
    nearest_->search(x, n, lists, near);
    return;
  }
  std::vector<id_t> labels(x.n * n);
  quantizer->search(x, n, near, labels.data(), quantizer_params);
  for (size_t i = 0; i < labels.size(); ++i)
    lists[i] = labels[i] < 0 || static_cast<size_t>(labels[i]) >= nlist()
                   ? kNoSlot
                   : static_cast<slot_t>(labels[i]);
  if (quantizer->metric_type == metric_type) {
    for (size_t i = 0; i < labels.size(); ++i) near[i] = outward(near[i]);
    return;
  }
  measure(x, n, lists, near);
}

void IndexIVF::measure(const Rows& x, size_t n, const slot_t* lists, float* near) const {
  std::vector<float> scratch;
  const Matrix<const float> q{as_floats(x, scratch), x.n, x.d};
  const auto kernel =
      kernels::active().rows[metric_type == Metric::l2 ? kernels::l2_f32 : kernels::ip_f32];
  const auto* centroids = reinterpret_cast<const std::byte*>(ivf_.centroids().data());
  for (size_t i = 0; i < x.n * n; ++i)
    if (lists[i] != kNoSlot) {
      kernel(q.row(i / n), centroids, d * sizeof(float), &lists[i], 1, d, &near[i]);
      near[i] = outward(near[i]);
    }
}

void IndexIVF::find_lists(const Rows& x, size_t at, const Probing& how, float* near,
                          slot_t* lists) const {
  const size_t n = how.nprobe;
  if (!how.lists) return nearest_lists(x, n, how.quantizer_params, near, lists);
  const id_t* own = how.lists->lists + at * n;
  for (size_t i = 0; i < x.n * n; ++i)
    lists[i] = own[i] < 0 ? kNoSlot : static_cast<slot_t>(own[i]);
  if (!how.lists->near) return measure(x, n, lists, near);
  for (size_t i = 0; i < x.n * n; ++i) near[i] = outward(how.lists->near[at * n + i]);
}

void IndexIVF::do_expect(const Rows& x, const id_t* ids) {
  for (size_t i = 0; ids && i < x.n; ++i) check_id(ids, i);
}

void IndexIVF::do_add(const Rows& x, const AddOptions& options) {
  std::vector<id_t> ids(x.n);
  for (size_t i = 0; i < x.n; ++i) ids[i] = next_ + static_cast<id_t>(i);
  do_add_with_ids(x, ids.data(), options);
}

void IndexIVF::do_add_with_ids(const Rows& rows, const id_t* ids, const AddOptions& options) {
  std::vector<float> scratch;
  const Matrix<const float> x{as_floats(rows, scratch), rows.n, rows.d};
  const std::vector<slot_t> list = copies() > 1 ? assign_twice(x) : assign(x);
  ivf_.add(x, list.data(), copies(), ids, options.progress);
  next_ += static_cast<id_t>(x.rows);
}

IndexIVF::Probing IndexIVF::probing(const SearchParameters* params) const {
  Probing out{.nprobe = nprobe, .max_codes = max_codes, .params = params};
  if (const auto* own = dynamic_cast<const SearchParametersIVF*>(params)) {
    out.nprobe = own->nprobe;
    out.max_codes = own->max_codes;
    out.quantizer_params = own->quantizer_params.get();
  }
  check_probes(out.nprobe);
  out.nprobe = std::min(out.nprobe, nlist());
  return out;
}

IndexIVF::Probing IndexIVF::probing(const Rows& x, const Preassigned& lists,
                                    const SearchParameters* params) const {
  check_dimension(x);
  check_trained("search");
  Probing out = probing(params);
  out.nprobe = lists.n;
  out.lists = &lists;
  for (size_t i = 0; i < x.n * lists.n; ++i) {
    const id_t list = lists.lists[i];
    if (list < -1 || list >= static_cast<id_t>(nlist()))
      throw IdError(text("query ", i / lists.n, " is to look at list ", list,
                         "; lists are 0 to nlist - 1 = ", nlist() - 1, ", or -1 for none"));
    if (list >= 0 && lists.near && !std::isfinite(lists.near[i]))
      throw ArgumentError(text("the distance of query ", i / lists.n, " to list ", list, " is ",
                               lists.near[i], "; pass numbers, or None to have it computed"));
  }
  return out;
}

template <class Make, class Each>
void IndexIVF::scan_all(const Rows& x, const Probing& how, size_t kept,
                        const SelectedSlots* allowed, const Make& make, const Each& each) const {
  // Queries whose lists, tables and results are in memory at a time: the more, the less often a
  // list is read.
  constexpr size_t kMost = 2048, kFewest = 64, kBytes = size_t{64} << 20;
  const size_t together = std::clamp(kBytes / (8 * (how.nprobe + d) + 16 * kept), kFewest, kMost);
  const size_t parts = std::max((x.n + together - 1) / together, std::min(x.n, num_threads()));
  parallel_for(parts, {}, [&](size_t first, size_t last, size_t) {
    Ivf::Scanners scanners{[&] { return scanner(how.params, how.whole); }};
    for (size_t part = first; part < last; ++part) {
      const size_t at = x.n * part / parts;
      const Rows some = x.slice(at, x.n * (part + 1) / parts);
      std::vector<float> scratch, near(some.n * how.nprobe);
      const Matrix<const float> q{as_floats(some, scratch), some.n, some.d};
      std::vector<slot_t> list(near.size());
      find_lists(some, at, how, near.data(), list.data());
      std::vector<Ivf::Probes> probes(some.n);
      std::vector<lists::Found> found;
      for (size_t i = 0; i < some.n; ++i) {
        const slot_t* own = &list[i * how.nprobe];
        const size_t most =
            how.max_codes ? ivf_.within(own, how.nprobe, how.max_codes) : how.nprobe;
        probes[i] = {q.row(i), own, &near[i * how.nprobe], finite(q.row(i), d) ? most : 0};
        found.push_back(make());
      }
      ivf_.scan(probes, scanners, allowed, found.data());
      for (size_t i = 0; i < some.n; ++i)
        each(at + i, q.row(i), std::visit([](auto& sink) { return sink.finish(); }, found[i]));
    }
  });
}

void IndexIVF::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                         const SearchParameters* params) const {
  search_in(x, probing(params), k, distances, labels);
}

void IndexIVF::search_preassigned(const Rows& x, const Preassigned& lists, size_t k,
                                  float* distances, id_t* labels,
                                  const SearchParameters* params) const {
  check_search(x, k);
  const std::shared_lock hold(lock());
  search_in(x, probing(x, lists, params), k, distances, labels);
}

void IndexIVF::search_in(const Rows& x, const Probing& how, size_t k, float* distances,
                         id_t* labels) const {
  const auto allowed = how.params && how.params->sel ? ivf_.selected(*how.params->sel) : nullptr;
  const size_t most = std::min(k, ntotal());
  const size_t kept = how.whole ? most : std::min(candidates(most), ntotal());
  scan_all(
      x, how, kept, allowed.get(), [&] { return TopK(kept * copies()); },
      [&](size_t i, const float* q, std::vector<hit_t> hits) {
        if (!how.whole) rank_again(q, hits);
        if (copies() > 1) hits = once(std::move(hits));
        hits.resize(std::min(hits.size(), most));
        write_hits(*this, hits, k, nullptr, distances + i * k, labels + i * k);
        for (size_t j = 0; j < hits.size(); ++j) labels[i * k + j] = ivf_.id_at(slot_of(hits[j]));
      });
}

void IndexIVF::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  search_in(x, {.nprobe = nlist(), .max_codes = 0, .whole = true}, k, distances, labels);
}

RangeResult IndexIVF::do_range_search(const Rows& x, float radius,
                                      const SearchParameters* params) const {
  return range_search_in(x, probing(params), radius);
}

RangeResult IndexIVF::range_search_preassigned(const Rows& x, const Preassigned& lists,
                                               float radius, const SearchParameters* params) const {
  if (std::isnan(radius)) throw ArgumentError("the radius is NaN; pass a number");
  const std::shared_lock hold(lock());
  return range_search_in(x, probing(x, lists, params), radius);
}

RangeResult IndexIVF::range_search_in(const Rows& x, Probing how, float radius) const {
  how.whole = true;
  const auto allowed = how.params && how.params->sel ? ivf_.selected(*how.params->sel) : nullptr;
  std::vector<std::vector<hit_t>> hits(x.n);
  scan_all(
      x, how, 0, allowed.get(), [&] { return flat::Within(outward(radius)); },
      [&](size_t i, const float*, std::vector<hit_t> found) {
        if (copies() > 1) std::sort(found.begin(), found.end());
        hits[i] = copies() > 1 ? once(std::move(found)) : std::move(found);
      });
  RangeResult out = gather_ranges(*this, hits.data(), x.n, nullptr);
  for (id_t& label : out.labels) label = ivf_.id_at(static_cast<slot_t>(label));
  return out;
}

// By a table of ids, of which at most half is filled.
std::vector<hit_t> IndexIVF::once(std::vector<hit_t> hits) const {
  std::vector<id_t> seen(std::bit_ceil(2 * hits.size() + 1), kNoId);
  const auto known = [&](hit_t hit) {
    const id_t id = ivf_.id_at(slot_of(hit));
    size_t at = mix64(static_cast<uint64_t>(id)) & (seen.size() - 1);
    while (seen[at] != kNoId && seen[at] != id) at = (at + 1) & (seen.size() - 1);
    return std::exchange(seen[at], id) == id;
  };
  hits.erase(std::remove_if(hits.begin(), hits.end(), known), hits.end());
  return hits;
}

size_t IndexIVF::do_remove(const Selector& sel) { return ivf_.remove(sel) / copies(); }

void IndexIVF::do_reset() {
  ivf_.clear();
  next_ = 0;
}

void IndexIVF::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  const auto& that = dynamic_cast<const IndexIVF&>(other);
  if (that.nlist() != nlist() || that.ivf_.centroids() != ivf_.centroids())
    throw ArgumentError(
        "cannot merge indexes with other lists; train one, and clone it for each part");
  if (that.copies() != copies())
    throw ArgumentError("cannot merge indexes of which one has vectors in two lists");
  if (!that.ivf_.form->same_as(*ivf_.form))
    throw ArgumentError(
        "cannot merge indexes whose codes mean different things; they must share type of code and "
        "training");
}

void IndexIVF::do_merge(Index& other, id_t add_id) {
  auto& that = dynamic_cast<IndexIVF&>(other);
  next_ += static_cast<id_t>(that.ntotal());
  ivf_.take(that.ivf_, add_id);
  that.next_ = 0;
}

void IndexIVF::copy_subset_to(IndexIVF& other, Subset kind, id_t a1, id_t a2) const {
  if (&other == this) throw ArgumentError("cannot copy an index into itself");
  check_compatible_for_merge(other);
  if (copies() > 1 && kind != Subset::id_range && kind != Subset::id_mod)
    throw UnsupportedError(
        "parts of lists would hold one of a vector's two codes (soar_lambda); choose vectors by "
        "id");
  const bool parts = kind == Subset::id_mod || kind == Subset::list_fraction;
  constexpr id_t kMostParts = id_t{1} << 31;
  if (parts && (a1 < 1 || a1 > kMostParts || a2 < 0 || a2 >= a1))
    throw ArgumentError(text("part ", a2, " of ", a1, "; there are a1 = 1 to ", kMostParts,
                             " parts, and they are a2 = 0 to a1 - 1"));
  const auto order = std::less<const Index*>{};
  std::unique_lock writes(other.lock(), std::defer_lock);
  std::shared_lock reads(lock(), std::defer_lock);
  if (order(this, &other))
    reads.lock(), writes.lock();
  else
    writes.lock(), reads.lock();
  const id_t total = static_cast<id_t>(ntotal());
  if (kind == Subset::element_range && (a1 < 0 || a2 < a1 || a2 > total))
    throw ArgumentError(text("elements ", a1, " to ", a2, "; there are ", total));
  std::vector<Ivf::Piece> pieces;
  size_t copied = 0;
  id_t seen = 0;
  for (size_t l = 0; l < nlist(); ++l) {
    const auto ids = ivf_.ids(l);
    const auto n = static_cast<id_t>(ids.size());
    const auto before = [&](id_t a) {  // elements of this list that are among the first a of all
      const auto share = [&](id_t m) {
        return static_cast<uint64_t>(m) * static_cast<uint64_t>(a) / static_cast<uint64_t>(total);
      };
      return static_cast<id_t>(share(seen + n) - share(seen));
    };
    const auto list = static_cast<id_t>(l);
    const auto taken = [&](id_t i) {
      const id_t id = ids[static_cast<size_t>(i)];
      switch (kind) {
        case Subset::id_range:
          return a1 <= id && id < a2;
        case Subset::id_mod:
          return id % a1 == a2;
        case Subset::element_range:
          return before(a1) <= i && i < before(a2);
        case Subset::list_fraction:
          return n * a2 / a1 <= i && i < n * (a2 + 1) / a1;
        case Subset::list_range:
          return a1 <= list && list < a2;
      }
      return false;
    };
    const std::vector<std::byte> codes = ivf_.codes(l);
    const size_t size = code_size();
    Ivf::Piece piece{l, {}, {}};
    for (id_t i = 0; i < n; ++i) {
      if (!taken(i)) continue;
      const std::byte* code = codes.data() + static_cast<size_t>(i) * size;
      piece.codes.insert(piece.codes.end(), code, code + size);
      piece.ids.push_back(ids[static_cast<size_t>(i)]);
    }
    seen += n;
    copied += piece.ids.size();
    if (!piece.ids.empty()) pieces.push_back(std::move(piece));
  }
  other.ivf_.append(pieces);
  other.next_ += static_cast<id_t>(copied / copies());
}

size_t IndexIVF::coarse_code_size() const {
  size_t bytes = 0;
  for (size_t most = nlist() - 1; most > 0; most >>= 8) ++bytes;
  return bytes;
}

void IndexIVF::do_sa_encode(const Rows& rows, std::byte* codes) const {
  std::vector<float> scratch;
  const Matrix<const float> x{as_floats(rows, scratch), rows.n, rows.d};
  const std::vector<slot_t> list = assign(x);
  const size_t coarse = coarse_code_size(), size = sa_code_size();
  parallel_for(x.rows, {.grain = 64}, [&](size_t begin, size_t end, size_t) {
    std::vector<std::byte> own(ivf_.form->code_size());
    for (size_t i = begin; i < end; ++i) {
      std::byte* out = codes + i * size;
      for (size_t b = 0; b < coarse; ++b) out[b] = std::byte(list[i] >> 8 * b & 0xff);
      ivf_.form->encode(x.slice(i, i + 1), ivf_.centroid(list[i]), own.data());
      ivf_.form->to_faiss(own.data(), 1, out + coarse);
    }
  });
}

size_t IndexIVF::list_of_code(const std::byte* codes, size_t i) const {
  const std::byte* code = codes + i * sa_code_size();
  size_t list = 0;
  for (size_t b = 0; b < coarse_code_size(); ++b) list |= static_cast<size_t>(code[b]) << 8 * b;
  if (list >= nlist())
    throw ArgumentError(text("code ", i, " is of list ", list, "; there are ", nlist(), " lists"));
  return list;
}

void IndexIVF::add_sa_codes(const std::byte* codes, size_t n, const id_t* ids) {
  const std::lock_guard hold(lock());
  check_trained("add codes");
  if (copies() > 1)
    throw UnsupportedError(
        "vectors are in two lists (soar_lambda), a code is of one; add the vectors");
  const size_t coarse = coarse_code_size(), size = ivf_.form->code_size();
  std::vector<std::pair<size_t, size_t>> order(n);
  for (size_t i = 0; i < n; ++i) {
    if (ids) check_id(ids, i);
    order[i] = {list_of_code(codes, i), i};
  }
  std::sort(order.begin(), order.end());
  std::vector<Ivf::Piece> pieces;
  for (const auto& [list, i] : order) {
    if (pieces.empty() || pieces.back().list != list) pieces.push_back({list, {}, {}});
    Ivf::Piece& piece = pieces.back();
    piece.ids.push_back(ids ? ids[i] : next_ + static_cast<id_t>(i));
    piece.codes.resize(piece.codes.size() + size);
    ivf_.form->from_faiss(codes + i * sa_code_size() + coarse, 1, ivf_.centroid(list),
                          piece.codes.data() + piece.codes.size() - size);
  }
  ivf_.append(pieces);
  next_ += static_cast<id_t>(n);
}

void IndexIVF::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  const size_t coarse = coarse_code_size(), size = sa_code_size();
  parallel_for(n, {.grain = 64}, [&](size_t begin, size_t end, size_t) {
    std::vector<std::byte> own(ivf_.form->code_size());
    for (size_t i = begin; i < end; ++i) {
      const size_t list = list_of_code(codes, i);
      ivf_.form->from_faiss(codes + i * size + coarse, 1, ivf_.centroid(list), own.data());
      ivf_.form->decode(own.data(), 1, ivf_.centroid(list), x + i * d);
    }
  });
}

IndexIVFFlat::IndexIVFFlat(std::shared_ptr<Index> quantizer, size_t d, size_t nlist, Metric metric,
                           DType dtype)
    : IndexIVF(std::move(quantizer), d, nlist, metric,
               std::make_shared<lists::RowsForm>(codec_of(d, dtype), metric, false)),
      dtype(dtype) {}

IndexIVFScalarQuantizer::IndexIVFScalarQuantizer(std::shared_ptr<Index> quantizer, size_t nlist,
                                                 std::shared_ptr<ScalarQuantizer> sq_,
                                                 Metric metric, bool by_residual)
    : IndexIVF(std::move(quantizer), sq_->d, nlist, metric,
               std::make_shared<lists::RowsForm>(sq_, metric, by_residual)),
      sq(sq_) {}

IndexIVFPQ::IndexIVFPQ(std::shared_ptr<Index> quantizer, size_t nlist,
                       std::shared_ptr<ProductQuantizer> pq_, Metric metric, bool by_residual)
    : IndexIVFPQ(std::move(quantizer), nlist, pq_, metric,
                 std::make_shared<lists::RowsForm>(without_offset(pq_, "an inverted file"), metric,
                                                   by_residual)) {}

IndexIVFPQ::IndexIVFPQ(std::shared_ptr<Index> quantizer, size_t nlist,
                       std::shared_ptr<ProductQuantizer> pq_, Metric metric,
                       std::shared_ptr<lists::Form> form)
    : IndexIVF(std::move(quantizer), pq_->d, nlist, metric, std::move(form)), pq(std::move(pq_)) {}

IndexIVFPQFastScan::IndexIVFPQFastScan(std::shared_ptr<Index> quantizer, size_t nlist,
                                       std::shared_ptr<ProductQuantizer> pq_, Metric metric,
                                       int bbs, bool by_residual)
    : IndexIVF(std::move(quantizer), pq_->d, nlist, metric,
               std::make_shared<lists::ProductForm>(without_offset(pq_, "an inverted file"), metric,
                                                    by_residual)),
      pq(pq_),
      bbs(checked_block(bbs)) {
  if (pq->nbits != 4)
    throw ArgumentError(text("nbits = ", pq->nbits, "; a fast scan is of 4 bits a part"));
}

IndexIVFSDC::IndexIVFSDC(std::shared_ptr<Index> quantizer, size_t nlist,
                         std::shared_ptr<OddIntCodec> codec)
    : IndexIVF(std::move(quantizer), codec->d, nlist, codec->metric,
               std::make_shared<lists::OddIntForm>(codec)),
      sdc(codec) {}

}  // namespace shortlist
