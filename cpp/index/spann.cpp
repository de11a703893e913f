#include "index/spann.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using spann::Best;
using spann::Candidate;

// Before the code of a vector that is compared again, its row among the whole vectors.
constexpr size_t kRowBytes = sizeof(uint64_t);
constexpr size_t kCompared = 32;  // candidates that are compared again, at least
constexpr float kExactFactor = 32;
constexpr size_t kGroup = 32;  // queries that share what is read

// Looks at the codes of a list; of those found, each(i, distance) is called for the i-th.
template <class Each>
void near_in(lists::Scanner& scanner, const lists::List& list, float limit, const Each& each) {
  lists::Found found = flat::Within(std::nextafter(limit, std::numeric_limits<float>::infinity()));
  scanner.scan(list, 0, nullptr, found);
  for (const hit_t hit : std::get<flat::Within>(found).finish())
    each(slot_of(hit), distance_of(hit));
}

}  // namespace

struct IndexSPANN::Probing {
  size_t nprobe;
  float epsilon, k_factor;
  std::shared_ptr<const SearchParameters> of_centroids;
  const Selector* sel;
  std::shared_ptr<std::atomic<uint64_t>> lost;  // null: what cannot be read is an error
  bool everything = false;
};

// Kept from search to search.
struct IndexSPANN::Scratch {
  spann::Room room;
  std::vector<std::unique_ptr<lists::Scanner>> scanners;  // of the queries of a group
  std::unique_ptr<lists::Scanner> whole;
  std::unique_ptr<lists::List> codes, vectors;
  std::vector<std::byte> bytes;
};

// Queries that are answered together.
struct IndexSPANN::Group {
  struct Probe {
    slot_t posting;
    uint32_t query;
    float near;
  };
  Matrix<const float> queries;
  std::vector<bool> sound;    // without NaN and Inf
  std::vector<Probe> probes;  // sorted by posting
  std::vector<Best> best;
};

IndexSPANN::IndexSPANN(SpannParts parts, Metric metric, io::Backend backend, io::Caching caching)
    : Index(parts.centroids->d, metric),
      parts_(std::move(parts)),
      postings_(parts_.postings, backend, caching),
      ids_(parts_.ids, backend, caching),
      form_(parts_.codes->ivf().form),
      whole_(parts_.vectors->ivf().form) {
  if (!parts_.vector_files.empty())
    vector_files_ =
        std::make_unique<const spann::VectorFiles>(parts_.vector_files, backend, caching);
  const size_t prefix = reranks() ? kRowBytes : 0;
  const auto no_fit = [](const char* what) {
    return CorruptIndexError(text("the files of the index do not fit together: ", what,
                                  "; restore them, or build it again"));
  };
  if (parts_.codes->d != d || parts_.vectors->d != d) throw no_fit("their dimensions differ");
  if (postings_.postings() != parts_.centroids->ntotal())
    throw no_fit("there are not as many postings as centroids");
  if (postings_.code_size() != form_->code_size() + prefix)
    throw no_fit("codes are of another size");
  if (parts_.parents.size() < postings_.splits() || parts_.parents.size() > postings_.postings())
    throw no_fit("splits miss their parents");
  for (const slot_t parent : parts_.parents)
    if (parent >= postings_.postings() - parts_.parents.size()) throw no_fit("a parent is missing");
  if (reranks() && (vector_files_->row_bytes() != whole_->code_size() ||
                    vector_files_->build() != postings_.build()))
    throw no_fit("vectors are of another build");
  if (ids_.build() != postings_.build() || ids_.size() != parts_.ntotal)
    throw no_fit("ids are of another build");
  added_codes_ = whole_->list();
}

IndexSPANN::~IndexSPANN() = default;

IndexSPANN::Probing IndexSPANN::probing(const SearchParameters* params) const {
  SearchParametersSPANN how;
  how.nprobe = nprobe;
  how.epsilon = epsilon;
  how.efSearch = efSearch;
  how.k_factor = k_factor;
  if (const auto* own = dynamic_cast<const SearchParametersSPANN*>(params))
    how = *own;
  else if (params && typeid(*params) != typeid(SearchParameters))
    throw ArgumentError("an IndexSPANN takes SearchParametersSPANN or SearchParameters");
  if (how.nprobe < 1)
    throw ArgumentError("nprobe = 0 postings were asked for; it must be at least 1");
  if (!(how.epsilon >= 0) || !(how.k_factor >= 1) || std::isinf(how.k_factor))
    throw ArgumentError(text("epsilon = ", how.epsilon, " and k_factor = ", how.k_factor,
                             "; they must be at least 0 and 1"));
  how.nprobe = std::min(how.nprobe, postings_.postings());
  auto hnsw = std::make_shared<SearchParametersHNSW>();
  hnsw->efSearch =
      how.efSearch > 0 ? how.efSearch : static_cast<int>(std::max<size_t>(how.nprobe + 32, 64));
  return {how.nprobe,
          how.epsilon,
          how.k_factor,
          hnsw,
          params ? params->sel.get() : nullptr,
          how.partial ? how.lost : nullptr};
}

