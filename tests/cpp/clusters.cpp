// k-means: the same bytes whatever the threads, all dtypes and sizes, and stopping half way.
#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "check.h"
#include "cluster/assign.h"
#include "cluster/hierarchical.h"
#include "cluster/kmeans.h"

namespace shortlist::test {
namespace {

struct Planned : std::runtime_error {
  Planned() : std::runtime_error("planned") {}
};

// Exactly as many bytes as there are values, so that a read past them is seen.
struct Data {
  std::vector<std::byte> bytes;
  Rows rows;
  Data(Random& random, size_t n, size_t d, DType dtype) : bytes(n * d * size_of(dtype)) {
    rows = {bytes.data(), n, d, dtype};
    for (size_t i = 0; i < n * d; ++i) {
      const auto whole = static_cast<int8_t>(random.between(0, 20));
      if (dtype == DType::f32) {
        const float x = random.normal() + static_cast<float>(whole);
        std::memcpy(bytes.data() + 4 * i, &x, 4);
      } else if (dtype == DType::f16) {
        const auto bits = static_cast<uint16_t>(0x3c00 + random.below(2000));  // 1 to 4
        std::memcpy(bytes.data() + 2 * i, &bits, 2);
      } else {
        bytes[i] = static_cast<std::byte>(whole);
      }
    }
  }
};

void every_shape(Random& random) {
  for (int round = 0; round < 60; ++round) {
    const size_t n = random.between(1, 500), k = random.between(1, std::min<size_t>(n, 140));
    const Data data(random, n, random.between(1, 80), static_cast<DType>(random.below(4)));
    std::vector<float> weights(n);
    for (float& w : weights) w = static_cast<float>(random.below(3) + 1);
    cluster::Options options;
    options.niter = random.below(4);
    options.nredo = random.between(1, 2);
    options.metric = random.chance(0.5) ? Metric::l2 : Metric::inner_product;
    options.spherical = options.metric == Metric::inner_product;
    options.init = random.chance(0.5) ? cluster::Init::random : cluster::Init::kmeans_plus_plus;
    options.max_points_per_centroid = random.between(1, 10);
    options.balanced = random.chance(0.5) ? 1 : 0;
    options.batch_size = random.chance(0.5) ? random.between(k, n) : 0;
    options.weights = random.chance(0.5) ? weights.data() : nullptr;
    options.seed = random.bits();
    std::vector<float> wanted;
    for (size_t threads : {1, 2, 5}) {
      set_num_threads(threads);
      const auto found = cluster::kmeans(data.rows, k, options);
      CHECK_EQ(found.centroids.size(), k * data.rows.d);
      for (float x : found.centroids) CHECK(std::isfinite(x));
      if (wanted.empty()) wanted = found.centroids;
      CHECK(std::memcmp(wanted.data(), found.centroids.data(), wanted.size() * 4) == 0);
    }
  }
}

void every_hierarchy(Random& random) {
  for (int round = 0; round < 30; ++round) {
    const size_t n = random.between(1, 600), d = random.between(1, 40);
    const Data data(random, n, d, static_cast<DType>(random.below(4)));
    const size_t max_size = random.between(1, 90);
    cluster::HierarchyOptions options;
    options.branching = random.between(2, 9);
    options.niter = random.below(4);
    options.metric = random.chance(0.5) ? Metric::l2 : Metric::inner_product;
    options.spherical = options.metric == Metric::inner_product;
    std::vector<float> wanted;
    for (size_t threads : {1, 2, 5}) {
      set_num_threads(threads);
      const auto found = cluster::hierarchical_kmeans(data.rows, max_size, options);
      std::vector<size_t> sizes(found.centroids.size() / d);
      for (slot_t label : found.labels) ++sizes.at(label);
      for (size_t size : sizes) CHECK(size >= 1 && size <= max_size);
      if (wanted.empty()) wanted = found.centroids;
      CHECK(wanted == found.centroids);
    }
  }
}

void any_guess_gives_the_same_answer(Random& random) {
  const Data data(random, 700, 33, DType::f32), centroids(random, 130, 33, DType::f32);
  const Matrix<const float> matrix{static_cast<const float*>(centroids.rows.data), 130, 33};
  for (Metric metric : {Metric::l2, Metric::inner_product}) {
    const cluster::Nearest nearest(matrix, metric);
    std::vector<slot_t> wanted(700, kNoSlot), found(700);
    std::vector<float> far(700), distances(700);
    nearest.assign(data.rows, wanted.data(), far.data());
    for (slot_t& guess : found) guess = static_cast<slot_t>(random.below(130));
    nearest.assign(data.rows, found.data(), distances.data());
    CHECK(found == wanted);
    CHECK(distances == far);
  }
}

void stopping(Random& random) {
  const Data data(random, 4000, 20, DType::f32);
  cluster::Options options;
  size_t reports = 0;
  options.report = [&](const cluster::Iteration&) {
    if (++reports == 3) throw Planned();
  };
  CHECK_THROWS(Planned, cluster::kmeans(data.rows, 50, options));
  CHECK_EQ(reports, size_t{3});
  for (const auto init : {cluster::Init::random, cluster::Init::kmeans_plus_plus}) {
    cluster::Options endless;
    endless.niter = SIZE_MAX;
    endless.init = init;
    endless.early_stop_threshold = -1;
    endless.balanced = random.chance(0.5) ? 1 : 0;
    set_interrupt_hook([] { throw Planned(); });
    CHECK_THROWS(Planned, cluster::kmeans(data.rows, 900, endless));
    set_interrupt_hook(nullptr);
  }
}

}  // namespace

void clusters(uint64_t seed) {
  Random random(seed);
  const size_t before = num_threads();
  every_shape(random);
  every_hierarchy(random);
  any_guess_gives_the_same_answer(random);
  stopping(random);
  set_num_threads(before);
}

}  // namespace shortlist::test
