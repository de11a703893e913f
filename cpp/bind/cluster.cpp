// A private submodule that shortlist.Kmeans and Clustering are made of.
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "bind/calls.h"
#include "cluster/assign.h"
#include "cluster/balance.h"
#include "cluster/hierarchical.h"
#include "cluster/init.h"
#include "cluster/kmeans.h"
#include "cluster/split.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using cluster::Iteration;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Stats = std::tuple<double, double, double, double, size_t>;
using Report = py::typing::Callable<void(Stats)>;
using Ids = py::array_t<id_t, py::array::c_style>;
using Cut = py::typing::Callable<Ids(py::array, size_t, uint64_t)>;

size_t count(py::ssize_t value, const char* name) {
  if (value < 0) throw ArgumentError(text(name, " = ", value, "; it cannot be negative"));
  return static_cast<size_t>(value);
}

Metric metric_of(int metric) {
  if (metric == static_cast<int>(Metric::l2)) return Metric::l2;
  if (metric == static_cast<int>(Metric::inner_product)) return Metric::inner_product;
  throw ArgumentError(text("metric ", metric,
                           " is not known; choose METRIC_L2 or "
                           "METRIC_INNER_PRODUCT"));
}

cluster::Init init_of(int method) {
  if (method == 0) return cluster::Init::random;
  if (method == 1) return cluster::Init::kmeans_plus_plus;
  throw UnsupportedError(text("init_method ", method,
                              " is not offered; choose "
                              "ClusteringInitMethod_RANDOM or "
                              "ClusteringInitMethod_KMEANS_PLUS_PLUS"));
}

slot_t slot_of(id_t label, size_t k) {
  if (label < 0 || static_cast<size_t>(label) >= k)
    throw ArgumentError(text("label ", label, " is none of ", k, " clusters"));
  return static_cast<slot_t>(label);
}

// Rows as floats, kept alive by `scratch` or `v`.
Matrix<const float> matrix(const Vectors2D& v, std::vector<float>& scratch) {
  return {as_floats(v.rows, scratch), v.rows.n, v.rows.d};
}

Stats stats_of(const Iteration& i) {
  return {i.objective, i.seconds, i.seconds_search, i.imbalance, i.splits};
}

std::pair<py::array_t<float>, std::vector<Stats>> kmeans(
    const ArrayLike& x, py::ssize_t k, const std::optional<Floats>& weights,
    const std::optional<ArrayLike>& initial, int metric, py::ssize_t niter, py::ssize_t nredo,
    bool spherical, bool int_centroids, bool frozen_centroids, py::ssize_t min_points_per_centroid,
    py::ssize_t max_points_per_centroid, int64_t seed, int init_method, double early_stop_threshold,
    double balanced, py::ssize_t batch_size, const py::object& progress,
    const std::optional<Report>& report) {
  const Vectors2D v = vectors(x);
  if (weights && (weights->ndim() != 1 || static_cast<size_t>(weights->size()) != v.rows.n))
    throw DimensionError(text("weights has shape ", std::string(py::str(weights->attr("shape"))),
                              "; expected (", v.rows.n, ",), one per vector"));
  std::vector<float> scratch;
  Vectors2D first;
  if (initial) first = vectors(*initial, "the initial centroids");
  cluster::Options options{
      .niter = count(niter, "niter"),
      .nredo = count(nredo, "nredo"),
      .metric = metric_of(metric),
      .spherical = spherical,
      .int_centroids = int_centroids,
      .min_points_per_centroid = count(min_points_per_centroid, "min_points_per_centroid"),
      .max_points_per_centroid = count(max_points_per_centroid, "max_points_per_centroid"),
      .seed = seed < 0 ? std::random_device()() : static_cast<uint64_t>(seed),
      .init = init_of(init_method),
      .early_stop_threshold = early_stop_threshold,
      .balanced = balanced,
      .batch_size = count(batch_size, "batch_size"),
      .weights = weights ? weights->data() : nullptr,
      .initial = matrix(first, scratch),
      .frozen = frozen_centroids,
      .progress = progress_from(progress),
  };
  if (report)
    options.report = [&](const Iteration& now) {
      const py::gil_scoped_acquire hold;
      (*report)(stats_of(now));
    };
  cluster::Clusters found;
  {
    const Unlocked unlocked;
    found = cluster::kmeans(v.rows, count(k, "k"), options);
  }
  std::vector<Stats> stats;
  for (const Iteration& i : found.iterations) stats.push_back(stats_of(i));
  py::array_t<float> centroids({k, static_cast<py::ssize_t>(v.rows.d)}, found.centroids.data());
  return {centroids, stats};
}