std::unique_ptr<IndexSPANN::Scratch> IndexSPANN::scratch() const {
  {
    // Only tried: a fork may have caught it held by a thread that the child lacks.
    const std::unique_lock hold(spare_lock_, std::try_to_lock);
    if (hold && !spare_.empty()) {
      auto out = std::move(spare_.back());
      spare_.pop_back();
      return out;
    }
  }
  auto out = std::make_unique<Scratch>();
  out->codes = form_->list();
  out->vectors = whole_->list();
  out->whole = whole_->scanner();
  return out;
}

void IndexSPANN::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                           const SearchParameters* params) const {
  search_by(x, k, probing(params), distances, labels);
}

void IndexSPANN::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  Probing how = probing(nullptr);
  how.everything = true;
  how.k_factor = std::max(how.k_factor, kExactFactor);
  search_by(x, k, how, distances, labels);
}

void IndexSPANN::search_by(const Rows& x, size_t k, const Probing& how, float* distances,
                           id_t* labels) const {
  const size_t threads = std::min(num_threads(), x.n);
  const size_t together = std::clamp<size_t>(x.n / std::max<size_t>(threads, 1), 1, kGroup);
  const double wanted = std::ceil(static_cast<double>(how.k_factor) * static_cast<double>(k));
  const double most = std::min(wanted, static_cast<double>(postings_.entries()));
  const size_t kept = reranks() ? std::max(kCompared, static_cast<size_t>(most)) : k;
  parallel_for((x.n + together - 1) / together, {}, [&](size_t begin, size_t end, size_t) {
    auto own = scratch();
    std::vector<float> floats;
    for (size_t g = begin; g < end; ++g) {
      const size_t first = g * together, n = std::min(together, x.n - first);
      const Rows some = x.slice(first, first + n);
      Group group;
      group.queries = {as_floats(some, floats), n, d};
      for (size_t i = 0; i < n; ++i) {
        group.sound.push_back(finite(group.queries.row(i), d));
        group.best.emplace_back(kept);
      }
      find_postings(some, how, group);
      scan_postings(group, how, *own);
      if (reranks()) compare_again(group, how, k, *own);
      scan_added(group, how, *own);
      for (size_t i = 0; i < n; ++i) {
        const auto found = group.best[i].finish();
        float* D = distances + (first + i) * k;
        id_t* I = labels + (first + i) * k;
        for (size_t j = 0; j < k; ++j) {
          D[j] = outward(j < found.size() ? found[j].distance : FLT_MAX);
          I[j] = j < found.size() ? found[j].id : kNoId;
        }
      }
      stats_.queries += n;
    }
    const std::unique_lock hold(spare_lock_, std::try_to_lock);
    if (hold) spare_.push_back(std::move(own));
  });
}

void IndexSPANN::find_postings(const Rows& x, const Probing& how, Group& group) const {
  if (how.everything) return;  // every query's are all
  auto& probes = group.probes;
  const size_t n = how.nprobe;
  std::vector<float> near(x.n * n);
  std::vector<id_t> labels(x.n * n);
  parts_.centroids->search(x, n, near.data(), labels.data(), how.of_centroids.get());
  const bool prunes = how.epsilon < std::numeric_limits<float>::infinity();
  std::vector<float> squares(n), centroids;
  for (uint32_t i = 0; i < x.n; ++i) {
    if (!group.sound[i]) continue;
    const id_t* list = &labels[i * n];
    const float* told = &near[i * n];
    const auto found = static_cast<size_t>(std::find(list, list + n, kNoId) - list);
    const float* square = told;
    if (prunes && metric_type == Metric::inner_product) {
      centroids.resize(n * d);
      parts_.centroids->reconstruct_batch(list, found, centroids.data());
      for (size_t p = 0; p < found; ++p)
        kernels::active().rows[kernels::l2_f32](
            group.queries.row(i), reinterpret_cast<const std::byte*>(&centroids[p * d]), 0, nullptr,
            1, d, &squares[p]);
      square = squares.data();
    }
    const float least = std::max(found ? square[0] : 0, parts_.radius * parts_.radius);
    const float reach = (1 + how.epsilon) * (1 + how.epsilon) * least;
    for (size_t p = 0; p < found; ++p)
      if (!prunes || square[p] <= reach)
        probes.push_back({static_cast<slot_t>(list[p]), i, outward(told[p])});
  }
  std::sort(probes.begin(), probes.end(), [](const auto& a, const auto& b) {
    return std::tie(a.posting, a.query) < std::tie(b.posting, b.query);
  });
}

