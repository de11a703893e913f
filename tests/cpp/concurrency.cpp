// Many threads read one index while one changes it: every answer must be true at some moment.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>
#include <thread>

#include "base/random.h"
#include "index/ivf_pqr.h"
#include "index/save.h"
#include "subject.h"

namespace shortlist::test {
namespace {

constexpr size_t kDim = 12;

// The vector that belongs to an id, so that answers can be checked without knowing the moment.
void vector_of(id_t id, float* out) {
  for (size_t i = 0; i < kDim; ++i)
    out[i] = static_cast<float>(mix64(static_cast<uint64_t>(id) * kDim + i) % 128);
}

std::vector<float> vectors_of(const std::vector<id_t>& ids) {
  std::vector<float> out(ids.size() * kDim);
  for (size_t i = 0; i < ids.size(); ++i) vector_of(ids[i], out.data() + i * kDim);
  return out;
}

double squared(const float* q, id_t id) {
  float x[kDim];
  vector_of(id, x);
  double sum = 0;
  for (size_t i = 0; i < kDim; ++i) sum += std::pow(double{q[i]} - x[i], 2);
  return sum;
}

class Failures {
 public:
  template <class Body>
  std::thread run(Body body) {
    return std::thread([this, body] {
      try {
        body();
      } catch (const std::exception& e) {
        const std::lock_guard hold(mutex_);
        if (first_.empty()) first_ = e.what();
        stop = true;
      }
    });
  }
  void check() const {
    if (!first_.empty()) throw Failure(first_);
  }
  std::atomic<bool> stop{false};

