// Odd-integer codes under Python's names.
#include <pybind11/stl.h>

#include <optional>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "index/sdc.h"

namespace shortlist {

void bind_sdc(py::module_& m) {
  py::class_<IndexSDC, Index, py::smart_holder>(
      m, "IndexSDC",
      "Exhaustive search over small codes: each of code_dim dimensions is an odd integer of `bits` "
      "bits, and the code comes with two factors.\n\n"
      "A vector is turned by a random rotation, relative to the mean that train(x) finds, and "
      "stored as the point of the grid nearest in angle; distances are unbiased estimates (RaBitQ, "
      "arXiv 2405.12497 and 2409.09913). One bit keeps 1/32 of float32 vectors' bytes, and 4 bits "
      "find most of the 10 nearest; put IndexRefineFlat behind it for all of them. Searches "
      "compare "
      "the query as it is with the codes, or by its own code if symmetric is set (symmetric "
      "distance calculation: BEBR, arXiv 2302.08714).\n\n"
      "bits: 1 to 8. code_dim: a multiple of 64, at least d; by default d rounded up to one. "
      "Raises ArgumentError for others.")
      .def(py::init([](py::ssize_t d, int bits, int metric, std::optional<py::ssize_t> code_dim) {
             const size_t dims = size_arg(d, "d");
             if (code_dim && (*code_dim % 64 || *code_dim < d))
               throw ArgumentError(text("code_dim = ", *code_dim,
                                        "; it must be a multiple of 64 that is at least d = ", d));
             const auto encoder =
                 code_dim ? std::make_shared<RabitqEncoder>(dims, static_cast<size_t>(*code_dim))
                          : std::make_shared<RabitqEncoder>(dims);
             return std::make_shared<IndexSDC>(encoder, bits, metric_of(metric));
           }),
           py::arg("d"), py::arg("bits") = 2, py::arg("metric") = static_cast<int>(Metric::l2),
           py::kw_only(), py::arg("code_dim") = py::none())
      .def_property_readonly(
          "bits", [](const IndexSDC& self) { return self.codec().bits; }, "Bits a dimension.")
      .def_property_readonly(
          "code_dim", [](const IndexSDC& self) { return self.codec().m(); },
          "Dimensions of a code.")
      .def_property_readonly("code_size", &IndexSDC::sa_code_size,
                             "Bytes of one stored vector, factors included.")
      .def_property(
          "symmetric", [](const IndexSDC& self) { return self.symmetric.load(); },
          [](IndexSDC& self, bool value) { self.symmetric = value; },
          "Whether queries are compared by their own codes (bool, False at first): exact in whole "
          "numbers, and for queries that are kept as codes; it finds fewer.");
}

}  // namespace shortlist
