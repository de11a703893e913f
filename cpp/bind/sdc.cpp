// Odd-integer codes under Python's names.
#include <pybind11/stl.h>

#include <array>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "codec/oddint/network.h"
#include "index/ivf.h"
#include "index/versions.h"

namespace shortlist {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Weights = std::map<std::string, Floats>;  // as RecurrentBinarizer.export gives them

const Floats& weight(const Weights& weights, const std::string& name) {
  const auto found = weights.find(name);
  if (found == weights.end())
    throw ArgumentError(text("the encoder has no '", name,
                             "'; pass what shortlist.binary.RecurrentBinarizer.export gives"));
  return found->second;
}

std::vector<float> values(const Weights& weights, const std::string& name, bool optional = false) {
  if (optional && !weights.contains(name)) return {};
  const Floats& x = weight(weights, name);
  return {x.data(), x.data() + x.size()};
}

int whole(const Weights& weights, const std::string& name) {
  const Floats& x = weight(weights, name);
  if (x.size() != 1) throw ArgumentError(text("the encoder's '", name, "' should be one number"));
  return static_cast<int>(*x.data());
}

std::shared_ptr<OddIntCodec> of_encoder(size_t d, std::optional<int> bits, Metric metric,
                                        const Weights& weights) {
  const int own = whole(weights, "bits");
  if (own < 1 || own > 8)
    throw ArgumentError(text("the encoder's bits are ", own, "; they should be from 1 to 8"));
  if (bits.value_or(own) != own)
    throw ArgumentError(text("bits = ", *bits, " but the encoder makes codes of ", own));
  const Floats& query = weight(weights, "query");
  if (query.ndim() != 2 || static_cast<size_t>(query.shape(1)) != d)
    throw DimensionError(text("the encoder is for vectors of ",
                              query.ndim() == 2 ? query.shape(1) : 0, " dimensions, not d = ", d));
  std::vector<NetworkEncoder::Map> maps;
  for (int i = 0; i < 2 * own - 1; ++i) {
    const std::string name = i == 0 ? "W" : text(i % 2 ? "B" : "R", (i - 1) / 2);
    maps.push_back({values(weights, name + ".skip"), values(weights, name + ".bias"),
                    values(weights, name + ".hidden", true),
                    values(weights, name + ".hidden_bias", true),
                    values(weights, name + ".out", true)});
  }
  auto codec = std::make_shared<OddIntCodec>(
      std::make_shared<NetworkEncoder>(d, static_cast<size_t>(query.shape(0)), own,
                                       whole(weights, "sweeps"), values(weights, "query"),
                                       std::move(maps)),
      own, metric);
  codec->set_centres(values(weights, "mean"), values(weights, "query_mean"));
  return codec;
}

std::shared_ptr<OddIntCodec> codec_of(py::ssize_t d, std::optional<int> bits, int metric,
                                      std::optional<py::ssize_t> code_dim,
                                      const std::optional<Weights>& encoder) {
  const size_t dims = size_arg(d, "d");
  if (encoder && code_dim) throw ArgumentError("code_dim is the encoder's; leave it out");
  if (encoder) return of_encoder(dims, bits, metric_of(metric), *encoder);
  if (code_dim && (*code_dim % 64 || *code_dim < d))
    throw ArgumentError(
        text("code_dim = ", *code_dim, "; it must be a multiple of 64 that is at least d = ", d));
  const auto rotation = code_dim
                            ? std::make_shared<RabitqEncoder>(dims, static_cast<size_t>(*code_dim))
                            : std::make_shared<RabitqEncoder>(dims);
  return std::make_shared<OddIntCodec>(rotation, bits.value_or(2), metric_of(metric));
}

constexpr const char* kSymmetric =
    "Whether queries are compared by codes of their own (bool, False at first): products are of "
    "whole numbers then, counted in bits, and it finds fewer. The index is saved with it.";

template <class Of>
bool is_symmetric(const Of& index) {
  return index.sdc->symmetric;
}
template <class Of>
void set_symmetric(Of& index, bool value) {
  index.sdc->symmetric = value;
}

}  // namespace