 private:
  std::mutex mutex_;
  std::string first_;
};

void read(const Index& index, Random& random) {
  const size_t n = random.between(1, 9), k = random.between(1, 15);
  std::vector<id_t> about(n);
  for (id_t& id : about) id = static_cast<id_t>(random.below(3000));
  const std::vector<float> q = vectors_of(about);
  const Rows rows = as_rows({q.data(), n, kDim});
  SearchParameters params;
  if (random.chance(0.3)) params.sel = std::make_shared<SelectorRange>(100, 900);
  switch (random.below(6)) {
    case 0: {
      const RangeResult found = index.range_search(rows, 3000);
      for (size_t i = 0; i < n; ++i)
        for (size_t at = found.lims[i]; at < found.lims[i + 1]; ++at)
          CHECK(std::abs(found.distances[at] - squared(q.data() + i * kDim, found.labels[at])) <
                0.5);
      break;
    }
    case 1: {
      const id_t id = about[0];
      std::vector<float> out(kDim);
      try {
        index.reconstruct_batch(&id, 1, out.data());
      } catch (const IdError&) {
        break;
      }
      CHECK(squared(out.data(), id) == 0);
      break;
    }
    case 2: {
      if (random.chance(0.9)) break;  // large
      const auto copy = clone_index(index);
      CHECK_EQ(copy->class_name(), index.class_name());
      break;
    }
    default: {
      std::vector<float> distances(n * k);
      std::vector<id_t> labels(n * k);
      if (!params.sel && random.chance(0.5))
        index.search_exact(rows, k, distances.data(), labels.data());
      else
        index.search(rows, k, distances.data(), labels.data(), &params);
      for (size_t i = 0; i < n; ++i) {
        std::set<id_t> seen;
        for (size_t j = i * k; j < (i + 1) * k && labels[j] != kNoId; ++j) {
          CHECK(seen.insert(labels[j]).second);
          CHECK(!params.sel || params.sel->is_member(labels[j]));
          CHECK(std::abs(distances[j] - squared(q.data() + i * kDim, labels[j])) < 0.5);
          CHECK(j == i * k || distances[j] >= distances[j - 1]);
        }
      }
    }
  }
}

void readers_beside_a_writer(const std::shared_ptr<Index>& index, bool named, bool removes,
                             uint64_t seed) {
  Failures all;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t)
    threads.push_back(all.run([&, t] {
      Random random(seed + 100 + t);
      while (!all.stop) read(*index, random);
    }));
  threads.push_back(all.run([&] {
    Random random(seed);
    id_t next = 0;
    std::set<id_t> held;
    for (int round = 0; round < 60 && !all.stop; ++round) {
      std::vector<id_t> ids(random.between(1, 60));
      for (id_t& id : ids) held.insert(id = next++);
      const std::vector<float> x = vectors_of(ids);
      const Rows rows = as_rows({x.data(), ids.size(), kDim});
      named ? index->add_with_ids(rows, ids.data()) : index->add(rows);
      if (!removes) continue;
      std::vector<id_t> gone;
      for (id_t id : held)
        if (random.chance(0.15)) gone.push_back(id);
      CHECK_EQ(index->remove_ids(SelectorBatch(gone)), gone.size());
      for (id_t id : gone) held.erase(id);
      if (auto* graph = dynamic_cast<IndexHNSW*>(index.get()); graph && !held.empty()) {
        const std::vector<id_t> same(
            held.begin(),
            std::next(held.begin(), static_cast<ptrdiff_t>(std::min<size_t>(held.size(), 20))));
        const std::vector<float> y = vectors_of(same);
        graph->update_vectors(as_rows({y.data(), same.size(), kDim}), same.data());
      }
    }
    all.stop = true;
  }));
  for (auto& t : threads) t.join();
  all.check();
}

// While one call adds or updates many vectors, searches find what a prefix of its rows would make.
void searches_during_long_changes(const std::shared_ptr<Index>& index, bool named) {
  constexpr size_t kRows = 1000, kBefore = 100;
  std::vector<id_t> ids(kBefore + kRows);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<id_t>(i);
  const std::vector<float> x = vectors_of(ids);
  const Rows all_rows = as_rows({x.data(), ids.size(), kDim});
  const auto add = [&](size_t begin, size_t end, const AddOptions& options) {
    const Rows rows = all_rows.slice(begin, end);
    named ? index->add_with_ids(rows, ids.data() + begin, options) : index->add(rows, options);
  };
  add(0, kBefore, {});
  Failures all;
  std::atomic<int> asking{0};
  std::set<size_t> sizes;  // of the prefixes seen
  std::mutex seen;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.push_back(all.run([&] {
      std::vector<float> distances(ids.size());
      std::vector<id_t> labels(ids.size());
      while (!all.stop) {
        ++asking;
        index->search_exact(all_rows.slice(0, 1), ids.size(), distances.data(), labels.data());
        --asking;
        std::sort(labels.begin(), labels.end());
        const auto first = std::upper_bound(labels.begin(), labels.end(), kNoId);
        const auto found = static_cast<size_t>(labels.end() - first);
        CHECK(found >= kBefore);
        for (size_t i = 0; i < found; ++i) CHECK_EQ(first[static_cast<ptrdiff_t>(i)], ids[i]);
        const std::lock_guard hold(seen);
        sizes.insert(found);
      }
    }));
  threads.push_back(all.run([&] {
    const AddOptions options{.progress = [&](size_t, size_t) {
      while (!asking && !all.stop) std::this_thread::yield();
    }};
    add(kBefore, ids.size(), options);
    if (auto* graph = dynamic_cast<IndexHNSW*>(index.get()))  // finds every id once, all the time
      graph->update_vectors(all_rows, ids.data(), options);
    all.stop = true;
  }));
  for (auto& t : threads) t.join();
  all.check();
  sizes.erase(kBefore);
  sizes.erase(ids.size());
  CHECK(!sizes.empty());
}

// Of codes that keep these vectors exactly, though the first of the two do not.
std::shared_ptr<Index> exact_pqr() {
  constexpr size_t kLists = 4;
  const auto steps = [](int nbits, float least, float step) {
    auto pq = std::make_shared<ProductQuantizer>(kDim, kDim, nbits);
    std::vector<float> centroids;
    for (size_t i = 0; i < kDim * pq->ksub(); ++i)
      centroids.push_back(least + step * static_cast<float>(i % pq->ksub()));
    pq->set_centroids(std::move(centroids));
    return pq;
  };
  auto quantizer = std::make_shared<IndexFlatL2>(kDim);
  const std::vector<float> centroids = vectors_of({1, 2, 3, 4});
  quantizer->add(as_rows({centroids.data(), kLists, kDim}));
  auto index = std::make_shared<IndexIVFPQR>(quantizer, kLists, steps(6, -128, 4), steps(3, -4, 1));
  index->nprobe = 2;
  return index;
}

// Merges in both directions at once must not wait for each other.
void merges_across() {
  Failures all;
  IndexFlatL2 a(kDim), b(kDim);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.push_back(all.run([&, t] {
      const std::vector<float> x = vectors_of({1, 2, 3});
      for (int i = 0; i < 200; ++i) {
        (t ? a : b).add(as_rows({x.data(), 3, kDim}));
        t ? a.merge_from(b, 0) : b.merge_from(a, 0);
      }
    }));
  for (auto& t : threads) t.join();
  all.check();
  CHECK_EQ(a.ntotal() + b.ntotal(), size_t{1200});
}

void parallel_builds_find_themselves(uint64_t seed) {
  Random random(seed);
  for (size_t threads : {size_t{2}, size_t{4}}) {
    set_num_threads(threads);
    IndexHNSWFlat index(kDim, 12);
    std::vector<id_t> ids(3000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<id_t>(i);
    const std::vector<float> x = vectors_of(ids);
    index.add(as_rows({x.data(), ids.size(), kDim}));
    std::vector<float> distances(ids.size());
    std::vector<id_t> labels(ids.size());
    index.search(as_rows({x.data(), ids.size(), kDim}), 1, distances.data(), labels.data());
    size_t right = 0;
    for (size_t i = 0; i < ids.size(); ++i) right += labels[i] == ids[i];
    CHECK(right * 100 >= ids.size() * 99);
    for (slot_t s = 0; s < index.hnsw->size(); ++s)
      for (int level = 0; level <= index.hnsw->level(s); ++level) {
        const auto links = index.hnsw->links(s, level);
        const std::set<slot_t> unique(links.begin(), links.end());
        CHECK_EQ(unique.size(), links.size());
        CHECK(!unique.count(s));
      }
  }
}

}  // namespace

void concurrency(uint64_t seed) {
  const size_t before = num_threads();
  set_num_threads(3);
  readers_beside_a_writer(std::make_shared<IndexFlatL2>(kDim), false, false, seed);
  readers_beside_a_writer(std::make_shared<IndexHNSWFlat>(kDim, 8), false, true, seed);
  readers_beside_a_writer(std::make_shared<IndexHNSWFlat>(kDim, 8, Metric::l2, DType::u8), false,
                          true, seed);
  readers_beside_a_writer(std::make_shared<IndexIDMap2>(std::make_shared<IndexFlatL2>(kDim)), true,
                          true, seed);
  readers_beside_a_writer(std::make_shared<IndexIDMap2>(std::make_shared<IndexHNSWFlat>(kDim, 8)),
                          true, true, seed);
  readers_beside_a_writer(std::make_shared<IndexRefineFlat>(
                              std::make_shared<IndexHNSWFlat>(kDim, 8, Metric::l2, DType::u8)),
                          false, false, seed);
  readers_beside_a_writer(exact_pqr(), false, true, seed);
  readers_beside_a_writer(unchanged_before(std::make_shared<IndexHNSWFlat>(kDim, 8)), false, true,
                          seed);
  searches_during_long_changes(unchanged_before(std::make_shared<IndexHNSWFlat>(kDim, 8)), false);
  for (const bool blocks : {false, true}) {
    const auto graph = std::make_shared<IndexHNSWFlat>(kDim, 8);
    graph->use_neighbor_blocks(blocks);
    searches_during_long_changes(graph, false);
  }
  searches_during_long_changes(
      std::make_shared<IndexIDMap2>(std::make_shared<IndexHNSWFlat>(kDim, 8)), true);
  searches_during_long_changes(std::make_shared<IndexRefineFlat>(
                                   std::make_shared<IndexHNSWFlat>(kDim, 8, Metric::l2, DType::u8)),
                               false);
  merges_across();
  parallel_builds_find_themselves(seed);
  set_num_threads(before);
}

}  // namespace shortlist::test