std::pair<py::array_t<float>, py::array_t<id_t>> assign(const ArrayLike& x,
                                                        const ArrayLike& centroids, int metric) {
  const Vectors2D v = vectors(x), c = vectors(centroids, "the centroids");
  if (v.rows.d != c.rows.d)
    throw DimensionError(
        text("the vectors have ", v.rows.d, " dimensions but the centroids have ", c.rows.d));
  const auto n = static_cast<py::ssize_t>(v.rows.n);
  py::array_t<float> distances(n);
  py::array_t<id_t> labels(n);
  float* D = distances.mutable_data();
  id_t* I = labels.mutable_data();
  const Metric by = metric_of(metric);
  const Unlocked unlocked;
  check_finite(v.rows, "assign");
  std::vector<float> scratch;
  std::vector<slot_t> nearest(v.rows.n, kNoSlot);
  cluster::Nearest(matrix(c, scratch), by).assign(v.rows, nearest.data(), D);
  for (size_t i = 0; i < v.rows.n; ++i) {
    I[i] = nearest[i];
    if (by == Metric::inner_product) D[i] = -D[i];
  }
  return {distances, labels};
}

// As assign, but to clusters of like sizes; also what a centroid costs.
std::tuple<py::array_t<float>, py::array_t<id_t>, py::array_t<float>> balance(
    const ArrayLike& x, const ArrayLike& centroids, int metric, double strength,
    const std::optional<Floats>& weights) {
  const Vectors2D v = vectors(x), c = vectors(centroids, "the centroids");
  py::array_t<float> distances(signed_size(v.rows.n)), prices(signed_size(c.rows.n));
  py::array_t<id_t> labels(signed_size(v.rows.n));
  float *D = distances.mutable_data(), *P = prices.mutable_data();
  id_t* I = labels.mutable_data();
  const Metric by = metric_of(metric);
  const Unlocked unlocked;
  std::vector<float> scratch;
  std::vector<slot_t> chosen(v.rows.n);
  const cluster::Nearest nearest(matrix(c, scratch), by);
  cluster::Balance balance(c.rows.n, strength);
  balance.assign(nearest, v.rows, weights ? weights->data() : nullptr, chosen.data(), D);
  std::copy(chosen.begin(), chosen.end(), I);
  std::copy(balance.prices().begin(), balance.prices().end(), P);
  return {distances, labels, prices};
}

std::pair<py::array_t<float>, py::array_t<id_t>> hierarchical(
    const ArrayLike& x, py::ssize_t max_size, int metric, py::ssize_t branching, py::ssize_t niter,
    bool spherical, int64_t seed, const std::optional<Cut>& cut, const py::object& progress) {
  const Vectors2D v = vectors(x);
  cluster::HierarchyOptions options{
      .branching = count(branching, "branching"),
      .niter = count(niter, "niter"),
      .metric = metric_of(metric),
      .spherical = spherical,
      .seed = static_cast<uint64_t>(seed),
      .progress = progress_from(progress),
  };
  if (cut)
    options.cut = [&](const Rows& part, size_t k, uint64_t s, slot_t* which) {
      const py::gil_scoped_acquire hold;
      const auto dtype = py::dtype(std::string(name_of(part.dtype)));
      const py::array rows(dtype, {part.n, part.d}, part.data, py::none());
      const auto labels = py::cast<Ids>((*cut)(rows, k, s));
      for (size_t i = 0; i < part.n; ++i) which[i] = slot_of(labels.at(i), k);
    };
  cluster::Hierarchy found;
  {
    const Unlocked unlocked;
    found = cluster::hierarchical_kmeans(v.rows, count(max_size, "max_size"), options);
  }
  const py::ssize_t k = signed_size(found.centroids.size() / v.rows.d);
  auto centroids = owning<float>(std::move(found.centroids), {k, signed_size(v.rows.d)});
  py::array_t<id_t> labels(signed_size(v.rows.n));
  std::copy(found.labels.begin(), found.labels.end(), labels.mutable_data());
  return {centroids, labels};
}

py::array_t<id_t> sample(py::ssize_t n, py::ssize_t wanted, int64_t seed) {
  const auto from = count(n, "n");
  const auto chosen =
      cluster::sample(from, std::min(from, count(wanted, "count")), static_cast<uint64_t>(seed));
  py::array_t<id_t> out(signed_size(chosen.size()));
  std::copy(chosen.begin(), chosen.end(), out.mutable_data());
  return out;
}

// Moves centroids of empty clusters, which are float32 in C order; how many it moved.
size_t split(py::array_t<float, py::array::c_style>& centroids, const Ids& points,
             const Doubles& weights, const Doubles& squares, py::ssize_t first, int64_t seed) {
  const auto k = centroids.shape(0);
  if (points.size() != k || weights.size() != k || squares.size() != k)
    throw DimensionError(text("there are ", k, " centroids; expected as many numbers of each"));
  std::vector<cluster::Spread> clusters;
  for (py::ssize_t c = 0; c < k; ++c)
    clusters.push_back({static_cast<size_t>(points.at(c)), weights.at(c), squares.at(c)});
  const Matrix<float> all{centroids.mutable_data(), static_cast<size_t>(k),
                          static_cast<size_t>(centroids.shape(1))};
  return cluster::split_largest(all, clusters, count(first, "first"), static_cast<uint64_t>(seed));
}

