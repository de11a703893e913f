// RaBitQ indexes under faiss's names.
#include <pybind11/stl.h>

#include <shared_mutex>
#include <string>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "bind/ivf.h"
#include "index/ivf_rabitq.h"
#include "index/rabitq.h"

namespace shortlist {
namespace {

constexpr int kL2 = static_cast<int>(Metric::l2);

// What an index's `rabitq` says of its codes.
struct RaBitQuantizer {
  size_t d, nb_bits, code_size;
  int metric_type;

  explicit RaBitQuantizer(const RaBitQCodec& codec)
      : d(codec.d),
        nb_bits(static_cast<size_t>(codec.bits)),
        code_size(codec.faiss_size()),
        metric_type(static_cast<int>(codec.metric)) {}
};

int checked_qb(int qb, int least) {
  if (qb < least || qb > IndexRaBitQ::kMostQueryBits)
    throw ArgumentError(
        text("qb = ", qb, "; it must be from ", least, " to ", IndexRaBitQ::kMostQueryBits));
  return qb;
}

std::shared_ptr<RaBitQCodec> codec_of(py::ssize_t d, int metric, int nb_bits) {
  return std::make_shared<RaBitQCodec>(size_arg(d, "d"), nb_bits, metric_of(metric));
}

constexpr const char* kQbDoc =
    "Bits to which a query's values are rounded before they are compared with one-bit codes, as "
    "faiss has it; 0: not at all, which finds most. Codes of several bits are compared with "
    "queries "
    "as they are.";
constexpr const char* kCenteredDoc =
    "How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, "
    "from the least to the greatest.";

void bind_inverted(py::module_& m) {
  py::class_<IVFRaBitQSearchParameters, SearchParametersIVF, py::smart_holder>(
      m, "IVFRaBitQSearchParameters",
      "SearchParametersIVF of IndexIVFRaBitQ; qb and centered replace the index's for one call.")
      .def(py::init([](std::shared_ptr<Selector> sel, py::ssize_t nprobe, py::ssize_t max_codes,
                       std::shared_ptr<SearchParameters> quantizer_params, int qb, bool centered) {
             auto p = std::make_shared<IVFRaBitQSearchParameters>();
             p->sel = std::move(sel);
             p->nprobe = probes(nprobe);
             p->max_codes = at_least_0(max_codes, "max_codes");
             p->quantizer_params = std::move(quantizer_params);
             p->grid.bits = checked_qb(qb, 0);
             p->grid.centered = centered;
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("nprobe") = 1, py::arg("max_codes") = 0,
           py::arg("quantizer_params") = nullptr, py::arg("qb") = 4, py::arg("centered") = false)
      .def_property(
          "qb", [](const IVFRaBitQSearchParameters& p) { return p.grid.bits; },
          [](IVFRaBitQSearchParameters& p, int qb) { p.grid.bits = checked_qb(qb, 0); }, kQbDoc)
      .def_property(
          "centered", [](const IVFRaBitQSearchParameters& p) { return p.grid.centered; },
          [](IVFRaBitQSearchParameters& p, bool value) { p.grid.centered = value; }, kCenteredDoc);
  py::class_<IndexIVFRaBitQ, IndexIVF, py::smart_holder>(
      m, "IndexIVFRaBitQ",
      "IndexIVF over IndexRaBitQ's codes, each relative to the centroid of its list: the signs of "
      "what the centroid leaves of a vector, or nb_bits bits a dimension, and factors that make "
      "distances unbiased estimates.\n\n"
      "Codes and files are faiss's; they are always of residuals. Vectors are "
      "not rotated: put a RandomRotationMatrix in front, or take IndexIVFSDC, which has its own. "
      "One-bit codes are compared with queries rounded to qb bits, 4 at first, and exactly with qb "
      "= "
      "0; of several bits reconstruct uses all, where faiss uses the signs.\n\n"
      "nb_bits: 1 to 8. Raises ArgumentError for others, DimensionError for a quantizer of other "
      "dimensions, UnsupportedError for own_invlists = False. Source: RaBitQ (arXiv 2405.12497 and "
      "2409.09913).")
      .def(py::init([](std::shared_ptr<Index> quantizer, py::ssize_t d, py::ssize_t nlist,
                       int metric, bool own_invlists, int nb_bits) {
             check_owned(own_invlists);
             return std::make_shared<IndexIVFRaBitQ>(std::move(quantizer), size_arg(nlist, "nlist"),
                                                     codec_of(d, metric, nb_bits));
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"),
           py::arg("metric") = kL2, py::arg("own_invlists").noconvert() = true,
           py::arg("nb_bits") = 1)
      .def_property_readonly(
          "rabitq", [](const IndexIVFRaBitQ& self) { return RaBitQuantizer(*self.rabitq); },
          "The RaBitQuantizer: what the codes are.")
      .def_property(
          "qb", [](const IndexIVFRaBitQ& self) { return self.qb.load(); },
          [](IndexIVFRaBitQ& self, int qb) {
            self.qb = checked_qb(qb, dynamic_cast<IndexIVFRaBitQFastScan*>(&self) ? 1 : 0);
          },
          kQbDoc);
  py::class_<IndexIVFRaBitQFastScan, IndexIVFRaBitQ, py::smart_holder>(
      m, "IndexIVFRaBitQFastScan",
      "IndexIVFRaBitQ under the name and in the files of faiss's faster form, which here is the "
      "only one: both search alike.\n\n"
      "bbs: vectors in a block of faiss's files, a multiple of 32. Given an IndexIVFRaBitQ, it "
      "begins as a copy of that one, vectors included, over the same quantizer. Raises "
      "ArgumentError for others; otherwise as IndexIVFRaBitQ.")
      .def(py::init([](const IndexIVFRaBitQ& orig, int bbs) {
             const Unlocked unlocked;
             return std::make_shared<IndexIVFRaBitQFastScan>(orig, bbs);
           }),
           py::arg("orig"), py::arg("bbs") = 32)
      .def(py::init([](std::shared_ptr<Index> quantizer, py::ssize_t d, py::ssize_t nlist,
                       int metric, int bbs, bool own_invlists, int nb_bits) {
             check_owned(own_invlists);
             return std::make_shared<IndexIVFRaBitQFastScan>(
                 std::move(quantizer), size_arg(nlist, "nlist"), codec_of(d, metric, nb_bits), bbs);
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"),
           py::arg("metric") = kL2, py::arg("bbs") = 32, py::arg("own_invlists").noconvert() = true,
           py::arg("nb_bits") = 1)
      .def_property_readonly(
          "bbs", [](const IndexIVFRaBitQFastScan& self) { return self.bbs; },
          "Vectors in a block of faiss's files.")
      .def_property(
          "centered", [](const IndexIVFRaBitQFastScan& self) { return self.centered.load(); },
          [](IndexIVFRaBitQFastScan& self, bool value) { self.centered = value; }, kCenteredDoc);
}

// The attributes that both classes have.
template <class T>
void bind_fields(py::class_<T, Index, py::smart_holder>& c, int least_qb) {
  c.def_property_readonly(
       "rabitq", [](const T& self) { return RaBitQuantizer(*self.rabitq); },
       "The RaBitQuantizer: what the codes are.")
      .def_property_readonly("code_size", &T::sa_code_size,
                             "Bytes of one code, factors included, as sa_encode gives it.")
      .def_property_readonly(
          "center",
          [](const T& self) {
            std::vector<float> copy;
            {
              const Unlocked unlocked;
              const std::shared_lock hold(self.lock());
              copy = self.codec().centre;
            }
            return py::array_t<float>(static_cast<py::ssize_t>(copy.size()), copy.data());
          },
          "A copy of the mean that train found, float32 (d,); empty before.")
      .def_property(
          "qb", [](const T& self) { return self.qb.load(); },
          [least_qb](T& self, int qb) { self.qb = checked_qb(qb, least_qb); }, kQbDoc)
      .def_property(
          "centered", [](const T& self) { return self.centered.load(); },
          [](T& self, bool value) { self.centered = value; },
          "How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at "
          "first, from the least to the greatest. faiss's files do not hold it.");
}

}  // namespace

void bind_rabitq(py::module_& m) {
  py::class_<RaBitQSearchParameters, SearchParameters, py::smart_holder>(
      m, "RaBitQSearchParameters",
      "SearchParameters of the RaBitQ indexes; qb and centered replace the index's for one call.")
      .def(py::init([](std::shared_ptr<Selector> sel, int qb, bool centered) {
             auto p = std::make_shared<RaBitQSearchParameters>();
             p->sel = std::move(sel);
             p->grid.bits = checked_qb(qb, 0);
             p->grid.centered = centered;
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("qb") = 4, py::arg("centered") = false)
      .def_property(
          "qb", [](const RaBitQSearchParameters& p) { return p.grid.bits; },
          [](RaBitQSearchParameters& p, int qb) { p.grid.bits = checked_qb(qb, 0); }, kQbDoc)
      .def_property(
          "centered", [](const RaBitQSearchParameters& p) { return p.grid.centered; },
          [](RaBitQSearchParameters& p, bool value) { p.grid.centered = value; }, kCenteredDoc);
  py::class_<RaBitQuantizer>(m, "RaBitQuantizer",
                             "What the codes of a RaBitQ index are, to look at: index.rabitq.")
      .def_readonly("d", &RaBitQuantizer::d, "Dimensions of a vector.")
      .def_readonly("nb_bits", &RaBitQuantizer::nb_bits, "Bits a dimension.")
      .def_readonly("code_size", &RaBitQuantizer::code_size, "Bytes of one code.")
      .def_readonly("metric_type", &RaBitQuantizer::metric_type,
                    "METRIC_L2 or METRIC_INNER_PRODUCT.");

  py::class_<IndexRaBitQ, Index, py::smart_holder> plain(
      m, "IndexRaBitQ",
      "Exhaustive search over codes of nb_bits bits a dimension: the signs of a vector relative "
      "to the mean that train(x) finds, or the point of a finer grid nearest to it in angle, and "
      "factors that make distances unbiased estimates.\n\n"
      "Vectors are not rotated, as in faiss, and the estimates count on one: turn the vectors by a "
      "random rotation first, or take IndexSDC, which has its own. Codes and files are faiss's. "
      "One-bit codes are compared with queries rounded to qb bits, 4 at first, and exactly with qb "
      "= "
      "0; of several bits reconstruct uses all, where faiss uses the signs. Put IndexRefineFlat "
      "behind it for "
      "exact distances.\n\n"
      "nb_bits: 1 to 8. Raises ArgumentError for others. Source: RaBitQ (arXiv 2405.12497 and "
      "2409.09913).");
  plain.def(py::init([](py::ssize_t d, int metric, int nb_bits) {
              return std::make_shared<IndexRaBitQ>(codec_of(d, metric, nb_bits));
            }),
            py::arg("d"), py::arg("metric") = kL2, py::arg("nb_bits") = 1);
  bind_fields(plain, 0);

  py::class_<IndexRaBitQFastScan, Index, py::smart_holder> fast(
      m, "IndexRaBitQFastScan",
      "IndexRaBitQ under the name and in the files of faiss's faster form, which here is the only "
      "one: both search alike.\n\n"
      "bbs: vectors in a block of faiss's files, a multiple of 32. nb_bits: 1 to 8. Given an "
      "IndexRaBitQ, it begins as a copy of that one, vectors included; its qb is taken over, and 8 "
      "where it is 0. Raises ArgumentError for others. Source: as IndexRaBitQ.");
  fast.def(py::init([](const IndexRaBitQ& orig, int bbs) {
             const Unlocked unlocked;
             return std::make_shared<IndexRaBitQFastScan>(orig, bbs);
           }),
           py::arg("orig"), py::arg("bbs") = 32)
      .def(py::init([](py::ssize_t d, int metric, int bbs, int nb_bits) {
             return std::make_shared<IndexRaBitQFastScan>(codec_of(d, metric, nb_bits), bbs);
           }),
           py::arg("d"), py::arg("metric") = kL2, py::arg("bbs") = 32, py::arg("nb_bits") = 1)
      .def_property_readonly(
          "bbs", [](const IndexRaBitQFastScan& self) { return self.bbs; },
          "Vectors in a block of faiss's files.");
  bind_fields(fast, 1);
  bind_inverted(m);
}

}  // namespace shortlist
