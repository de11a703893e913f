// The binary indexes under faiss's names.
#include "index/binary_ivf.h"

#include <pybind11/stl.h>

#include <bit>
#include <shared_mutex>

#include "bind/bind.h"
#include "bind/calls.h"
#include "bind/ivf.h"

namespace shortlist {
namespace {

using BinaryClass = py::class_<IndexBinary, py::smart_holder>;
using Pair = py::typing::Tuple<py::array_t<int32_t>, py::array_t<id_t>>;

Vectors2D rows_for(const IndexBinary& index, const ArrayLike& x) {
  return bits(x, index.bits(), index.of_bytes().class_name());
}

py::array_t<uint8_t> reconstruct_rows(const IndexBinary& index, const std::vector<id_t>& keys,
                                      const py::object& out) {
  auto rows = output<uint8_t>(out, {signed_size(keys.size()), signed_size(index.code_size())}, "x");
  uint8_t* data = rows.mutable_data();
  const Unlocked unlocked;
  index.reconstruct_batch(keys.data(), keys.size(), data);
  return rows;
}

std::string describe(const IndexBinary& index) {
  const Index& own = index.of_bytes();
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << own.class_name() << "(d=" << index.bits() << ", ntotal=" << own.ntotal()
      << ", " << own.summary() << ", " << static_cast<double>(own.memory()) / 1e6 << " MB)";
  return out.str();
}

void bind_changes(BinaryClass& c) {
  c.def(
       "train",
       [](IndexBinary& self, const ArrayLike& x) {
         const Vectors2D v = rows_for(self, x);
         const Unlocked unlocked;
         self.of_bytes().train(v.rows);
       },
       py::arg("x"),
       "Finds the centroids of an IndexBinaryIVF from the rows of x (n, d / 8) uint8; of others it "
       "checks x.")
      .def(
          "add",
          [](IndexBinary& self, const ArrayLike& x, const py::object& progress) {
            const Vectors2D v = rows_for(self, x);
            const AddOptions options{.allow_nan = false, .progress = progress_from(progress)};
            const Unlocked unlocked;
            self.of_bytes().add(v.rows, options);
          },
          py::arg("x"), py::kw_only(), py::arg("progress") = py::none(),
          "Stores the rows of x (n, d / 8) uint8 under the next ids.\n\n"
          "Searches in other threads, progress and Ctrl-C are as in Index.add. Raises TypeError "
          "for "
          "another dtype, DimensionError for another d.")
      .def(
          "add_with_ids",
          [](IndexBinary& self, const ArrayLike& x, const ArrayLike& xids,
             const py::object& progress) {
            const Vectors2D v = rows_for(self, x);
            const auto keys = ids(xids, signed_size(v.rows.n));
            const AddOptions options{.allow_nan = false, .progress = progress_from(progress)};
            const Unlocked unlocked;
            self.of_bytes().add_with_ids(v.rows, keys.data(), options);
          },
          py::arg("x"), py::arg("ids"), py::kw_only(), py::arg("progress") = py::none(),
          "Stores the rows of x (n, d / 8) uint8 under ids (n,), any integers.\n\n"
          "IndexBinaryIDMap, IndexBinaryIDMap2, IndexBinaryHNSW and IndexBinaryIVF offer it; "
          "IndexBinaryFlat raises UnsupportedError. Otherwise as add.")
      .def(
          "remove_ids",
          [](IndexBinary& self, const py::object& x) { return remove_ids(self.of_bytes(), x); },
          py::arg("x"),
          "Removes the ids in x, an IDSelector or an integer array; returns how many were "
          "there.\n\n"
          "In IndexBinaryFlat the rows behind move up and take smaller ids, as in faiss; the "
          "others keep all other ids.")
      .def(
          "reset",
          [](IndexBinary& self) {
            const Unlocked unlocked;
            self.of_bytes().reset();
          },
          "Removes every vector.")
      .def(
          "merge_from",
          [](IndexBinary& self, IndexBinary& other, id_t add_id) {
            const Unlocked unlocked;
            self.of_bytes().merge_from(other.of_bytes(), add_id);
          },
          py::arg("otherIndex"), py::arg("add_id") = 0,
          "Moves the vectors of another index of the same class behind ours and leaves it empty. "
          "Where ids are kept they grow by add_id.")
      .def(
          "check_compatible_for_merge",
          [](const IndexBinary& self, const IndexBinary& other) {
            self.of_bytes().check_compatible_for_merge(other.of_bytes());
          },
          py::arg("otherIndex"),
          "Raises ArgumentError unless merge_from could take the other one.");
}

void bind_reads(BinaryClass& c) {
  c.def(
       "search",
       [](const IndexBinary& self, const ArrayLike& x, py::ssize_t k, const Params& given,
          const py::object& D, const py::object& I) -> Pair {
         const Params params = frozen(given);
         const Vectors2D v = rows_for(self, x);
         const auto run = [&](size_t width, int32_t* distances, id_t* labels) {
           self.search(v.rows, width, distances, labels, params.get());
         };
         auto found = found_by<int32_t>(run, v, k, D, I);
         return py::make_tuple(in_kind(x, std::move(found.distances)),
                               in_kind(x, std::move(found.labels)));
       },
       py::arg("x"), py::arg("k").noconvert(), py::kw_only(), py::arg("params") = nullptr,
       py::arg("D") = py::none(), py::arg("I") = py::none(),
       "The k nearest vectors of each row of x (n, d / 8) uint8: Hamming distances (n, k) int32 "
       "and "
       "ids (n, k) int64, nearest first.\n\n"
       "Of equally near vectors the one with the smaller id comes first, or in IndexBinaryIVF the "
       "one in the smaller list. Missing results are id -1 "
       "with distance 2147483647. D and I may be given to be filled. params may name the ids to "
       "search among (sel). Other threads may search at the same time.\n\n"
       "Raises TypeError for another dtype, DimensionError for another d, ArgumentError for k < 1.")
      .def(
          "search_exact",
          [](const IndexBinary& self, const ArrayLike& x, py::ssize_t k) -> Pair {
            const Vectors2D v = rows_for(self, x);
            const auto run = [&](size_t width, int32_t* distances, id_t* labels) {
              self.search_exact(v.rows, width, distances, labels);
            };
            auto found = found_by<int32_t>(run, v, k, py::none(), py::none());
            return py::make_tuple(in_kind(x, std::move(found.distances)),
                                  in_kind(x, std::move(found.labels)));
          },
          py::arg("x"), py::arg("k").noconvert(),
          "As search, but over every vector whatever the structure.")
      .def(
          "assign",
          [](const IndexBinary& self, const ArrayLike& x, py::ssize_t k, const py::object& labels) {
            const Vectors2D v = rows_for(self, x);
            const auto run = [&](size_t width, int32_t* distances, id_t* ids) {
              self.search(v.rows, width, distances, ids);
            };
            return found_by<int32_t>(run, v, k, py::none(), labels).labels;
          },
          py::arg("x"), py::arg("k").noconvert(), py::arg("labels") = py::none(),
          "The ids of search, without the distances.")
      .def(
          "range_search",
          [](const IndexBinary& self, const ArrayLike& x, float thresh,
             const Params& params) -> Ranges {
            return found_within(self.of_bytes(), rows_for(self, x), thresh, params);
          },
          py::arg("x"), py::arg("thresh"), py::kw_only(), py::arg("params") = nullptr,
          "All vectors that differ in fewer than thresh bits.\n\n"
          "Returns lims (n + 1,) uint64, D float32 (as faiss does) and I: the results of query i "
          "are D[lims[i]:lims[i + 1]]. IndexBinaryHNSW finds most of them, not surely all, and "
          "IndexBinaryIVF those in the lists it looks at.")
      .def(
          "reconstruct",
          [](const IndexBinary& self, id_t key, const py::object& x) {
            auto out = output<uint8_t>(x, {signed_size(self.code_size())}, "x");
            uint8_t* data = out.mutable_data();
            const Unlocked unlocked;
            self.reconstruct_batch(&key, 1, data);
            return out;
          },
          py::arg("key"), py::arg("x") = py::none(),
          "The stored vector (d / 8,) uint8 of id `key`. Raises IdError if it is not there.")
      .def(
          "reconstruct_n",
          [](const IndexBinary& self, id_t n0, py::ssize_t ni, const py::object& x) {
            return reconstruct_rows(self, ids_from(self.of_bytes(), n0, ni), x);
          },
          py::arg("n0") = 0, py::arg("ni") = -1, py::arg("x") = py::none(),
          "The vectors (ni, d / 8) of ids n0 to n0 + ni - 1; ni = -1 means up to ntotal.")
      .def(
          "reconstruct_batch",
          [](const IndexBinary& self, const ArrayLike& key, const py::object& x) {
            return reconstruct_rows(self, ids(key, -1, "key"), x);
          },
          py::arg("key"), py::arg("x") = py::none(),
          "The vectors (n, d / 8) of an array of n ids.");
}

void bind_base(py::module_& m) {
  BinaryClass c(m, "IndexBinary",
                "A collection of binary vectors, d bits each, that finds those which differ least "
                "from a query.\n\n"
                "The base of the binary indexes. Vectors are rows of d / 8 bytes (uint8), as "
                "np.packbits makes them; distances are Hamming distances.");
  c.def_property_readonly("d", &IndexBinary::bits, "Bits of a vector.")
      .def_property_readonly("code_size", &IndexBinary::code_size, "Bytes of a vector.")
      .def_property_readonly(
          "ntotal", [](const IndexBinary& self) { return self.of_bytes().ntotal(); },
          "How many vectors a search can return.")
      .def_property_readonly(
          "is_trained", [](const IndexBinary& self) { return self.of_bytes().is_trained(); },
          "Whether vectors can be added; IndexBinaryIVF is trained first, others need not be.")
      .def_property_readonly(
          "metric_type",
          [](const IndexBinary& self) { return static_cast<int>(self.of_bytes().metric_type); },
          "METRIC_L2, as in faiss; the distance is Hamming's.")
      .def_property(
          "verbose", [](const IndexBinary& self) { return self.of_bytes().verbose; },
          [](IndexBinary& self, bool verbose) { self.of_bytes().verbose = verbose; },
          "Kept for faiss programs; nothing is printed.")
      .def("__len__", [](const IndexBinary& self) { return self.of_bytes().ntotal(); })
      .def("__repr__", &describe);
  bind_changes(c);
  bind_reads(c);
}

std::shared_ptr<Index> inner(const std::shared_ptr<IndexBinary>& index) {
  return std::dynamic_pointer_cast<Index>(index);
}

void bind_maps(py::module_& m) {
  py::class_<IndexBinaryIDMap, IndexBinary, py::smart_holder>(
      m, "IndexBinaryIDMap",
      "Gives a binary index ids of your own: add_with_ids(x, ids). An id may name several vectors.",
      py::multiple_inheritance())
      .def(py::init([](const std::shared_ptr<IndexBinary>& index) {
             return std::make_shared<IndexBinaryIDMap>(inner(index));
           }),
           py::arg("index").none(false))
      .def_property_readonly(
          "index",
          [](const IndexBinaryIDMap& self) {
            return std::dynamic_pointer_cast<IndexBinary>(self.index);
          },
          "The wrapped index.")
      .def_property_readonly(
          "id_map",
          [](const IndexBinaryIDMap& self) {
            std::vector<id_t> copy;
            {
              const Unlocked unlocked;
              const std::shared_lock hold(self.lock());
              copy = self.id_map();
            }
            return py::array_t<id_t>(signed_size(copy.size()), copy.data());
          },
          "A copy of the ids by inner row; -1 where a wrapped graph dropped the row.");
  py::class_<IndexBinaryIDMap2, IndexBinaryIDMap, py::smart_holder>(
      m, "IndexBinaryIDMap2", "IndexBinaryIDMap that can also reconstruct a vector from its id.",
      py::multiple_inheritance())
      .def(py::init([](const std::shared_ptr<IndexBinary>& index) {
             return std::make_shared<IndexBinaryIDMap2>(inner(index));
           }),
           py::arg("index").none(false));
}

void bind_inverted(py::module_& m) {
  py::class_<IndexBinaryIVF, IndexBinary, py::smart_holder> c(
      m, "IndexBinaryIVF",
      "An inverted file of binary vectors: each is kept in the list of that of nlist centroids "
      "from "
      "which it differs least, and a search looks at the nprobe nearest lists, exactly.\n\n"
      "quantizer, an IndexBinaryFlat or IndexBinaryHNSW of d bits, holds the centroids. train(x) "
      "finds them by k-means of the bits as -1 and 1, whose signs are then taken, unless the "
      "quantizer holds nlist vectors already. add numbers vectors; add_with_ids takes ids of your "
      "own, and remove_ids leaves the other ids as they are.\n\n"
      "Raises DimensionError for a quantizer of another d, ArgumentError for nlist < 1, "
      "UnsupportedError for own_invlists = False.",
      py::multiple_inheritance());
  c.def(py::init([](const std::shared_ptr<IndexBinary>& quantizer, py::ssize_t d, py::ssize_t nlist,
                    bool own_invlists) {
          check_owned(own_invlists);
          return std::make_shared<IndexBinaryIVF>(inner(quantizer), size_arg(d, "d"),
                                                  size_arg(nlist, "nlist"));
        }),
        py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"),
        py::arg("own_invlists").noconvert() = true)
      .def_property_readonly(
          "quantizer",
          [](const IndexBinaryIVF& self) {
            return std::dynamic_pointer_cast<IndexBinary>(self.quantizer);
          },
          "The index of the centroids; a live alias.")
      .def_readwrite("use_heap", &IndexBinaryIVF::use_heap,
                     "Kept for faiss programs; results are the same either way.")
      .def_readwrite("per_invlist_search", &IndexBinaryIVF::per_invlist_search,
                     "Kept for faiss programs; many queries are answered list by list here.");
  bind_lists(c);
  bind_preassigned<int32_t>(c, rows_for);
}

}  // namespace

void bind_binary(py::module_& m) {
  bind_base(m);
  py::class_<IndexBinaryFlat, IndexBinary, py::smart_holder>(
      m, "IndexBinaryFlat", "Exact search by Hamming distance: every vector is compared.",
      py::multiple_inheritance())
      .def(py::init(
               [](py::ssize_t d) { return std::make_shared<IndexBinaryFlat>(size_arg(d, "d")); }),
           py::arg("d"))
      .def_readwrite("use_heap", &IndexBinaryFlat::use_heap,
                     "Kept for faiss programs; results are the same either way.")
      .def_readwrite("query_batch_size", &IndexBinaryFlat::query_batch_size,
                     "Kept for faiss programs; queries go in groups of our own size.");
  py::class_<IndexBinaryHNSW, IndexBinary, py::smart_holder>(
      m, "IndexBinaryHNSW",
      "Approximate search by Hamming distance, by walking a graph of near neighbours.\n\n"
      "As IndexHNSWFlat: index.hnsw.efSearch trades speed for recall, and vectors can be removed "
      "and added at any time.",
      py::multiple_inheritance())
      .def(py::init([](py::ssize_t d, py::ssize_t M) {
             return std::make_shared<IndexBinaryHNSW>(size_arg(d, "d"), size_arg(M, "M"));
           }),
           py::arg("d"), py::arg("M") = 32)
      .def(py::init([](std::shared_ptr<IndexBinaryFlat> storage, py::ssize_t M) {
             if (storage->ntotal())
               throw ArgumentError(text("the storage already holds ", storage->ntotal(),
                                        " vectors that no graph links; pass an empty one"));
             return std::make_shared<IndexBinaryHNSW>(std::move(storage), size_arg(M, "M"));
           }),
           py::arg("storage").none(false), py::arg("M") = 32)
      .def_property_readonly(
          "hnsw", [](const IndexBinaryHNSW& self) { return self.hnsw; },
          "The graph and its parameters; a live alias that may outlive the index.")
      .def_property_readonly(
          "storage",
          [](const IndexBinaryHNSW& self) {
            return std::dynamic_pointer_cast<IndexBinaryFlat>(self.storage);
          },
          "The index that holds the vectors; a live alias that may outlive this one.")
      .def(
          "update_vectors",
          [](IndexBinaryHNSW& self, const ArrayLike& keys, const ArrayLike& x) {
            const Vectors2D v = rows_for(self, x);
            const auto known = ids(keys, signed_size(v.rows.n), "keys");
            const Unlocked unlocked;
            self.update_vectors(v.rows, known.data());
          },
          py::arg("keys"), py::arg("x"),
          "Replaces the vectors of ids `keys` (n,) by x (n, d / 8) uint8. Raises IdError if one is "
          "not there or given twice.");
  bind_inverted(m);
  bind_maps(m);
  m.def(
      "popcount64", [](uint64_t x) { return std::popcount(x); }, py::arg("x"),
      "How many bits of x (int, at most 64 bits) are set.");
}

}  // namespace shortlist