std::pair<py::array_t<id_t>, py::array_t<float>> share_out(cluster::Balance& self, const Ids& near,
                                                           const Floats& distances,
                                                           const std::optional<Floats>& weights) {
  const auto n = static_cast<size_t>(near.shape(0)), width = static_cast<size_t>(near.shape(1));
  if (near.ndim() != 2 || near.size() != distances.size() ||
      (weights && static_cast<size_t>(weights->size()) != n))
    throw DimensionError("candidates, their distances and weights do not fit each other");
  py::array_t<id_t> labels(signed_size(n));
  py::array_t<float> D(signed_size(n));
  id_t* I = labels.mutable_data();
  float* d = D.mutable_data();
  const id_t* from = near.data();
  const size_t k = self.prices().size();
  const Unlocked unlocked;
  std::vector<slot_t> slots(n * width), chosen(n);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = from[i] < 0 ? kNoSlot : slot_of(from[i], k);
  self.share_out({n, width, slots.data(), distances.data()}, weights ? weights->data() : nullptr,
                 chosen.data(), d);
  std::copy(chosen.begin(), chosen.end(), I);
  return {labels, D};
}

void bind_options(py::module_& m) {
  using cluster::Options;
  py::class_<Options>(m, "ClusteringOptions",
                      "How an index's train finds centroids: fields of ClusteringParameters.")
      .def_readwrite("niter", &Options::niter, "Iterations of k-means.")
      .def_readwrite("nredo", &Options::nredo, "Runs from other beginnings; the best is kept.")
      .def_readwrite("spherical", &Options::spherical, "Centroids of length 1.")
      .def_readwrite("int_centroids", &Options::int_centroids, "Centroids of whole numbers.")
      .def_readwrite("min_points_per_centroid", &Options::min_points_per_centroid,
                     "With fewer there is a warning.")
      .def_readwrite("max_points_per_centroid", &Options::max_points_per_centroid,
                     "Of more a sample is drawn.")
      .def_readwrite("seed", &Options::seed, "The same seed gives the same centroids.")
      .def_readwrite("balanced", &Options::balanced,
                     "0, plain k-means, to 1, centroids of clusters of like sizes. Vectors are "
                     "then assigned to the nearest centroid as ever.")
      .def_readwrite("batch_size", &Options::batch_size,
                     "Vectors of the first iterations, later ones have more; 0: all in each.");
}

}  // namespace

void bind_cluster(py::module_& m) {
  bind_options(m);
  py::module_ c = m.def_submodule("_cluster", "What Kmeans and Clustering are made of.");
  c.def("kmeans", &kmeans, py::arg("x"), py::arg("k"), py::kw_only(),
        py::arg("weights") = py::none(), py::arg("initial") = py::none(), py::arg("metric"),
        py::arg("niter"), py::arg("nredo"), py::arg("spherical"), py::arg("int_centroids"),
        py::arg("frozen_centroids"), py::arg("min_points_per_centroid"),
        py::arg("max_points_per_centroid"), py::arg("seed"), py::arg("init_method"),
        py::arg("early_stop_threshold"), py::arg("balanced"), py::arg("batch_size"),
        py::arg("progress") = py::none(), py::arg("report") = py::none(),
        "Centroids (k, d) float32 and (obj, time, time_search, imbalance_factor, nsplit) of each "
        "iteration.");
  c.def("assign", &assign, py::arg("x"), py::arg("centroids"), py::arg("metric"),
        "Of each row of x (n, d) the distance to its nearest centroid, (n,) float32, and that "
        "centroid's number, (n,) int64.");
  c.def("hierarchical", &hierarchical, py::arg("x"), py::arg("max_size"), py::arg("metric"),
        py::arg("branching"), py::arg("niter"), py::arg("spherical"), py::arg("seed"),
        py::arg("cut") = py::none(), py::arg("progress") = py::none(),
        "Centroids (k, d) float32, and of each row of x its cluster, (n,) int64.");
  c.def("balance", &balance, py::arg("x"), py::arg("centroids"), py::arg("metric"),
        py::arg("strength") = 1.0, py::arg("weights") = py::none(),
        "As assign, to clusters of like sizes; also the centroids' prices, (k,) float32.");
  c.def("sample", &sample, py::arg("n"), py::arg("count"), py::arg("seed"),
        "Which of n rows a sample is of, in their order: (count,) int64.");
  c.def("split", &split, py::arg("centroids").noconvert(), py::arg("points"), py::arg("weights"),
        py::arg("squares"), py::arg("first"), py::arg("seed"),
        "Makes centroids without weight, from `first` on, halves of those with the greatest summed "
        "squared distances; how many.");
  py::class_<cluster::Balance>(c, "Balance",
                               "Clusters of like sizes, where candidates are found elsewhere.")
      .def(py::init<size_t, double>(), py::arg("k"), py::arg("strength"))
      .def("share_out", &share_out, py::arg("near"), py::arg("distances"),
           py::arg("weights") = py::none(),
           "Of each row the centroid among the near ones, (n, candidates) int64, nearest first, "
           "that it goes to, and its distance.")
      .def_static("batch_rows", &cluster::Balance::batch_rows, py::arg("k"),
                  "How many rows are shared out together.")
      .def_readonly_static("candidates", &cluster::Balance::kCandidates);
}

}  // namespace shortlist
