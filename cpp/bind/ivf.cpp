// Inverted files under faiss's names; those of product-quantised and odd-integer codes stand with
// these.
#include "bind/ivf.h"

#include <pybind11/stl.h>

#include "bind/bind.h"

namespace shortlist {
namespace {

using IndexPtr = std::shared_ptr<Index>;

void bind_parameters(py::module_& m) {
  py::class_<SearchParametersIVF, SearchParameters, py::smart_holder>(
      m, "SearchParametersIVF",
      "SearchParameters of the IVF indexes; nprobe and max_codes replace the index's for one call.")
      .def(py::init([](std::shared_ptr<Selector> sel, py::ssize_t nprobe, py::ssize_t max_codes,
                       std::shared_ptr<SearchParameters> quantizer_params) {
             auto p = std::make_shared<SearchParametersIVF>();
             p->sel = std::move(sel);
             p->nprobe = probes(nprobe);
             p->max_codes = at_least_0(max_codes, "max_codes");
             p->quantizer_params = std::move(quantizer_params);
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("nprobe") = 1, py::arg("max_codes") = 0,
           py::arg("quantizer_params") = nullptr)
      .def_property(
          "nprobe", [](const SearchParametersIVF& p) { return p.nprobe; },
          [](SearchParametersIVF& p, py::ssize_t v) { p.nprobe = probes(v); },
          "Lists that are looked at: more is slower and finds more.")
      .def_property(
          "max_codes", [](const SearchParametersIVF& p) { return p.max_codes; },
          [](SearchParametersIVF& p, py::ssize_t v) { p.max_codes = at_least_0(v, "max_codes"); },
          "No further list is begun once so many vectors were looked at; 0 for no bound.")
      .def_property(
          "quantizer_params",
          [](const SearchParametersIVF& p) {
            return std::const_pointer_cast<SearchParameters>(p.quantizer_params);
          },
          [](SearchParametersIVF& p, std::shared_ptr<SearchParameters> v) {
            p.quantizer_params = std::move(v);
          },
          "SearchParameters handed to the quantizer, or None.");
}

void bind_parts(py::module_& m) {
  py::class_<InvertedLists>(m, "InvertedLists", "The lists of an IVF index, to look at.")
      .def_property_readonly(
          "nlist", [](const InvertedLists& self) { return self.index->nlist(); },
          "How many lists there are.")
      .def_property_readonly("code_size", &InvertedLists::code_size, "Bytes of one vector's code.")
      .def("list_size", &InvertedLists::size, py::arg("list_no"), "How many vectors a list holds.")
      .def("get_ids", &InvertedLists::ids, py::arg("list_no"), "A copy of a list's ids, int64.")
      .def("get_codes", &InvertedLists::codes, py::arg("list_no"),
           "A copy of a list's codes, uint8 (list_size, code_size).")
      .def("imbalance_factor", &InvertedLists::imbalance,
           "How many times longer a search of one list takes than if all were of one size.");
}

}  // namespace

void bind_ivf(py::module_& m) {
  bind_parameters(m);
  bind_parts(m);
  py::class_<IndexIVF, Index, py::smart_holder> c(
      m, "IndexIVF",
      "An inverted file: a vector is kept in the list of the nearest of nlist centroids, and a "
      "search looks at the nprobe nearest lists.\n\n"
      "quantizer holds the centroids and finds the nearest: an IndexFlat, or an IndexHNSWFlat for "
      "many lists. train(x) finds them by k-means (faiss advises 39 to 256 vectors a list), unless "
      "the quantizer holds nlist vectors already. add numbers vectors; add_with_ids takes ids of "
      "your own, and remove_ids leaves the other ids as they are.");
  c.def_property_readonly(
       "quantizer", [](const IndexIVF& self) { return self.quantizer; },
       "The index of the centroids; a live alias.")
      .def_property("by_residual", &IndexIVF::by_residual, &IndexIVF::set_by_residual,
                    "Whether codes are of what the centroid leaves of a vector; set it before "
                    "train. Raises ArgumentError afterwards, and where it is no choice.")
      .def_property(
          "soar_lambda", &IndexIVF::soar_lambda, &IndexIVF::set_soar_lambda,
          "Above 0, each vector is kept in a second list too, so chosen that a query which misses "
          "one finds the other: fewer lists are looked at for the same recall, most so with inner "
          "products and queries unlike the vectors, in twice the memory. 1 to 2 are good; set it "
          "before add. Raises ArgumentError once there are vectors. Source: SOAR, arXiv "
          "2404.00774.")
      .def_property_readonly(
          "code_size", [](const IndexIVF& self) { return self.ivf().form->faiss_size(); },
          "Bytes of one vector's code.")
      .def(
          "copy_subset_to",
          [](const IndexIVF& self, IndexIVF& other, int subset_type, id_t a1, id_t a2) {
            if (subset_type < 0 || subset_type > static_cast<int>(IndexIVF::Subset::list_range))
              throw ArgumentError(text("subset_type = ", subset_type, "; choose 0 to 4"));
            const Unlocked unlocked;
            self.copy_subset_to(other, static_cast<IndexIVF::Subset>(subset_type), a1, a2);
          },
          py::arg("other"), py::arg("subset_type"), py::arg("a1"), py::arg("a2"),
          "Copies some vectors, with their ids, behind those of an index with the same training "
          "(a clone_index of this one, say).\n\n"
          "subset_type, as in faiss: 0 a1 <= id < a2; 1 id % a1 == a2; 2 elements a1 to a2 of "
          "ntotal, an even share of each list; 3 part a2 of the a1 parts of each list; 4 lists a1 "
          "to a2 - 1. Raises ArgumentError for other numbers and for an index that does not fit.")
      .def_readwrite(
          "quantizer_trains_alone", &IndexIVF::quantizer_trains_alone,
          "1, as of a MultiIndexQuantizer: train(x) trains the quantizer, which must then "
          "hold nlist vectors; else k-means finds centroids, and the quantizer is given "
          "them.");
  c.def(
      "add_sa_codes",
      [](IndexIVF& self, const py::array_t<uint8_t, py::array::c_style>& codes,
         const std::optional<ArrayLike>& xids) {
        const size_t size = self.sa_code_size();
        if (codes.ndim() != 2 || codes.shape(1) != signed_size(size))
          throw DimensionError(text("codes must have shape (n, ", size, ")"));
        const auto n = static_cast<size_t>(codes.shape(0));
        const auto keys = xids ? ids(*xids, codes.shape(0)) : std::vector<id_t>{};
        const auto* data = reinterpret_cast<const std::byte*>(codes.data());
        const Unlocked unlocked;
        self.add_sa_codes(data, n, xids ? keys.data() : nullptr);
      },
      py::arg("codes"), py::arg("ids") = py::none(),
      "Adds codes (n, sa_code_size()) uint8, as sa_encode makes them, under ids (n,), any "
      "integers, or the next numbers. Raises DimensionError for another shape, ArgumentError for a "
      "list that is not there, UnsupportedError with a soar_lambda.");
  bind_lists(c);
  bind_preassigned<float>(c, [](const IndexIVF&, const ArrayLike& x) { return vectors(x); });
  py::class_<IndexIVFFlat, IndexIVF, py::smart_holder>(
      m, "IndexIVFFlat",
      "IndexIVF of whole vectors: exact among those in the lists looked at.\n\n"
      "dtype is how vectors are stored: float32, float16, uint8 or int8.")
      .def(py::init([](IndexPtr quantizer, py::ssize_t d, py::ssize_t nlist, int metric,
                       const py::object& dtype) {
             return std::make_shared<IndexIVFFlat>(std::move(quantizer), size_arg(d, "d"),
                                                   size_arg(nlist, "nlist"), metric_of(metric),
                                                   dtype_named(dtype));
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"),
           py::arg("metric") = static_cast<int>(Metric::l2), py::kw_only(),
           py::arg("dtype") = "float32")
      .def_property_readonly(
          "dtype", [](const IndexIVFFlat& self) { return std::string(name_of(self.dtype)); },
          "Storage dtype.");
  py::class_<IndexIVFScalarQuantizer, IndexIVF, py::smart_holder>(
      m, "IndexIVFScalarQuantizer",
      "IndexIVF of a small number per dimension, of residuals unless by_residual is False.")
      .def(py::init([](IndexPtr quantizer, py::ssize_t d, py::ssize_t nlist, int qtype, int metric,
                       bool by_residual) {
             return std::make_shared<IndexIVFScalarQuantizer>(
                 std::move(quantizer), size_arg(nlist, "nlist"),
                 std::make_shared<ScalarQuantizer>(size_arg(d, "d"),
                                                   static_cast<QuantizerType>(qtype)),
                 metric_of(metric), by_residual);
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"), py::arg("qtype"),
           py::arg("metric") = static_cast<int>(Metric::l2), py::arg("by_residual") = true)
      .def_property_readonly(
          "sq", [](const IndexIVFScalarQuantizer& self) { return self.sq; },
          "The ScalarQuantizer; a live alias that may outlive the index.");
}

}  // namespace shortlist