void IndexSPANN::scan_postings(Group& group, const Probing& how, Scratch& scratch) const {
  while (scratch.scanners.size() < group.queries.rows) scratch.scanners.push_back(form_->scanner());
  for (size_t i = 0; i < group.queries.rows; ++i)
    if (group.sound[i]) scratch.scanners[i]->set_query(group.queries.row(i));
  std::vector<slot_t> numbers;
  if (how.everything) {
    numbers.resize(postings_.postings());
    std::iota(numbers.begin(), numbers.end(), slot_t{0});
  }
  for (const auto& probe : group.probes)
    if (numbers.empty() || numbers.back() != probe.posting) numbers.push_back(probe.posting);
  const size_t prefix = postings_.code_size() - form_->code_size();
  const size_t with_parents = postings_.postings() - parts_.parents.size();
  std::vector<float> centroid(d);
  const auto measure = [&](const float* q) {
    float out;
    const auto kind = metric_type == Metric::l2 ? kernels::l2_f32 : kernels::ip_f32;
    kernels::active().rows[kind](q, reinterpret_cast<const std::byte*>(centroid.data()), 0, nullptr,
                                 1, d, &out);
    return outward(out);
  };
  uint64_t bytes = 0, probe_bytes = 0, scanned = 0;
  const auto scan = [&](const spann::PostingFiles::Posting& posting) {
    lists::List& list = *scratch.codes;
    list.truncate(0);
    if (prefix) {
      scratch.bytes.resize(posting.n * form_->code_size());
      for (size_t i = 0; i < posting.n; ++i)
        std::copy_n(posting.codes + i * postings_.code_size() + prefix, form_->code_size(),
                    &scratch.bytes[i * form_->code_size()]);
      list.append(scratch.bytes.data(), posting.n);
    } else {
      list.append(posting.codes, posting.n);
    }
    const bool split = posting.number >= with_parents;
    if (form_->by_residual) {
      const id_t whose = split ? parts_.parents[posting.number - with_parents] : posting.number;
      parts_.centroids->reconstruct_batch(&whose, 1, centroid.data());
    }
    const auto ask = [&](uint32_t query, float near) {
      lists::Scanner& scanner = *scratch.scanners[query];
      Best& best = group.best[query];
      if (form_->by_residual) scanner.set_list(centroid.data(), near);
      near_in(scanner, list, best.limit(), [&](slot_t i, float distance) {
        const id_t id = posting.ids[i];
        if (!shown(id, how.sel)) return;
        uint64_t row = 0;
        if (prefix) std::memcpy(&row, posting.codes + i * postings_.code_size(), sizeof row);
        best.push({distance, id, row});
      });
      scanned += posting.n;
      probe_bytes += postings_.bytes(posting.number);
    };
    const auto measured = [&](uint32_t query) {
      return form_->by_residual ? measure(group.queries.row(query)) : 0;
    };
    if (how.everything) {
      for (uint32_t i = 0; i < group.queries.rows; ++i)
        if (group.sound[i]) ask(i, measured(i));
      return;
    }
    const auto [first, last] = std::equal_range(
        group.probes.begin(), group.probes.end(), Group::Probe{posting.number, 0, 0},
        [](const auto& a, const auto& b) { return a.posting < b.posting; });
    for (auto probe = first; probe != last; ++probe)
      ask(probe->query, split ? measured(probe->query) : probe->near);
  };
  stats_.probes += how.everything ? numbers.size() * group.queries.rows : group.probes.size();
  if (cache_.capacity()) {
    const auto cached = [&](slot_t number) {
      const auto held = cache_.find(number);
      if (held) scan(held->posting);
      return held != nullptr;
    };
    stats_.cached += std::erase_if(numbers, cached);
  }
  read_postings(numbers, how, scratch, [&](const spann::PostingFiles::Posting& posting) {
    bytes += postings_.bytes(posting.number);
    scan(posting);
    if (cache_.capacity()) cache_.put(posting, postings_.code_size());
  });
  stats_.probe_bytes += probe_bytes;
  stats_.reads += numbers.size();
  stats_.bytes += bytes;
  stats_.scanned += scanned;
}

