// IDSelector* and SearchParameters*.
#include <pybind11/stl.h>

#include "base/error.h"
#include "base/selector.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "index/index.h"

namespace shortlist {
namespace {

using SelectorPtr = std::shared_ptr<Selector>;

// Asks Python once per id; every call that uses it turns it into a bitmap first.
class SelectorCallback final : public Selector {
 public:
  explicit SelectorCallback(py::function callback) : callback_(std::move(callback)) {}
  ~SelectorCallback() override {
    const py::gil_scoped_acquire hold;
    callback_ = py::function();
  }
  bool is_member(id_t id) const override {
    const py::gil_scoped_acquire hold;
    return py::cast<bool>(py::bool_(callback_(id)));
  }
  bool constant() const override { return false; }
  Bitmap slots(const IdMap& map) const override {
    const py::gil_scoped_acquire hold;
    return Selector::slots(map);
  }

 private:
  py::function callback_;
};

std::vector<uint8_t> bytes_of(const ArrayLike& x) {
  if (!py::isinstance<py::array_t<uint8_t>>(x) || py::reinterpret_borrow<py::array>(x).ndim() != 1)
    throw py::type_error(
        "bitmap must be a 1-D numpy array of dtype uint8 (np.packbits(mask, bitorder='little') "
        "makes one)");
  const auto plain = py::array_t<uint8_t, py::array::c_style>(x);
  return {plain.data(), plain.data() + plain.size()};
}

// As faiss counts what a pointer leads to.
template <class T>
std::vector<T> first(py::ssize_t n, std::vector<T> all, const char* what) {
  if (n < 0 || static_cast<size_t>(n) > all.size())
    throw ArgumentError(text("n = ", n, " ", what, " of an array of ", all.size()));
  all.resize(static_cast<size_t>(n));
  return all;
}

template <SelectorPair::Op kOp>
void bind_pair(py::module_& m, const char* name, const char* doc) {
  struct Named final : SelectorPair {
    Named(SelectorPtr lhs, SelectorPtr rhs) : SelectorPair(kOp, std::move(lhs), std::move(rhs)) {}
  };
  py::class_<Named, Selector, py::smart_holder>(m, name, doc)
      .def(py::init<SelectorPtr, SelectorPtr>(), py::arg("lhs").none(false),
           py::arg("rhs").none(false));
}

void bind_selectors(py::module_& m) {
  py::class_<Selector, py::smart_holder>(
      m, "IDSelector",
      "A set of ids: which vectors a search may return or remove_ids takes.\n\n"
      "A search turns it into a bitmap and the selector keeps that, so searches with the same "
      "selector pay for it once, until the index's ids change.")
      .def("is_member", &Selector::is_member, py::arg("id"), "Whether `id` (int) is in the set.");
  py::class_<SelectorAll, Selector, py::smart_holder>(m, "IDSelectorAll", "Every id.")
      .def(py::init<>());
  py::class_<SelectorRange, Selector, py::smart_holder>(m, "IDSelectorRange",
                                                        "The ids imin <= id < imax.")
      .def(py::init<id_t, id_t, bool>(), py::arg("imin"), py::arg("imax"),
           py::arg("assume_sorted") = false)
      .def_readonly("imin", &SelectorRange::imin)
      .def_readonly("imax", &SelectorRange::imax)
      .def_readonly("assume_sorted", &SelectorRange::assume_sorted);
  py::class_<SelectorArray, Selector, py::smart_holder>(
      m, "IDSelectorArray", "The ids of an integer array; a membership test scans it.")
      .def(py::init([](const ArrayLike& x) { return std::make_shared<SelectorArray>(ids(x, -1)); }),
           py::arg("ids"))
      .def(py::init([](py::ssize_t n, const ArrayLike& x) {
             return std::make_shared<SelectorArray>(first(n, ids(x, -1), "ids"));
           }),
           py::arg("n"), py::arg("ids"));
  py::class_<SelectorBatch, Selector, py::smart_holder>(
      m, "IDSelectorBatch", "The ids of an integer array, as a hash set behind a Bloom filter.")
      .def(py::init([](const ArrayLike& x) { return std::make_shared<SelectorBatch>(ids(x, -1)); }),
           py::arg("ids"))
      .def(py::init([](py::ssize_t n, const ArrayLike& x) {
             return std::make_shared<SelectorBatch>(first(n, ids(x, -1), "ids"));
           }),
           py::arg("n"), py::arg("ids"));
  py::class_<SelectorBitmap, Selector, py::smart_holder>(
      m, "IDSelectorBitmap",
      "The ids whose bit is set in a uint8 array: bit i % 8 (least significant first) of byte i // "
      "8.")
      .def(py::init([](const ArrayLike& bits) {
             return std::make_shared<SelectorBitmap>(bytes_of(bits));
           }),
           py::arg("bitmap"))
      .def(py::init([](py::ssize_t n, const ArrayLike& bits) {
             return std::make_shared<SelectorBitmap>(first(n, bytes_of(bits), "bytes"));
           }),
           py::arg("n"), py::arg("bitmap"));
  py::class_<SelectorNot, Selector, py::smart_holder>(m, "IDSelectorNot",
                                                      "The ids that are not in `sel`.")
      .def(py::init<SelectorPtr>(), py::arg("sel").none(false));
  bind_pair<SelectorPair::Op::both>(m, "IDSelectorAnd", "The ids in both sets.");
  bind_pair<SelectorPair::Op::either>(m, "IDSelectorOr", "The ids in either set.");
  bind_pair<SelectorPair::Op::one>(m, "IDSelectorXOr", "The ids in exactly one of the sets.");
  py::class_<SelectorCallback, Selector, py::smart_holder>(
      m, "PyCallbackIDSelector",
      "The ids for which callback(id) is true. It is asked once per vector of the index at each "
      "search: "
      "slow, so prefer IDSelectorBatch or IDSelectorBitmap for a set that stays the same.")
      .def(py::init<py::function>(), py::arg("callback"));
}

}  // namespace

void bind_params(py::module_& m) {
  bind_selectors(m);
  py::class_<SearchParameters, py::smart_holder>(
      m, "SearchParameters", "What one search does differently from the index's own settings.")
      .def(py::init([](SelectorPtr sel) {
             auto p = std::make_shared<SearchParameters>();
             p->sel = std::move(sel);
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr)
      .def_property(
          "sel", [](const SearchParameters& p) { return std::const_pointer_cast<Selector>(p.sel); },
          [](SearchParameters& p, SelectorPtr sel) { p.sel = std::move(sel); },
          "IDSelector of the ids that may be returned, or None for all.");
  py::class_<SearchParametersHNSW, SearchParameters, py::smart_holder>(
      m, "SearchParametersHNSW",
      "SearchParameters of the HNSW indexes; efSearch replaces index.hnsw.efSearch for one "
      "call.\n\n"
      "With sel, a search goes over the selected vectors only, past the others' links (ACORN, "
      "arXiv 2403.04871), or ignores the filter on the way where most vectors around the query "
      "are selected, or scores all that are selected where they are few: recall is about that of "
      "a search without sel at the same efSearch.")
      .def(py::init(
               [](SelectorPtr sel, int efSearch, bool check_relative_distance, bool bounded_queue) {
                 auto p = std::make_shared<SearchParametersHNSW>();
                 p->sel = std::move(sel);
                 p->efSearch = efSearch;
                 p->check_relative_distance = check_relative_distance;
                 p->bounded_queue = bounded_queue;
                 return p;
               }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("efSearch") = 16,
           py::arg("check_relative_distance") = true, py::arg("bounded_queue") = true)
      .def_readwrite("efSearch", &SearchParametersHNSW::efSearch,
                     "Candidates kept while searching: more is slower and finds more.")
      .def_readwrite("check_relative_distance", &SearchParametersHNSW::check_relative_distance,
                     "Kept for faiss programs; the search always stops on distance.")
      .def_readwrite("bounded_queue", &SearchParametersHNSW::bounded_queue,
                     "Kept for faiss programs; the queue is always bounded.");
  py::class_<IndexRefineSearchParameters, SearchParameters, py::smart_holder>(
      m, "IndexRefineSearchParameters", "SearchParameters of the refining indexes.")
      .def(py::init([](SelectorPtr sel, float k_factor, std::shared_ptr<SearchParameters> base) {
             auto p = std::make_shared<IndexRefineSearchParameters>();
             p->sel = std::move(sel);
             p->k_factor = k_factor;
             p->base_index_params = std::move(base);
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("k_factor") = 1.f,
           py::arg("base_index_params") = nullptr)
      .def_readwrite("k_factor", &IndexRefineSearchParameters::k_factor,
                     "Candidates per result asked of the base index, 1 to 1000.")
      .def_property(
          "base_index_params",
          [](const IndexRefineSearchParameters& p) {
            return std::const_pointer_cast<SearchParameters>(p.base_index_params);
          },
          [](IndexRefineSearchParameters& p, std::shared_ptr<SearchParameters> v) {
            p.base_index_params = std::move(v);
          },
          "SearchParameters handed to the base index, or None.");
  py::class_<SearchParametersPreTransform, SearchParameters, py::smart_holder>(
      m, "SearchParametersPreTransform",
      "SearchParameters of IndexPreTransform, which takes its inner index's own as well.")
      .def(py::init([](SelectorPtr sel, std::shared_ptr<SearchParameters> inner) {
             auto p = std::make_shared<SearchParametersPreTransform>();
             p->sel = std::move(sel);
             p->index_params = std::move(inner);
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("index_params") = nullptr)
      .def_property(
          "index_params",
          [](const SearchParametersPreTransform& p) {
            return std::const_pointer_cast<SearchParameters>(p.index_params);
          },
          [](SearchParametersPreTransform& p, std::shared_ptr<SearchParameters> v) {
            p.index_params = std::move(v);
          },
          "SearchParameters handed to the index behind the transforms, or None.");
}

}  // namespace shortlist
