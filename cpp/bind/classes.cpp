// The index classes under faiss's names.
#include <pybind11/stl.h>

#include <optional>
#include <shared_mutex>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "bind/calls.h"
#include "index/hnsw.h"
#include "index/wrap.h"

namespace shortlist {
namespace {

QuantizerType quantizer_type(int qtype) { return static_cast<QuantizerType>(qtype); }

constexpr int kL2 = static_cast<int>(Metric::l2);

void bind_scalar_quantizer(py::module_& m) {
  py::class_<ScalarQuantizer, py::smart_holder> c(
      m, "ScalarQuantizer",
      "One small number per dimension. QT_8bit keeps a value range per dimension, QT_8bit_uniform "
      "one for all (both "
      "learn it in train); QT_6bit, QT_4bit and QT_4bit_uniform are the same in fewer bits, and "
      "slower to compare; QT_fp16 and QT_bf16 are half precision; QT_8bit_direct and "
      "QT_8bit_direct_signed store integers as they are.");
  c.def(py::init([](py::ssize_t d, int qtype) {
          return std::make_shared<ScalarQuantizer>(size_arg(d, "d"), quantizer_type(qtype));
        }),
        py::arg("d"), py::arg("qtype"))
      .def_readonly("d", &ScalarQuantizer::d)
      .def_property_readonly("qtype",
                             [](const ScalarQuantizer& q) { return static_cast<int>(q.qtype); })
      .def_property_readonly("code_size", &ScalarQuantizer::code_size, "Bytes of one code.")
      .def_property_readonly(
          "trained",
          [](const ScalarQuantizer& q) {
            return py::array_t<float>(static_cast<py::ssize_t>(q.trained.size()), q.trained.data());
          },
          "What train learnt: vmin, then vdiff; one of each (uniform) or d of each.")
      .def_property(
          "rangestat", [](const ScalarQuantizer& q) { return static_cast<int>(q.rangestat); },
          [](ScalarQuantizer& q, int v) {
            if (v < 0 || v > 3)
              throw ArgumentError(
                  text("rangestat = ", v, "; choose RS_minmax, RS_meanstd or RS_quantiles"));
            q.rangestat = static_cast<RangeStat>(v);
          },
          "How train finds the range: RS_minmax, RS_meanstd or RS_quantiles.")
      .def_readwrite("rangestat_arg", &ScalarQuantizer::rangestat_arg);
  const std::pair<const char*, QuantizerType> types[] = {
      {"QT_8bit", QuantizerType::qt_8bit},
      {"QT_4bit", QuantizerType::qt_4bit},
      {"QT_8bit_uniform", QuantizerType::qt_8bit_uniform},
      {"QT_4bit_uniform", QuantizerType::qt_4bit_uniform},
      {"QT_fp16", QuantizerType::qt_fp16},
      {"QT_8bit_direct", QuantizerType::qt_8bit_direct},
      {"QT_6bit", QuantizerType::qt_6bit},
      {"QT_bf16", QuantizerType::qt_bf16},
      {"QT_8bit_direct_signed", QuantizerType::qt_8bit_direct_signed}};
  for (const auto& [name, type] : types) c.attr(name) = static_cast<int>(type);
  c.attr("RS_minmax") = 0;
  c.attr("RS_meanstd") = 1;
  c.attr("RS_quantiles") = 2;
  c.attr("RS_optim") = 3;
}

py::array_t<uint8_t> codes_of(const IndexFlatCodes& self) {
  std::vector<std::byte> out;
  {
    const Unlocked unlocked;
    const std::shared_lock hold(self.lock());
    const size_t n = self.codes().size();
    out.assign(self.codes().row(0), self.codes().row(n));
    self.codec().swap_faiss_form(out.data(), n);
  }
  return py::array_t<uint8_t>(static_cast<py::ssize_t>(out.size()),
                              reinterpret_cast<const uint8_t*>(out.data()));
}

py::array_t<float> values_of(const IndexFlat& self) {
  std::vector<float> out;
  {
    const Unlocked unlocked;
    const std::shared_lock hold(self.lock());
    const CodeStore& codes = self.codes();
    out.resize(codes.size() * self.d);
    if (codes.size()) self.codec().decode(codes.row(0), codes.size(), out.data());
  }
  return py::array_t<float>(static_cast<py::ssize_t>(out.size()), out.data());
}

void bind_flat(py::module_& m) {
  py::class_<IndexFlatCodes, Index, py::smart_holder>(
      m, "IndexFlatCodes", "Codes in a row, all compared at each search.")
      .def_property_readonly("code_size", &IndexFlatCodes::sa_code_size,
                             "Bytes of one stored vector.")
      .def_property_readonly("codes", &codes_of,
                             "A copy of the codes, row after row, uint8 (ntotal * code_size,), in "
                             "faiss's bytes.");
  py::class_<IndexFlat, IndexFlatCodes, py::smart_holder>(
      m, "IndexFlat",
      "Exact search: every vector is compared.\n\n"
      "dtype is how vectors are stored: float32, float16, uint8 or int8.")
      .def(py::init([](py::ssize_t d, int metric, const py::object& dtype) {
             return std::make_shared<IndexFlat>(size_arg(d, "d"), metric_of(metric),
                                                dtype_named(dtype));
           }),
           py::arg("d"), py::arg("metric") = kL2, py::kw_only(), py::arg("dtype") = "float32")
      .def_property_readonly(
          "dtype", [](const IndexFlat& self) { return std::string(name_of(self.dtype)); },
          "Storage dtype.")
      .def("get_xb", &values_of, "A copy of the vectors, row after row, float32 (ntotal * d,).");
  py::class_<IndexFlatL2, IndexFlat, py::smart_holder>(m, "IndexFlatL2",
                                                       "Exact search by squared L2 distance.")
      .def(py::init([](py::ssize_t d, const py::object& dtype) {
             return std::make_shared<IndexFlatL2>(size_arg(d, "d"), dtype_named(dtype));
           }),
           py::arg("d"), py::kw_only(), py::arg("dtype") = "float32");
  py::class_<IndexFlatIP, IndexFlat, py::smart_holder>(
      m, "IndexFlatIP", "Exact search by inner product, largest first.")
      .def(py::init([](py::ssize_t d, const py::object& dtype) {
             return std::make_shared<IndexFlatIP>(size_arg(d, "d"), dtype_named(dtype));
           }),
           py::arg("d"), py::kw_only(), py::arg("dtype") = "float32");
  py::class_<IndexScalarQuantizer, IndexFlatCodes, py::smart_holder>(
      m, "IndexScalarQuantizer",
      "Exhaustive search over scalar-quantised codes (qtype: ScalarQuantizer.QT_*).")
      .def(py::init([](py::ssize_t d, int qtype, int metric) {
             return std::make_shared<IndexScalarQuantizer>(size_arg(d, "d"), quantizer_type(qtype),
                                                           metric_of(metric));
           }),
           py::arg("d"), py::arg("qtype"), py::arg("metric") = kL2)
      .def_property_readonly(
          "sq", [](const IndexScalarQuantizer& self) { return self.sq; },
          "The ScalarQuantizer; a live alias that may outlive the index.");
}

py::array_t<float> copy_of(const std::vector<float>& x) {
  return py::array_t<float>(static_cast<py::ssize_t>(x.size()), x.data());
}

void bind_lsh(py::module_& m) {
  py::class_<IndexLSH, IndexFlatCodes, py::smart_holder>(
      m, "IndexLSH",
      "Exhaustive search over signs: a vector is kept as nbits bits, and distances count the bits "
      "that differ (as float32).\n\n"
      "rotate_data: the signs are those of a random rotation of the vector; without it, of its "
      "first nbits values. train_thresholds: instead of zero, values are compared with their "
      "medians, which train(x) finds. Signs are taken as in faiss, and so are files; the rotation "
      "that is drawn is another one than faiss draws. Vectors reconstruct as plus or minus one "
      "from the thresholds, turned back.\n\n"
      "Raises ArgumentError for nbits above d without rotate_data and for rotations of more than a "
      "GiB. Source: Charikar 2002, Similarity estimation techniques from rounding algorithms.")
      .def(py::init([](py::ssize_t d, py::ssize_t nbits, bool rotate_data, bool train_thresholds) {
             auto lsh = std::make_shared<LshCodec>(size_arg(d, "d"), size_arg(nbits, "nbits"),
                                                   rotate_data, train_thresholds);
             const Unlocked unlocked;  // drawing takes a while, and can be interrupted
             if (rotate_data) lsh->draw_rotation();
             return std::make_shared<IndexLSH>(std::move(lsh));
           }),
           py::arg("d"), py::arg("nbits"), py::arg("rotate_data") = true,
           py::arg("train_thresholds") = false)
      .def_property_readonly(
          "nbits", [](const IndexLSH& self) { return self.lsh->nbits; }, "Bits of a vector.")
      .def_property_readonly(
          "rotate_data", [](const IndexLSH& self) { return self.lsh->rotates; },
          "Whether vectors are rotated first.")
      .def_property_readonly(
          "train_thresholds", [](const IndexLSH& self) { return self.lsh->trains; },
          "Whether train finds the values to compare with.")
      .def_property_readonly(
          "rrot", [](const IndexLSH& self) { return self.lsh->copy_of_rotation(); },
          "A copy of the rotation, a RandomRotationMatrix, untrained where there is none.")
      .def_property_readonly(
          "thresholds",
          [](const IndexLSH& self) {
            std::vector<float> copy;
            {
              const Unlocked unlocked;
              const std::shared_lock hold(self.lock());
              copy = self.lsh->thresholds;
            }
            return copy_of(copy);
          },
          "A copy of what training found, float32 (nbits,); empty before it and without "
          "train_thresholds.");
}

int at_least_one(int value, const char* name) {
  if (value < 1)
    throw ArgumentError(text(name, " = ", value, "; it must be at least 1 (16 to 512 is usual)"));
  return value;
}

void bind_hnsw(py::module_& m) {
  py::class_<Hnsw, py::smart_holder>(m, "HNSW",
                                     "The graph of an HNSW index: M links per node and level, 2 M "
                                     "on the lowest (Malkov and Yashunin, arXiv 1603.09320).")
      .def_property(
          "efSearch", [](const Hnsw& h) { return h.efSearch.load(); },
          [](Hnsw& h, int v) { h.efSearch = at_least_one(v, "efSearch"); },
          "Candidates kept while searching: more is slower and finds more. Raised to k where k is "
          "larger.")
      .def_property(
          "efConstruction", [](const Hnsw& h) { return h.efConstruction.load(); },
          [](Hnsw& h, int v) { h.efConstruction = at_least_one(v, "efConstruction"); },
          "Candidates kept while adding: more is slower and links better. Set it before add.")
      .def_property(
          "deterministic", [](const Hnsw& h) { return h.deterministic.load(); },
          [](Hnsw& h, bool v) { h.deterministic = v; },
          "Add in batches that threads share: the same additions give the same graph, however many "
          "threads there are. Set it before add. False at first; then the same graph comes of one "
          "thread only. Not saved.")
      .def_property_readonly("M", &Hnsw::M, "Links per node and level.")
      .def_property_readonly("max_level", &Hnsw::max_level, "Highest level, -1 while empty.")
      .def_property_readonly(
          "entry_point",
          [](const Hnsw& h) {
            return h.entry_point() == kNoSlot ? -1 : static_cast<int64_t>(h.entry_point());
          },
          "Where searches start: the row of a node on the highest level, -1 while empty.")
      .def(
          "nb_neighbors", [](const Hnsw& h, int level) { return h.max_links(level); },
          py::arg("layer_no"), "How many links a node can have on a level.");
  py::class_<IndexHNSW, Index, py::smart_holder>(
      m, "IndexHNSW",
      "Approximate search by walking a graph of near neighbours: much faster than IndexFlat, at "
      "some recall.\n\n"
      "index.hnsw.efSearch trades speed for recall. Vectors can be removed, replaced and added at "
      "any time; ids of the "
      "others do not change and are never issued again.")
      .def(py::init([](std::shared_ptr<IndexFlatCodes> storage, py::ssize_t M) {
             if (storage->ntotal())
               throw ArgumentError(text("the storage already holds ", storage->ntotal(),
                                        " vectors that no graph links; pass an empty one"));
             return std::make_shared<IndexHNSW>(std::move(storage), size_arg(M, "M"));
           }),
           py::arg("storage").none(false), py::arg("M") = 32)
      .def_property_readonly(
          "hnsw", [](const IndexHNSW& self) { return self.hnsw; },
          "The graph and its parameters; a live alias that may outlive the index.")
      .def_property_readonly(
          "storage", [](const IndexHNSW& self) { return self.storage; },
          "The index that holds the vectors; a live alias that may outlive this one.")
      .def_property(
          "neighbor_blocks", [](const IndexHNSW& self) { return self.neighbor_blocks(); },
          [](IndexHNSW& self, bool wanted) {
            const Unlocked unlocked;
            self.use_neighbor_blocks(wanted);
          },
          "Whether searches go through neighbour blocks (bool): each node's links and one-bit "
          "codes of its neighbours in one row of memory, so that a step reads one vector instead "
          "of 32. More QPS at equal recall, for about 32 d / 8 + 256 bytes per 32 links of a "
          "vector. The same efSearch finds somewhat less than without, so tune again. Kept in "
          "step with add, remove_ids and update_vectors; save keeps the links, and opening makes "
          "the codes anew; faiss's files do not have it.\n\n"
          "Source: SymphonyQG (arXiv 2411.12229), with RaBitQ codes (arXiv 2405.12497). Making "
          "them may raise MemoryError or be interrupted; searches then do without, until the next "
          "change of the index or setting this again makes them.")
      .def_property(
          "int8_traversal", [](const IndexHNSW& self) { return self.int8_traversal(); },
          [](IndexHNSW& self, bool wanted) {
            const Unlocked unlocked;
            self.use_int8_traversal(wanted);
          },
          "Whether the graph may be built and walked by int8 codes kept beside the vectors (bool; "
          "True for float32 vectors): a quarter of the memory traffic, for d bytes more per "
          "vector. The distances returned, and which of the vectors found are the nearest, come "
          "from the vectors. Codes are used from 1,000 vectors on, all finite, where a sample "
          "shows "
          "that they tell neighbours apart, and that is looked at again when the index has "
          "doubled; repr says whether they are in use. Set it before add: setting it later "
          "keeps the links. Saved with the index; faiss's files have no place for it.\n\n"
          "Source: scalar quantisation with reordering, as in VSAG (arXiv 2503.17911) and glass.")
      .def(
          "add_with_links",
          [](IndexHNSW& self, const ArrayLike& x, const ArrayLike& links) {
            const Vectors2D v = vectors(x);
            const auto known =
                ids(links, {signed_size(v.rows.n), signed_size(self.hnsw->max_links(0))}, "links");
            const Unlocked unlocked;
            self.add_with_links(v.rows, known);
          },
          py::arg("x"), py::arg("links"),
          "Adds the rows of x (n, d) to an empty index, as a graph that was made elsewhere: links "
          "(n, 2 M) are those of the lowest level, numbers of other rows, -1 for none. The levels "
          "above, and links to rows that those lead to from nowhere, are made here; later "
          "changes are as ever.\n\n"
          "Raises ArgumentError for a number that is no row and where vectors are there already; "
          "interrupted or short of memory, the index is left empty.")
      .def(
          "links",
          [](const IndexHNSW& self) {
            std::vector<slot_t> found;
            {
              const Unlocked unlocked;
              found = self.links();
            }
            const size_t width = self.hnsw->max_links(0);
            const auto n = signed_size(found.size() / width);
            return owning<int32_t>(std::move(found), {n, signed_size(width)});
          },
          "The links of the lowest level: (ntotal, 2 M) int32, -1 where there are fewer. Raises "
          "UnsupportedError where vectors were removed, replaced or added under ids of their own.")
      .def("release_building_vectors", &IndexHNSW::release_building_vectors,
           py::call_guard<Unlocked>(),
           "Gives back the float32 vectors that graphs over small codes keep for further small "
           "additions; the next addition decodes all codes once. Others keep none.")
      .def(
          "update_vectors",
          [](IndexHNSW& self, const ArrayLike& keys, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            const auto known = ids(keys, static_cast<py::ssize_t>(v.rows.n), "keys");
            const Unlocked unlocked;
            self.update_vectors(v.rows, known.data());
          },
          py::arg("keys"), py::arg("x"),
          "Replaces the vectors of ids `keys` (n,) by x (n, d), in parts as add does: a search in "
          "another thread finds each id with its old vector or its new one. Raises IdError if one "
          "is not there or given twice.");
  py::class_<IndexHNSWFlat, IndexHNSW, py::smart_holder>(
      m, "IndexHNSWFlat",
      "HNSW over vectors kept as they are: float32, float16, uint8 or int8 (dtype).\n\n"
      "M: links per node, 16 to 64 is usual; more costs memory and build time and finds more.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, int metric, const py::object& dtype) {
             return std::make_shared<IndexHNSWFlat>(size_arg(d, "d"), size_arg(M, "M"),
                                                    metric_of(metric), dtype_named(dtype));
           }),
           py::arg("d"), py::arg("M") = 32, py::arg("metric") = kL2, py::kw_only(),
           py::arg("dtype") = "float32");
  py::class_<IndexHNSWSQ, IndexHNSW, py::smart_holder>(
      m, "IndexHNSWSQ", "HNSW over scalar-quantised vectors (qtype: ScalarQuantizer.QT_*).")
      .def(py::init([](py::ssize_t d, int qtype, py::ssize_t M, int metric) {
             return std::make_shared<IndexHNSWSQ>(size_arg(d, "d"), quantizer_type(qtype),
                                                  size_arg(M, "M"), metric_of(metric));
           }),
           py::arg("d"), py::arg("qtype"), py::arg("M") = 32, py::arg("metric") = kL2);
}