void bind_sdc(py::module_& m) {
  py::class_<IndexSDC, Index, py::smart_holder>(
      m, "IndexSDC",
      "Exhaustive search over small codes: each of code_dim dimensions is an odd integer of `bits` "
      "bits, and the code comes with two factors.\n\n"
      "Without an encoder a vector is turned by a random rotation, relative to the mean that "
      "train(x) finds, and stored as the point of the grid nearest in angle; distances are "
      "unbiased "
      "estimates (RaBitQ, arXiv 2405.12497 and 2409.09913). encoder: what "
      "shortlist.binary.RecurrentBinarizer.export gives; its codes (BEBR, arXiv 2302.08714) find "
      "more in as many bytes, and train(x) only measures them. One bit keeps 1/32 of float32 "
      "vectors' bytes, and 4 bits find most of the 10 nearest; put IndexRefineFlat behind it for "
      "all of them. Searches compare the query as it is with the codes, or by its own code if "
      "symmetric is set (symmetric distance calculation).\n\n"
      "bits: 1 to 8; 2, or the encoder's, by default. code_dim: a multiple of 64, at least d; by "
      "default d rounded up to one. Raises ArgumentError for others and for an encoder that lacks "
      "something, DimensionError for an encoder of other vectors.")
      .def(py::init([](py::ssize_t d, std::optional<int> bits, int metric,
                       std::optional<py::ssize_t> code_dim, const std::optional<Weights>& encoder) {
             return std::make_shared<IndexSDC>(codec_of(d, bits, metric, code_dim, encoder));
           }),
           py::arg("d"), py::arg("bits") = py::none(),
           py::arg("metric") = static_cast<int>(Metric::l2), py::kw_only(),
           py::arg("code_dim") = py::none(), py::arg("encoder") = py::none())
      .def_property_readonly(
          "bits", [](const IndexSDC& self) { return self.codec().bits; }, "Bits a dimension.")
      .def_property_readonly(
          "code_dim", [](const IndexSDC& self) { return self.codec().m(); },
          "Dimensions of a code.")
      .def_property_readonly("code_size", &IndexSDC::sa_code_size,
                             "Bytes of one stored vector, factors included.")
      .def_property("symmetric", &is_symmetric<IndexSDC>, &set_symmetric<IndexSDC>, kSymmetric);
  py::class_<IndexSDCRows, IndexFlatCodes, py::smart_holder>(
      m, "IndexSDCRows",
      "The storage of an IndexHNSWSDC: IndexSDC's codes, one after the other as a graph reads "
      "them. Alone it is slower than IndexSDC.")
      .def_property_readonly(
          "bits", [](const IndexSDCRows& self) { return self.sdc->bits; }, "Bits a dimension.")
      .def_property_readonly(
          "code_dim", [](const IndexSDCRows& self) { return self.sdc->m(); },
          "Dimensions of a code.")
      .def_property("symmetric", &is_symmetric<IndexSDCRows>, &set_symmetric<IndexSDCRows>,
                    kSymmetric);
  py::class_<IndexHNSWSDC, IndexHNSW, py::smart_holder>(
      m, "IndexHNSWSDC",
      "HNSW over the codes of IndexSDC: most memory is links, so put IndexRefineFlat or "
      "IndexRefine behind it for exact distances of what it finds.\n\n"
      "bits, code_dim, encoder: as of IndexSDC; train before add. M: links per node. The graph is "
      "built by the vectors themselves, in float32: 4 d bytes each while they are added. After "
      "additions that are few beside the vectors already there they stay for the next ones, see "
      "release_building_vectors; where they are missing, what codes decode to stands in. Raises "
      "what IndexSDC raises.")
      .def(py::init([](py::ssize_t d, std::optional<int> bits, py::ssize_t M, int metric,
                       std::optional<py::ssize_t> code_dim, const std::optional<Weights>& encoder) {
             return std::make_shared<IndexHNSWSDC>(codec_of(d, bits, metric, code_dim, encoder),
                                                   size_arg(M, "M"));
           }),
           py::arg("d"), py::arg("bits") = py::none(), py::arg("M") = 32,
           py::arg("metric") = static_cast<int>(Metric::l2), py::kw_only(),
           py::arg("code_dim") = py::none(), py::arg("encoder") = py::none());
  py::class_<IndexIVFSDC, IndexIVF, py::smart_holder>(
      m, "IndexIVFSDC",
      "IndexIVF of IndexSDC's codes: of residuals, or, where an encoder was trained for vectors, "
      "of "
      "these. Put IndexRefineFlat or IndexRefine behind it for exact distances of what it "
      "finds.\n\n"
      "bits, code_dim, encoder: as of IndexSDC, which says what is raised. Source: RaBitQ, arXiv "
      "2405.12497.")
      .def(py::init([](std::shared_ptr<Index> quantizer, py::ssize_t d, py::ssize_t nlist,
                       std::optional<int> bits, int metric, std::optional<py::ssize_t> code_dim,
                       const std::optional<Weights>& encoder) {
             return std::make_shared<IndexIVFSDC>(std::move(quantizer), size_arg(nlist, "nlist"),
                                                  codec_of(d, bits, metric, code_dim, encoder));
           }),
           py::arg("quantizer").none(false), py::arg("d"), py::arg("nlist"),
           py::arg("bits") = py::none(), py::arg("metric") = static_cast<int>(Metric::l2),
           py::kw_only(), py::arg("code_dim") = py::none(), py::arg("encoder") = py::none())
      .def_property_readonly(
          "bits", [](const IndexIVFSDC& self) { return self.sdc->bits; }, "Bits a dimension.")
      .def_property_readonly(
          "code_dim", [](const IndexIVFSDC& self) { return self.sdc->m(); },
          "Dimensions of a code.")
      .def_property("symmetric", &is_symmetric<IndexIVFSDC>, &set_symmetric<IndexIVFSDC>,
                    kSymmetric);
  py::class_<IndexSDCVersions, Index, py::smart_holder>(
      m, "IndexSDCVersions",
      "Codes of several embedding models in one index, searched together by queries of the newest: "
      "what upgrading a model leaves behind need not be encoded again. shortlist.binary.upgrade "
      "makes one.\n\n"
      "Rows are those of the oldest version first; add() encodes by the newest encoder. newest: an "
      "IndexSDC with the newest encoder. older: IndexSDCs, oldest first; not to be changed any "
      "more from outside. readings: for each of them what RecurrentBinarizer.export gives of a "
      "module that was fit compatible_with its encoder. Inner product only: raises "
      "UnsupportedError for L2, ArgumentError where sizes do not fit.\n\n"
      "Source: backward-compatible training, BEBR (arXiv 2302.08714).")
      .def(py::init([](std::shared_ptr<IndexSDC> newest,
                       const std::vector<std::shared_ptr<IndexSDC>>& older,
                       const std::vector<Weights>& readings) {
             if (older.size() != readings.size())
               throw ArgumentError(text("there are ", older.size(), " older indexes and ",
                                        readings.size(), " readings; each needs one"));
             std::vector<IndexSDCVersions::Older> parts;
             for (size_t i = 0; i < older.size(); ++i) {
               if (!older[i]) throw ArgumentError("an older index is None");
               if (values(readings[i], "mean") != newest->codec().centre ||
                   values(readings[i], "query_mean") != newest->codec().query_centre)
                 throw ArgumentError(text("readings[", i, "] has another mean than the newest ",
                                          "encoder; fit both on the same base and queries"));
               OddIntReading reading{.turns = values(readings[i], "old_query"),
                                     .shift = values(readings[i], "old_shift")};
               const auto gain = values(readings[i], "old_gain");
               if (gain.size() != 2)
                 throw ArgumentError(text("old_gain has ", gain.size(), " values; it should be 2"));
               reading.slope = gain[0];
               reading.offset = gain[1];
               parts.push_back({older[i], std::move(reading)});
             }
             return std::make_shared<IndexSDCVersions>(std::move(parts), std::move(newest));
           }),
           py::arg("newest").none(false), py::arg("older"), py::arg("readings"))
      .def_property_readonly(
          "newest", [](const IndexSDCVersions& self) { return self.newest; },
          "The IndexSDC of the newest model; a live alias.")
      .def_property_readonly(
          "older",
          [](const IndexSDCVersions& self) {
            std::vector<std::shared_ptr<IndexSDC>> out;
            for (const auto& part : self.older()) out.push_back(part.index);
            return out;
          },
          "The IndexSDCs of older models, oldest first; live aliases.")
      .def_property_readonly(
          "readings",
          [](const IndexSDCVersions& self) {
            std::vector<std::map<std::string, py::array_t<float>>> out;
            const OddIntCodec& codec = self.newest->codec();
            const auto d = static_cast<py::ssize_t>(self.d);
            for (const auto& [part, reading] : self.older()) {
              const auto m = static_cast<py::ssize_t>(reading.shift.size());
              out.push_back({{"old_query", py::array_t<float>({m, d}, reading.turns.data())},
                             {"old_shift", py::array_t<float>(m, reading.shift.data())},
                             {"old_gain", py::array_t<float>(
                                              2, std::array{reading.slope, reading.offset}.data())},
                             {"mean", py::array_t<float>(d, codec.centre.data())},
                             {"query_mean", py::array_t<float>(d, codec.query_centre.data())}});
            }
            return out;
          },
          "How queries read each of `older`; copies.")
      .def(
          "versions",
          [](const IndexSDCVersions& self) {
            std::vector<int32_t> out;
            {
              const Unlocked unlocked;
              out = self.versions();
            }
            return py::array_t<int32_t>(static_cast<py::ssize_t>(out.size()), out.data());
          },
          "The version of each row, (ntotal,) int32: 0 is the oldest.");
}

}  // namespace shortlist
