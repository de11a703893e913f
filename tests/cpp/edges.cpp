// What random histories do not meet: interrupted adds, values that overflow, callbacks that turn
// back to the index.
#include <cmath>
#include <limits>

#include "subject.h"

namespace shortlist::test {
namespace {

struct Planned : std::runtime_error {
  Planned() : std::runtime_error("planned") {}
};

std::vector<id_t> nearest(const Index& index, const std::vector<float>& q, size_t k = 1) {
  const size_t n = q.size() / index.d;
  std::vector<float> distances(n * k);
  std::vector<id_t> labels(n * k);
  index.search(as_rows({q.data(), n, index.d}), k, distances.data(), labels.data());
  return labels;
}

std::vector<id_t> exactly_nearest(const Index& index, const std::vector<float>& q, size_t k = 1) {
  const size_t n = q.size() / index.d;
  std::vector<float> distances(n * k);
  std::vector<id_t> labels(n * k);
  index.search_exact(as_rows({q.data(), n, index.d}), k, distances.data(), labels.data());
  return labels;
}

// An interrupted add keeps the first vectors, whole and findable, and the index goes on.
void interrupted_adds_keep_a_prefix(Random& random) {
  const size_t d = 24, n = 3000;
  for (const Kind& kind : kinds()) {
    if (kind.name != "HNSW" && kind.name != "HNSW u8" && kind.name != "HNSW deterministic" &&
        kind.name != "IDMap2 HNSW" && kind.name != "Refine HNSW")
      continue;
    const auto index = kind.make(d, Metric::l2);
    std::vector<float> x = random_rows(random, n, d);
    for (float& v : x) v = std::floor(v);  // so that a u8 index finds each at distance 0
    std::vector<id_t> ids(n);
    for (size_t i = 0; i < n; ++i) ids[i] = static_cast<id_t>(kind.traits.named ? 5 * i + 2 : i);
    const auto add = [&](size_t begin, size_t end, const AddOptions& options) {
      const Rows rows = as_rows({x.data(), n, d}).slice(begin, end);
      kind.traits.named ? index->add_with_ids(rows, ids.data() + begin, options)
                        : index->add(rows, options);
    };
    size_t held = 0;
    for (int round = 0; round < 3; ++round) {
      int calls = 0;
      const AddOptions stop{.progress = [&](size_t, size_t) {
        if (++calls == 2) throw Planned();
      }};
      bool stopped = false;
      try {
        add(held, n, stop);
      } catch (const Planned&) {
        stopped = true;
      }
      const size_t now = index->ntotal();
      CHECK(now >= held && now <= n);
      CHECK(stopped || now == n);
      if (now) {
        const std::vector<float> own{x.begin(), x.begin() + static_cast<ptrdiff_t>(now * d)};
        const auto found = nearest(*index, own);
        CHECK(exactly_nearest(*index, own) ==
              std::vector<id_t>(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(now)));
        size_t right = 0;
        for (size_t i = 0; i < now; ++i) {
          CHECK(found[i] >= 0);
          right += found[i] == ids[i];
        }
        CHECK(right * 100 >= now * 95);
      }
      held = now;
      if (held == n) break;
    }
    add(held, n, {});
    CHECK_EQ(index->ntotal(), n);
    CHECK_EQ(nearest(*index, {x.end() - static_cast<ptrdiff_t>(d), x.end()})[0], ids[n - 1]);
  }
}

// Distances beyond float, and vectors that are never found, must not lead a walk astray.
void overflowing_and_missing_values(Random& random) {
  const size_t d = 4;
  for (const Metric metric : {Metric::l2, Metric::inner_product}) {
    IndexHNSWFlat large(d, 8, metric);  // leaves slots behind in this thread's walk
    const std::vector<float> x = random_rows(random, 500, d);
    large.add(as_rows({x.data(), 500, d}));
    for (size_t threads : {size_t{1}, size_t{3}})
      for (float value : {NAN, INFINITY, 1e30f, -3e38f}) {
        set_num_threads(threads);
        IndexHNSWFlat index(d, 8, metric);
        std::vector<float> bad = random_rows(random, 40, d);
        for (size_t i = 0; i < bad.size(); i += 3 * d) bad[i + random.below(d)] = value;
        index.add(as_rows({bad.data(), 40, d}), {.allow_nan = true, .progress = {}});
        CHECK_EQ(index.ntotal(), size_t{40});
        for (id_t id : nearest(index, x, 5)) CHECK(id < 40);
        for (id_t id : exactly_nearest(index, x, 40)) CHECK(id < 40);
        const id_t first[] = {0, 3, 6};
        CHECK_EQ(index.remove_ids(SelectorBatch({first[0], first[1], first[2]})), size_t{3});
        index.add(as_rows({bad.data(), 40, d}), {.allow_nan = true, .progress = {}});
        for (id_t id : nearest(index, bad, 5)) CHECK(id < 80);
        for (id_t id : exactly_nearest(index, bad, 80)) CHECK(id != 0 && id != 3 && id != 6);
      }
  }
}

// int8 codes come, are made again on a wider grid, and go, with and without blocks of them.
void codes_follow_the_vectors(Random& random) {
  const size_t d = 9, n = 1500;
  std::vector<float> x = random_rows(random, n + 20, d);
  for (size_t i = n * d; i < x.size(); ++i) x[i] *= 1.2f;
  const Rows rows = as_rows({x.data(), n + 20, d});
  for (const bool blocks : {false, true}) {
    set_num_threads(random.between(1, 3));
    IndexHNSWFlat index(d, 8);
    index.hnsw->efSearch = 96;
    index.use_neighbor_blocks(blocks);
    const auto check = [&](bool coded) {
      CHECK_EQ(index.walks_codes(), coded);
      const std::vector<id_t> found =
          nearest(index, {x.begin(), x.begin() + static_cast<ptrdiff_t>(index.ntotal() * d)});
      size_t themselves = 0;
      for (size_t i = 0; i < found.size(); ++i) themselves += found[i] == static_cast<id_t>(i);
      CHECK(themselves * 10 >= found.size() * 9);
    };
    index.add(rows.slice(0, 900));
    check(false);
    index.add(rows.slice(900, n));
    check(true);
    index.add(rows.slice(n, n + 20));
    check(true);
    index.use_int8_traversal(false);
    check(false);
    index.use_int8_traversal(true);
    check(true);
    float bad[d] = {NAN};
    index.add(as_rows({bad, 1, d}), {.allow_nan = true, .progress = {}});
    CHECK(!index.walks_codes());
    CHECK_EQ(index.remove_ids(SelectorBatch({static_cast<id_t>(n + 20)})), size_t{1});
    check(false);
  }
}

void callbacks_cannot_turn_back(Random& random) {
  const size_t d = 8, n = 2000;
  const std::vector<float> x = random_rows(random, n, d);
  const Rows rows = as_rows({x.data(), n, d});
  IndexHNSWFlat index(d, 8);
  size_t refused = 0;
  index.add(rows, {.progress = [&](size_t, size_t) {
              try {
                nearest(index, x);
              } catch (const BusyError&) {
                ++refused;
              }
            }});
  CHECK(refused > 0);
  CHECK_EQ(index.ntotal(), n);
}

void empty_and_erased_indexes(Random& random) {
  const size_t d = 6;
  for (const Kind& kind : kinds()) {
    const auto index = kind.make(d, Metric::l2);
    const std::vector<float> x = random_rows(random, 200, d);
    const Rows rows = as_rows({x.data(), 200, d});
    if (!index->is_trained()) {
      CHECK_THROWS(NotTrainedError, index->add(rows));
      CHECK_THROWS(NotTrainedError, exactly_nearest(*index, x));
      index->train(rows);
    }
    for (id_t id : nearest(*index, x, 3)) CHECK_EQ(id, kNoId);
    for (id_t id : exactly_nearest(*index, x, 3)) CHECK_EQ(id, kNoId);
    CHECK_EQ(index->range_search(rows, 1e9f).labels.size(), size_t{0});
    if (!kind.traits.removes) continue;
    std::vector<id_t> ids(200);
    for (size_t i = 0; i < 200; ++i) ids[i] = static_cast<id_t>(i);
    for (int round = 0; round < 3; ++round) {
      kind.traits.named ? index->add_with_ids(rows, ids.data()) : index->add(rows);
      CHECK_EQ(index->ntotal(), size_t{200});
      CHECK_EQ(index->remove_ids(SelectorAll()), size_t{200});
      CHECK_EQ(index->ntotal(), size_t{0});
      for (id_t id : nearest(*index, x, 3)) CHECK_EQ(id, kNoId);
      for (id_t id : exactly_nearest(*index, x, 3)) CHECK_EQ(id, kNoId);
      CHECK_EQ(index->remove_ids(SelectorAll()), size_t{0});
    }
  }
}

// One thread, one input: one graph, whatever the batches.
void single_thread_builds_are_repeatable(Random& random) {
  set_num_threads(1);
  const size_t d = 12, n = 600;
  const std::vector<float> x = random_rows(random, n, d);
  const auto build = [&](size_t batch) {
    auto index = std::make_shared<IndexHNSWFlat>(d, 6);
    for (size_t at = 0; at < n; at += batch)
      index->add(as_rows({x.data(), n, d}).slice(at, std::min(n, at + batch)));
    return index;
  };
  const auto whole = build(n), pieces = build(7);
  for (slot_t s = 0; s < n; ++s) {
    CHECK_EQ(whole->hnsw->level(s), pieces->hnsw->level(s));
    for (int level = 0; level <= whole->hnsw->level(s); ++level) {
      const auto a = whole->hnsw->links(s, level), b = pieces->hnsw->links(s, level);
      CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    }
  }
}

}  // namespace

void edges(uint64_t seed) {
  Random random(seed);
  const size_t before = num_threads();
  set_num_threads(3);
  interrupted_adds_keep_a_prefix(random);
  overflowing_and_missing_values(random);
  codes_follow_the_vectors(random);
  callbacks_cannot_turn_back(random);
  empty_and_erased_indexes(random);
  single_thread_builds_are_repeatable(random);
  set_num_threads(before);
}

}  // namespace shortlist::test