template <class Map>
std::shared_ptr<Map> named(std::shared_ptr<Index> index, const std::optional<ArrayLike>& id_map) {
  if (!id_map) return std::make_shared<Map>(std::move(index));
  auto known = ids(*id_map, static_cast<py::ssize_t>(index->next_id()), "id_map");
  if (index->next_id() != static_cast<id_t>(index->ntotal()))
    throw ArgumentError("the index has lost vectors; name the rows of one that has all of them");
  return std::make_shared<Map>(std::move(index), std::move(known));
}

void bind_wrappers(py::module_& m) {
  py::class_<IndexIDMap, Index, py::smart_holder>(
      m, "IndexIDMap",
      "Gives an index ids of your own: add_with_ids(x, ids). An id may name several vectors.\n\n"
      "id_map: ids (ntotal,) int64 of the vectors the index already holds; without, it must be "
      "empty.")
      .def(py::init(&named<IndexIDMap>), py::arg("index").none(false),
           py::arg("id_map") = py::none())
      .def_property_readonly(
          "index", [](const IndexIDMap& self) { return self.index; }, "The wrapped index.")
      .def_property_readonly(
          "id_map",
          [](const IndexIDMap& self) {
            std::vector<id_t> copy;
            {
              const Unlocked unlocked;
              const std::shared_lock hold(self.lock());
              copy = self.id_map();
            }
            return py::array_t<id_t>(static_cast<py::ssize_t>(copy.size()), copy.data());
          },
          "A copy of the ids by inner row; -1 where a wrapped graph dropped the row.");
  py::class_<IndexIDMap2, IndexIDMap, py::smart_holder>(
      m, "IndexIDMap2", "IndexIDMap that can also reconstruct a vector from its id.")
      .def(py::init(&named<IndexIDMap2>), py::arg("index").none(false),
           py::arg("id_map") = py::none());
  py::class_<IndexRefine, Index, py::smart_holder>(
      m, "IndexRefine",
      "Takes k * k_factor candidates from base_index and returns the k best by refine_index's "
      "distances. Over codes of RaBitQ, whose errors are known, it stops where the rest are too "
      "far "
      "to be among them, with a chance of one in a thousand for each to be wrong.")
      .def(py::init<std::shared_ptr<Index>, std::shared_ptr<IndexFlatCodes>>(),
           py::arg("base_index").none(false), py::arg("refine_index").none(false))
      .def_property_readonly("base_index", [](const IndexRefine& self) { return self.base_index; })
      .def_property_readonly("refine_index",
                             [](const IndexRefine& self) { return self.refine_index; })
      .def_property(
          "k_factor", [](const IndexRefine& self) { return self.k_factor; },
          [](IndexRefine& self, float v) {
            if (!(v >= 1 && v <= 1000))
              throw ArgumentError(text("k_factor = ", v, "; it must be between 1 and 1000"));
            self.k_factor = v;
          },
          "Candidates per result asked of the base index, 1 to 1000.");
  py::class_<IndexRefineFlat, IndexRefine, py::smart_holder>(
      m, "IndexRefineFlat", "IndexRefine whose refining distances are exact (an IndexFlat).")
      .def(py::init([](std::shared_ptr<Index> base) {
             if (base->ntotal())
               throw ArgumentError(
                   text("the base index already holds ", base->ntotal(),
                        " vectors whose exact values are unknown; pass an empty one"));
             return std::make_shared<IndexRefineFlat>(std::move(base));
           }),
           py::arg("base_index").none(false));
}

}  // namespace

void bind_classes(py::module_& m) {
  bind_scalar_quantizer(m);
  bind_flat(m);
  bind_lsh(m);
  bind_hnsw(m);
  bind_wrappers(m);
}

}  // namespace shortlist
