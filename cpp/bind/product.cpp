// Product quantisation under faiss's names.
#include "index/product.h"

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "bind/ivf.h"
#include "index/hnsw.h"
#include "index/ivf_pqr.h"
#include "index/multi_index.h"

namespace shortlist {
namespace {

std::shared_ptr<ProductQuantizer> quantizer(py::ssize_t d, py::ssize_t M, int nbits,
                                            bool offset = false) {
  return std::make_shared<ProductQuantizer>(size_arg(d, "d"), size_arg(M, "M"), nbits, offset);
}

py::array_t<uint8_t> codes_of(const ProductQuantizer& pq, const ArrayLike& x) {
  const Vectors2D v = vectors(x);
  if (v.rows.d != pq.d)
    throw DimensionError(text("the vectors have ", v.rows.d, " dimensions, not d = ", pq.d));
  if (!pq.is_trained()) throw NotTrainedError("this ProductQuantizer is not trained; call train");
  py::array_t<uint8_t> out(
      {static_cast<py::ssize_t>(v.rows.n), static_cast<py::ssize_t>(pq.code_size())});
  auto* codes = reinterpret_cast<std::byte*>(out.mutable_data());
  const Unlocked unlocked;
  encode_rows(pq, v.rows, codes);
  return out;
}

py::array_t<float> vectors_of(const ProductQuantizer& pq,
                              const py::array_t<uint8_t, py::array::c_style>& codes) {
  if (codes.ndim() != 2 || static_cast<size_t>(codes.shape(1)) != pq.code_size())
    throw DimensionError(text("codes should have shape (n, ", pq.code_size(), ")"));
  if (!pq.is_trained()) throw NotTrainedError("this ProductQuantizer is not trained; call train");
  const auto n = static_cast<size_t>(codes.shape(0));
  py::array_t<float> out({codes.shape(0), static_cast<py::ssize_t>(pq.d)});
  float* x = out.mutable_data();
  const auto* in = reinterpret_cast<const std::byte*>(codes.data());
  const Unlocked unlocked;
  decode_rows(pq, in, n, x);
  return out;
}

}  // namespace

void bind_product(py::module_& m) {
  py::class_<ProductQuantizer, py::smart_holder>(
      m, "ProductQuantizer",
      "Cuts a vector into M parts and keeps of each the number, of nbits bits, of the nearest of "
      "2^nbits centroids.\n\n"
      "M: a divisor of d. nbits: 1 to 8. Raises ArgumentError for others. Codes and centroids are "
      "in faiss's order. Source: Jegou, Douze and Schmid 2011, Product quantization for nearest "
      "neighbor search.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, int nbits) { return quantizer(d, M, nbits); }),
           py::arg("d"), py::arg("M"), py::arg("nbits") = 8)
      .def_property_readonly(
          "offset", [](const ProductQuantizer& pq) { return pq.offset; },
          "Whether the last of the d values is a float behind the code: see IndexPQ.")
      .def_property(
          "anisotropic_threshold",
          [](const ProductQuantizer& pq) { return pq.anisotropic_threshold.load(); },
          &ProductQuantizer::set_anisotropic_threshold,
          "Above 0 codes keep large inner products better: an error x - x' along x counts eta "
          "times "
          "as much as one across it, eta = (d - 1) t^2 / (1 - t^2) for the threshold t, but at "
          "least 1. Of t about 0.2 queries' products with their nearest vectors gain, and those "
          "with the others lose. 0 (default) turns it off. Set it before train, which moves the "
          "centroids for it; codes are made by it from then on (some times slower than "
          "without), and are read, saved and searched as any. ArgumentError unless 0 <= t < 1; "
          "UnsupportedError in train and add of an index of L2 or of lists of residuals. Source: "
          "Guo et al. 2020, Accelerating large-scale inference with anisotropic vector "
          "quantization (arXiv 1908.10396), theorem 3.4 with T = t |x|, and section 4.2.")
      .def_property_readonly(
          "d", [](const ProductQuantizer& pq) { return pq.d; }, "Dimensions of a vector.")
      .def_property_readonly(
          "M", [](const ProductQuantizer& pq) { return pq.M; }, "Parts of a vector.")
      .def_property_readonly(
          "nbits", [](const ProductQuantizer& pq) { return pq.nbits; }, "Bits of a part.")
      .def_property_readonly("ksub", &ProductQuantizer::ksub, "Centroids of a part.")
      .def_property_readonly("dsub", &ProductQuantizer::dsub, "Dimensions of a part.")
      .def_property_readonly("code_size", &ProductQuantizer::code_size, "Bytes of a vector.")
      .def_property_readonly(
          "centroids",
          [](const ProductQuantizer& pq) {
            const auto parts = static_cast<py::ssize_t>(pq.is_trained() ? pq.M : 0);
            return py::array_t<float>(
                {parts, static_cast<py::ssize_t>(pq.ksub()), static_cast<py::ssize_t>(pq.dsub())},
                pq.centroids().data());
          },
          "A copy, (M, ksub, dsub) float32; empty until trained.")
      .def_property_readonly(
          "cp", [](ProductQuantizer& pq) { return &pq.cp; },
          py::return_value_policy::reference_internal,
          "How train finds the centroids of each part; set its fields.")
      .def(
          "train",
          [](ProductQuantizer& pq, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            if (v.rows.d != pq.d)
              throw DimensionError(
                  text("the vectors have ", v.rows.d, " dimensions, not d = ", pq.d));
            const Unlocked unlocked;
            std::vector<float> scratch;
            pq.train({as_floats(v.rows, scratch), v.rows.n, v.rows.d});
          },
          py::arg("x"),
          "k-means in each part of x (n, d), as cp says: 25 iterations over at most 256 vectors a "
          "centroid. "
          "Raises ArgumentError for fewer than ksub vectors, NaN and infinities. Not for a "
          "quantizer whose index holds vectors.")
      .def("compute_codes", &codes_of, py::arg("x"), "Codes of x (n, d): uint8 (n, code_size).")
      .def("decode", &vectors_of, py::arg("codes"),
           "What codes (n, code_size) stand for: float32 (n, d).");
  py::class_<IndexPQ, IndexFlatCodes, py::smart_holder>(
      m, "IndexPQ",
      "Exhaustive search over product-quantised codes, each compared by M additions from a table "
      "of the query.\n\n"
      "M: parts, a divisor of d. nbits: bits of a part, 1 to 8. train(x) needs at least 2^nbits "
      "vectors. faiss's polysemous codes are not trained, which changes no result. offset: for an "
      "IndexPreTransform that begins with a QueryAwareTransform, of L2 (which index_factory builds "
      "of \"QA,PQ48\"): M divides d - 1, and the last value is kept as 4 bytes more; distances are "
      "q's last value + x's - 2 <q, x> of the others. Raises UnsupportedError for one of inner "
      "products.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, int nbits, int metric, bool offset) {
             return std::make_shared<IndexPQ>(quantizer(d, M, nbits, offset), metric_of(metric));
           }),
           py::arg("d"), py::arg("M"), py::arg("nbits") = 8,
           py::arg("metric") = static_cast<int>(Metric::l2), py::arg("offset") = false)
      .def_property_readonly(
          "pq", [](const IndexPQ& self) { return self.pq; },
          "The ProductQuantizer; a live alias that may outlive the index.");
  py::class_<IndexPQFastScan, Index, py::smart_holder>(
      m, "IndexPQFastScan",
      "IndexPQ of 4 bits a part, scanned 32 vectors at a time by tables rounded to bytes, as faiss "
      "rounds them. Distances are the sums of their entries, a little off those of IndexPQ.\n\n"
      "nbits: must be 4. bbs: vectors in a block of faiss's files, a multiple of 32. Made of an "
      "IndexPQ, it is a copy. Raises ArgumentError for others. Source: Andre, Kermarrec and Le "
      "Scouarnec 2015, Cache locality is not enough.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, int nbits, int metric, int bbs) {
             return std::make_shared<IndexPQFastScan>(quantizer(d, M, nbits), metric_of(metric),
                                                      bbs);
           }),
           py::arg("d"), py::arg("M"), py::arg("nbits") = 4,
           py::arg("metric") = static_cast<int>(Metric::l2), py::arg("bbs") = 32)
      .def(py::init<const IndexPQ&, int>(), py::arg("orig"), py::arg("bbs") = 32)
      .def_property_readonly(
          "pq", [](const IndexPQFastScan& self) { return self.pq; },
          "The ProductQuantizer; a live alias that may outlive the index.")
      .def_property_readonly(
          "bbs", [](const IndexPQFastScan& self) { return self.bbs; },
          "Vectors in a block of faiss's files.")
      .def_property_readonly("code_size", &IndexPQFastScan::sa_code_size,
                             "Bytes of one stored vector.");
  py::class_<IndexIVFPQ, IndexIVF, py::smart_holder>(
      m, "IndexIVFPQ",
      "IndexIVF of product-quantised codes, of residuals unless by_residual is set to False: M "
      "parts of nbits_per_idx bits.")
      .def(py::init([](std::shared_ptr<Index> coarse, py::ssize_t d, py::ssize_t nlist,
                       py::ssize_t M, int nbits, int metric) {
             return std::make_shared<IndexIVFPQ>(std::move(coarse), size_arg(nlist, "nlist"),
                                                 quantizer(d, M, nbits), metric_of(metric));
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"), py::arg("M"),
           py::arg("nbits_per_idx"), py::arg("metric") = static_cast<int>(Metric::l2))
      .def_property_readonly(
          "pq", [](const IndexIVFPQ& self) { return self.pq; },
          "The ProductQuantizer; a live alias that may outlive the index.");
  py::class_<IndexIVFPQR, IndexIVFPQ, py::smart_holder>(
      m, "IndexIVFPQR",
      "IndexIVFPQ with a second code of what the first leaves of a vector: a search takes k * "
      "k_factor vectors by the first codes and returns the k nearest by both. L2, of residuals.\n\n"
      "M, nbits_per_idx and M_refine, nbits_per_idx_refine: parts and bits of the two codes. Both "
      "lie in the lists, one behind the other, which is what code_size, invlists and sa_encode "
      "tell; range_search, reconstruct and search_exact use both. Ids may be any, and remove_ids "
      "works, where faiss has neither: in its files ids that are not 0 to ntotal - 1 become those "
      "of an IndexIDMap2 around it. Raises ArgumentError for parts that do not divide d and other "
      "bits, UnsupportedError for own_invlists = False. Source: Jegou, Tavenard, Douze and Amsaleg "
      "2011, Searching in one billion vectors: re-rank with source coding.")
      .def(py::init([](std::shared_ptr<Index> coarse, py::ssize_t d, py::ssize_t nlist,
                       py::ssize_t M, int nbits, py::ssize_t M_refine, int nbits_refine,
                       bool own_invlists) {
             check_owned(own_invlists);
             return std::make_shared<IndexIVFPQR>(std::move(coarse), size_arg(nlist, "nlist"),
                                                  quantizer(d, M, nbits),
                                                  quantizer(d, M_refine, nbits_refine));
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"), py::arg("M"),
           py::arg("nbits_per_idx"), py::arg("M_refine"), py::arg("nbits_per_idx_refine"),
           py::arg("own_invlists").noconvert() = true)
      .def_property_readonly(
          "refine_pq", [](const IndexIVFPQR& self) { return self.refine_pq; },
          "The ProductQuantizer of the second codes; a live alias that may outlive the index.")
      .def_property("k_factor", &IndexIVFPQR::k_factor, &IndexIVFPQR::set_k_factor,
                    "Vectors that are ranked again for each result, 4 at first: more is slower and "
                    "finds more. Raises ArgumentError unless it is 1 to 1000.");
  py::class_<MultiIndexQuantizer, Index, py::smart_holder>(
      m, "MultiIndexQuantizer",
      "The quantizer of an inverted multi-index: vectors are cut into M parts, and each way to "
      "choose a centroid for every part is a cell. It finds the nearest of 2^(M * nbits) cells "
      "without looking at most of them.\n\n"
      "M: a divisor of d. nbits: 1 to 8, of a part's centroids. An IndexIVF of it has nlist = "
      "2^(M * nbits) lists, and its training trains the quantizer. search gives the numbers of "
      "cells, in which the centroid of part m has the bits from m * nbits on, and squared "
      "distances. add and reset raise UnsupportedError, as do filters. Raises ArgumentError for "
      "other parts and bits, and for more than 2^62 cells. Source: Babenko and Lempitsky 2012, "
      "The inverted multi-index.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, int nbits) {
             return std::make_shared<MultiIndexQuantizer>(quantizer(d, M, nbits));
           }),
           py::arg("d"), py::arg("M"), py::arg("nbits"))
      .def_property_readonly(
          "pq", [](const MultiIndexQuantizer& self) { return self.pq; },
          "The ProductQuantizer whose centroids make the cells; a live alias that may outlive the "
          "index.");
  py::class_<IndexIVFPQFastScan, IndexIVF, py::smart_holder>(
      m, "IndexIVFPQFastScan",
      "IndexIVF of product-quantised codes of 4 bits, scanned as IndexPQFastScan's; of vectors, as "
      "in faiss, unless by_residual is set.\n\n"
      "nbits: must be 4. bbs: vectors in a block of faiss's files. Raises ArgumentError for "
      "others.")
      .def(py::init([](std::shared_ptr<Index> coarse, py::ssize_t d, py::ssize_t nlist,
                       py::ssize_t M, int nbits, int metric, int bbs) {
             return std::make_shared<IndexIVFPQFastScan>(
                 std::move(coarse), size_arg(nlist, "nlist"), quantizer(d, M, nbits),
                 metric_of(metric), bbs);
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"), py::arg("M"),
           py::arg("nbits") = 4, py::arg("metric") = static_cast<int>(Metric::l2),
           py::arg("bbs") = 32)
      .def_property_readonly(
          "pq", [](const IndexIVFPQFastScan& self) { return self.pq; },
          "The ProductQuantizer; a live alias that may outlive the index.")
      .def_property_readonly(
          "bbs", [](const IndexIVFPQFastScan& self) { return self.bbs; },
          "Vectors in a block of faiss's files.");
  py::class_<IndexHNSWPQ, IndexHNSW, py::smart_holder>(
      m, "IndexHNSWPQ",
      "HNSW over product-quantised codes: pq_m parts of pq_nbits bits; M links per node. Train it "
      "before add. The graph is built by the vectors themselves, as IndexHNSWSDC's is.")
      .def(py::init([](py::ssize_t d, py::ssize_t pq_m, py::ssize_t M, int pq_nbits, int metric) {
             return std::make_shared<IndexHNSWPQ>(quantizer(d, pq_m, pq_nbits), size_arg(M, "M"),
                                                  metric_of(metric));
           }),
           py::arg("d"), py::arg("pq_m"), py::arg("M"), py::arg("pq_nbits") = 8,
           py::arg("metric") = static_cast<int>(Metric::l2));
}

}  // namespace shortlist
