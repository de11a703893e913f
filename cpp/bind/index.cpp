// What every index offers. Arguments in, arguments out.
#include "index/index.h"

#include <pybind11/stl.h>

#include <cmath>

#include "bind/bind.h"
#include "bind/calls.h"

namespace shortlist {

Ranges found_within(const Index& index, const Vectors2D& x, float radius, const Params& given) {
  const Params params = frozen(given);
  RangeResult r;
  {
    const Unlocked unlocked;
    r = index.range_search(x.rows, radius, params.get());
  }
  return as_ranges(r);
}

py::tuple as_ranges(const RangeResult& r) {
  return py::make_tuple(py::array_t<uint64_t>(signed_size(r.lims.size()), r.lims.data()),
                        py::array_t<float>(signed_size(r.distances.size()), r.distances.data()),
                        py::array_t<id_t>(signed_size(r.labels.size()), r.labels.data()));
}

std::vector<id_t> ids_from(const Index& index, id_t n0, py::ssize_t ni) {
  const auto total = static_cast<id_t>(index.ntotal());
  const id_t n = ni < 0 ? total - n0 : ni;
  if (n0 < 0 || n < 0 || n > total)
    throw IdError(text("ids ", n0, " to ", n0 + n, " are not all there; ntotal is ", total));
  std::vector<id_t> keys(static_cast<size_t>(n));
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = n0 + static_cast<id_t>(i);
  return keys;
}

size_t remove_ids(Index& index, const py::object& x) {
  if (py::isinstance<Selector>(x)) {
    const auto sel = x.cast<std::shared_ptr<Selector>>();
    const Unlocked unlocked;
    return index.remove_ids(*sel);
  }
  const SelectorBatch sel(ids(py::reinterpret_borrow<ArrayLike>(x), -1, "x"));
  const Unlocked unlocked;
  return index.remove_ids(sel);
}

namespace {

using Pair = py::typing::Tuple<py::array_t<float>, py::array_t<id_t>>;
using Triple = py::typing::Tuple<py::array_t<float>, py::array_t<id_t>, py::array_t<float>>;

Found<float> search(const Index& index, const Vectors2D& x, py::ssize_t k, const Params& given,
                    const py::object& D, const py::object& I) {
  const Params params = frozen(given);
  const auto run = [&](size_t width, float* distances, id_t* labels) {
    index.search(x.rows, width, distances, labels, params.get());
  };
  return found_by<float>(run, x, k, D, I);
}

py::array_t<float> reconstruct_rows(const Index& index, const std::vector<id_t>& keys,
                                    const py::object& out) {
  const size_t d = index.d;
  auto rows = output<float>(out, {signed_size(keys.size()), signed_size(d)}, "x");
  float* data = rows.mutable_data();
  const Unlocked unlocked;
  index.reconstruct_batch(keys.data(), keys.size(), data, d);
  return rows;
}

// Rows of missing ids are NaN, as in faiss.
py::array_t<float> reconstruct_found(const Index& index, const py::array_t<id_t>& labels,
                                     const py::object& out) {
  const py::ssize_t n = labels.shape(0), k = labels.shape(1);
  const size_t d = index.d;
  check_result_size(4. * static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(d),
                    "the reconstructed vectors");
  auto rows = output<float>(out, {n, k, signed_size(d)}, "R");
  float* data = rows.mutable_data();
  const id_t* ids = labels.data();
  const Unlocked unlocked;
  for (py::ssize_t i = 0; i < n; ++i) {
    const id_t* own = ids + i * k;
    const auto found = static_cast<size_t>(std::find(own, own + k, kNoId) - own);
    float* row = data + static_cast<size_t>(i * k) * d;
    index.reconstruct_batch(own, found, row, d);
    std::fill(row + found * d, row + static_cast<size_t>(k) * d, NAN);
  }
  return rows;
}

std::string describe(const Index& index) {
  const double megabytes = static_cast<double>(index.memory()) / 1e6;
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << index.class_name() << "(d=" << index.d
      << ", metric=" << name_of(index.metric_type) << ", ntotal=" << index.ntotal() << ", "
      << index.summary() << ", " << megabytes << " MB"
      << (index.is_trained() ? "" : ", not trained") << ")";
  return out.str();
}

void bind_changes(py::class_<Index, py::smart_holder>& c) {
  c.def(
       "train",
       [](Index& self, const ArrayLike& x, const std::optional<ArrayLike>& queries,
          const std::optional<std::string>& objective) {
         const Vectors2D v = vectors(x);
         if (!queries) {
           if (objective)
             throw ArgumentError(text("objective = '", *objective,
                                      "' without queries says nothing; pass queries=... too"));
           const Unlocked unlocked;
           return self.train(v.rows);
         }
         const Vectors2D q = vectors(*queries, "queries");
         std::optional<Objective> wanted;
         if (objective) wanted = objective_named(*objective);
         const Unlocked unlocked;
         self.train_for(v.rows, q.rows, wanted);
       },
       py::arg("x"), py::kw_only(), py::arg("queries") = py::none(),
       py::arg("objective") = py::none(),
       "Learns what the codec needs (value ranges, for scalar quantizers) from x (n, d).\n\n"
       "queries: a sample (m, d) of what will be searched for, where a QueryAwareTransform stands "
       "before the index (index_factory: \"QA,...\"); it says what comes of them, and its "
       "objective \"recall\" or \"score\" may be overruled here. Raises DimensionError for another "
       "d, ArgumentError for NaN or Inf, for queries that are too few, and for a "
       "QueryAwareTransform without any, UnsupportedError for queries where there is none.")
      .def(
          "add",
          [](Index& self, const ArrayLike& x, bool allow_nan, const py::object& progress) {
            const Vectors2D v = vectors(x);
            const AddOptions options{.allow_nan = allow_nan, .progress = progress_from(progress)};
            const Unlocked unlocked;
            self.add(v.rows, options);
          },
          py::arg("x"), py::kw_only(), py::arg("allow_nan") = false,
          py::arg("progress") = py::none(),
          "Stores the rows of x (n, d) under the next ids.\n\n"
          "Rows are stored in parts of a few milliseconds. Searches in other threads get in "
          "between two parts and see the rows before; other changes wait for the end. float32, "
          "float16, uint8 and int8 arrays are read without conversion. progress(done, total) is "
          "called every now and then; Ctrl-C or an exception in it stops after the vectors stored "
          "so far.\n\n"
          "Raises DimensionError for another d, ArgumentError for NaN or Inf (unless allow_nan), "
          "NotTrainedError before train.")
      .def(
          "add_with_ids",
          [](Index& self, const ArrayLike& x, const ArrayLike& xids, bool allow_nan,
             const py::object& progress) {
            const Vectors2D v = vectors(x);
            const auto keys = ids(xids, signed_size(v.rows.n));
            const AddOptions options{.allow_nan = allow_nan, .progress = progress_from(progress)};
            const Unlocked unlocked;
            self.add_with_ids(v.rows, keys.data(), options);
          },
          py::arg("x"), py::arg("ids"), py::kw_only(), py::arg("allow_nan") = false,
          py::arg("progress") = py::none(),
          "Stores the rows of x (n, d) under ids (n,), any integers.\n\n"
          "IndexIDMap, IndexIDMap2 and the HNSW indexes offer it; others raise UnsupportedError. "
          "Otherwise as add.")
      .def("remove_ids", &remove_ids, py::arg("x"),
           "Removes the ids in x, an IDSelector or an integer array; returns how many were "
           "there.\n\n"
           "In IndexFlat and IndexScalarQuantizer the rows behind move up and take smaller ids, as "
           "in faiss; "
           "IDMaps and HNSW indexes keep all other ids.")
      .def(
          "reset",
          [](Index& self) {
            const Unlocked unlocked;
            self.reset();
          },
          "Removes every vector; what was trained stays.")
      .def(
          "merge_from",
          [](Index& self, Index& other, id_t add_id) {
            const Unlocked unlocked;
            self.merge_from(other, add_id);
          },
          py::arg("otherIndex"), py::arg("add_id") = 0,
          "Moves the vectors of another index of the same class behind ours and leaves it empty. "
          "Where ids are kept "
          "they grow by add_id.")
      .def("check_compatible_for_merge", &Index::check_compatible_for_merge, py::arg("otherIndex"),
           "Raises ArgumentError unless merge_from could take the other index.");
}

void bind_reads(py::class_<Index, py::smart_holder>& c) {
  c.def(
       "search",
       [](const Index& self, const ArrayLike& x, py::ssize_t k, const Params& params,
          const py::object& D, const py::object& I) -> Pair {
         const Vectors2D v = vectors(x);
         Found<float> found = search(self, v, k, params, D, I);
         return py::make_tuple(in_kind(x, std::move(found.distances)),
                               in_kind(x, std::move(found.labels)));
       },
       py::arg("x"), py::arg("k").noconvert(), py::kw_only(), py::arg("params") = nullptr,
       py::arg("D") = py::none(), py::arg("I") = py::none(),
       "The k nearest vectors of each row of x (n, d): distances (n, k) float32 and ids (n, k) "
       "int64, nearest first.\n\n"
       "Distances are squared L2, or inner products (largest first). Missing results are id -1 "
       "with distance "
       "+-3.4e38, which is also what a query with NaN gets. D and I may be given to be filled. "
       "params may name the ids to search among (sel). Other threads may search at the same "
       "time; a call that changes the index waits for them, and add lets them in every few "
       "milliseconds.\n\n"
       "Raises DimensionError for another d, ArgumentError for k < 1.")
      .def(
          "search_exact",
          [](const Index& self, const ArrayLike& x, py::ssize_t k) -> Pair {
            const Vectors2D v = vectors(x);
            const auto run = [&](size_t width, float* distances, id_t* labels) {
              self.search_exact(v.rows, width, distances, labels);
            };
            Found<float> found = found_by<float>(run, v, k, py::none(), py::none());
            return py::make_tuple(in_kind(x, std::move(found.distances)),
                                  in_kind(x, std::move(found.labels)));
          },
          py::arg("x"), py::arg("k").noconvert(),
          "As search, but over every vector whatever the structure: the truth that an approximate "
          "search is measured by.\n\n"
          "Distances are those of the stored codes; an IndexRefine's are its refining index's. "
          "Raises as search does.")
      .def(
          "range_search",
          [](const Index& self, const ArrayLike& x, float thresh, const Params& params) -> Ranges {
            return found_within(self, vectors(x), thresh, params);
          },
          py::arg("x"), py::arg("thresh"), py::kw_only(), py::arg("params") = nullptr,
          "All vectors nearer than thresh: squared L2 below it, or inner product above it.\n\n"
          "Returns lims (n + 1,) uint64, D and I: the results of query i are D[lims[i]:lims[i + "
          "1]]. HNSW indexes "
          "find most of them, not surely all.")
      .def(
          "reconstruct",
          [](const Index& self, id_t key, const py::object& x) {
            const size_t d = self.d;
            auto out = output<float>(x, {signed_size(d)}, "x");
            float* data = out.mutable_data();
            const Unlocked unlocked;
            self.reconstruct_batch(&key, 1, data, d);
            return out;
          },
          py::arg("key"), py::arg("x") = py::none(),
          "The stored vector (d,) float32 of id `key`, as the codec decodes it. Raises IdError if "
          "it is not there.")
      .def(
          "assign",
          [](const Index& self, const ArrayLike& x, py::ssize_t k, const py::object& labels) {
            return search(self, vectors(x), k, nullptr, py::none(), labels).labels;
          },
          py::arg("x"), py::arg("k").noconvert(), py::arg("labels") = py::none(),
          "The ids of search, without the distances.")
      .def(
          "reconstruct_n",
          [](const Index& self, id_t n0, py::ssize_t ni, const py::object& x) {
            return reconstruct_rows(self, ids_from(self, n0, ni), x);
          },
          py::arg("n0") = 0, py::arg("ni") = -1, py::arg("x") = py::none(),
          "The vectors (ni, d) of ids n0 to n0 + ni - 1; ni = -1 means up to ntotal.")
      .def(
          "reconstruct_batch",
          [](const Index& self, const ArrayLike& key, const py::object& x) {
            return reconstruct_rows(self, ids(key, -1, "key"), x);
          },
          py::arg("key"), py::arg("x") = py::none(), "The vectors (n, d) of an array of n ids.")
      .def(
          "search_and_reconstruct",
          [](const Index& self, const ArrayLike& x, py::ssize_t k, const Params& params,
             const py::object& D, const py::object& I, const py::object& R) -> Triple {
            const Vectors2D v = vectors(x);
            Found<float> found = search(self, v, k, params, D, I);
            py::array rows = reconstruct_found(self, found.labels, R);
            return py::make_tuple(in_kind(x, std::move(found.distances)),
                                  in_kind(x, std::move(found.labels)), in_kind(x, std::move(rows)));
          },
          py::arg("x"), py::arg("k").noconvert(), py::kw_only(), py::arg("params") = nullptr,
          py::arg("D") = py::none(), py::arg("I") = py::none(), py::arg("R") = py::none(),
          "search, and the found vectors as R (n, k, d); rows of missing results are NaN.")
      .def(
          "sa_encode",
          [](const Index& self, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            py::array_t<uint8_t> codes({signed_size(v.rows.n), signed_size(self.sa_code_size())});
            auto* data = reinterpret_cast<std::byte*>(codes.mutable_data());
            const Unlocked unlocked;
            self.sa_encode(v.rows, data);
            return codes;
          },
          py::arg("x"),
          "The codes (n, sa_code_size()) uint8 that add would store for x (n, d), in faiss's "
          "bytes.")
      .def(
          "sa_decode",
          [](const Index& self, const py::array_t<uint8_t, py::array::c_style>& codes) {
            const size_t size = self.sa_code_size();
            if (codes.ndim() != 2 || codes.shape(1) != signed_size(size))
              throw DimensionError(text("codes must have shape (n, ", size, ")"));
            const size_t d = self.d;
            py::array_t<float> x({codes.shape(0), signed_size(d)});
            const auto* data = reinterpret_cast<const std::byte*>(codes.data());
            float* out = x.mutable_data();
            const auto n = static_cast<size_t>(codes.shape(0));
            const Unlocked unlocked;
            self.sa_decode(data, n, out, d);
            return x;
          },
          py::arg("codes"), "The vectors (n, d) float32 that codes (n, sa_code_size()) stand for.")
      .def("sa_code_size", &Index::sa_code_size, "Bytes of one code.");
}

}  // namespace

void bind_index(py::module_& m) {
  m.attr("METRIC_INNER_PRODUCT") = static_cast<int>(Metric::inner_product);
  m.attr("METRIC_L2") = static_cast<int>(Metric::l2);
  py::class_<Index, py::smart_holder> c(
      m, "Index",
      "A collection of vectors that finds the nearest ones to a query.\n\n"
      "The base of all index classes; ids are 64-bit integers, vectors are rows of d values.");
  c.def_readonly("d", &Index::d, "Dimension of the vectors.")
      .def_property_readonly("ntotal", &Index::ntotal, "How many vectors a search can return.")
      .def_property_readonly("is_trained", &Index::is_trained, "Whether vectors can be added.")
      .def_property_readonly(
          "metric_type", [](const Index& self) { return static_cast<int>(self.metric_type); },
          "METRIC_L2 (squared L2, smaller is nearer) or METRIC_INNER_PRODUCT (larger is nearer).")
      .def_readwrite("verbose", &Index::verbose, "Kept for faiss programs; nothing is printed.")
      .def("__len__", &Index::ntotal)
      .def("__repr__", &describe);
  bind_changes(c);
  bind_reads(c);
}

}  // namespace shortlist