void IndexSPANN::read_postings(std::span<const slot_t> numbers, const Probing& how,
                               Scratch& scratch, const spann::PostingFiles::Each& each) const {
  if (!how.lost) return postings_.read(numbers, scratch.room, each);
  const auto sound = [&](std::span<const slot_t> some) {
    try {
      postings_.read(some, scratch.room, each);
      return true;
    } catch (const IoError&) {
    } catch (const CorruptIndexError&) {
    }
    return false;
  };
  if (sound(numbers)) return;
  // One by one; what is found twice counts once.
  for (const slot_t& number : numbers)
    if (!sound({&number, 1})) ++*how.lost;
}

void IndexSPANN::compare_again(Group& group, const Probing& how, size_t k, Scratch& scratch) const {
  // As many queries at a time as have about so many bytes of candidates, one at least.
  constexpr size_t kTogether = size_t{4} << 20;
  struct Wanted {
    uint32_t query;
    id_t id;
  };
  const size_t size = whole_->code_size();
  std::vector<Wanted> wanted;
  std::vector<uint64_t> rows;
  std::vector<std::byte> vectors;
  std::vector<bool> there;
  const auto compare = [&] {
    vectors.resize(rows.size() * size);
    there.assign(rows.size(), false);
    const auto take = [&](size_t first) {
      return [&, first](size_t i, const std::byte* bytes) {
        std::copy_n(bytes, size, &vectors[(first + i) * size]);
        there[first + i] = true;
      };
    };
    try {
      vector_files_->read(rows, scratch.room, take(0));
    } catch (const Error&) {
      if (!how.lost) throw;
      for (size_t i = 0; i < rows.size(); ++i) try {
          if (!there[i]) vector_files_->read({&rows[i], 1}, scratch.room, take(i));
        } catch (const IoError&) {
          ++*how.lost;
        } catch (const CorruptIndexError&) {
          ++*how.lost;
        }
    }
    for (size_t at = 0; at < wanted.size();) {
      const uint32_t query = wanted[at].query;
      size_t end = at;
      while (end < wanted.size() && wanted[end].query == query) ++end;
      scratch.vectors->truncate(0);
      scratch.vectors->append(&vectors[at * size], end - at);
      scratch.whole->set_query(group.queries.row(query));
      near_in(*scratch.whole, *scratch.vectors, std::numeric_limits<float>::infinity(),
              [&](slot_t i, float distance) {
                if (there[at + i]) group.best[query].push({distance, wanted[at + i].id, 0});
              });
      at = end;
    }
    stats_.compared += rows.size();
    wanted.clear();
    rows.clear();
  };
  for (uint32_t i = 0; i < group.queries.rows; ++i) {
    for (const Candidate& c : group.best[i].finish()) {
      wanted.push_back({i, c.id});
      rows.push_back(c.row);
    }
    group.best[i] = Best(k);
    if (rows.size() * size >= kTogether || i + 1 == group.queries.rows) compare();
  }
}

void IndexSPANN::scan_added(Group& group, const Probing& how, Scratch& scratch) const {
  if (added_.empty()) return;
  for (size_t q = 0; q < group.queries.rows; ++q) {
    if (!group.sound[q]) continue;
    scratch.whole->set_query(group.queries.row(q));
    Best& best = group.best[q];
    near_in(*scratch.whole, *added_codes_, best.limit(), [&](slot_t i, float distance) {
      const id_t id = added_ids_[i];
      const auto at = added_.find(id);
      if (at != added_.end() && at->second == i && (!how.sel || how.sel->is_member(id)))
        best.push({distance, id, 0});
    });
  }
}

void IndexSPANN::verify() const {
  const std::shared_lock hold(lock());
  postings_.verify();
  if (vector_files_) vector_files_->verify();
  ids_.verify();
}

std::string IndexSPANN::summary() const {
  return text("postings=", postings_.postings(), ", ", io_backend());
}

size_t IndexSPANN::memory() const {
  size_t out = parts_.centroids->memory() + postings_.memory() + added_codes_->memory() +
               added_ids_.capacity() * sizeof(id_t) +
               (added_.size() + hidden_.size()) * 4 * sizeof(id_t) + cache_.memory() +
               ids_.memory();
  const std::unique_lock hold(spare_lock_, std::try_to_lock);
  if (hold)
    for (const auto& scratch : spare_) out += scratch->room.memory();
  return out;
}

}  // namespace shortlist
