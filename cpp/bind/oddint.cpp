// A private submodule that runs the parts of odd-integer codes one by one, for the tests.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "base/error.h"
#include "bind/bind.h"
#include "codec/oddint/lookup.h"
#include "codec/oddint/rabitq.h"
#include "codec/oddint/rotation.h"

namespace py = pybind11;

namespace shortlist {
namespace {

template <class T>
using Contiguous = py::array_t<T, py::array::c_style | py::array::forcecast>;

void require(bool ok, const char* what) {
  if (!ok) throw ArgumentError(text("call refused: ", what));
}

template <class T>
size_t columns(const Contiguous<T>& x) {
  require(x.ndim() == 2, "the array must be 2-D");
  return static_cast<size_t>(x.shape(1));
}

template <class T, class From>
py::array_t<T> like(const Contiguous<From>& x, size_t cols) {
  return py::array_t<T>({x.shape(0), static_cast<py::ssize_t>(cols)});
}

using RotationFn = void (Rotation::*)(const float*, float*) const;

py::array_t<float> each_row(const Rotation& rotation, RotationFn fn, const Contiguous<float>& x,
                            size_t repeat) {
  const bool forward = fn == &Rotation::apply;
  require(columns(x) == (forward ? rotation.d() : rotation.m()), "rows have the wrong length");
  auto out = like<float>(x, rotation.m());
  for (size_t r = 0; r < repeat; ++r)
    for (py::ssize_t i = 0; i < x.shape(0); ++i)
      (rotation.*fn)(x.data(i, 0), out.mutable_data(i, 0));
  return out;
}

std::tuple<py::array_t<uint8_t>, py::array_t<float>> encode(
    const Contiguous<float>& r, const std::optional<Contiguous<float>>& centre, bool l2,
    size_t repeat) {
  const size_t m = columns(r);
  require(m % 64 == 0 && m > 0, "rows must have a multiple of 64 values");
  require(!centre || static_cast<size_t>(centre->size()) == m, "centre has the wrong length");
  auto bits = like<uint8_t>(r, m / 8);
  auto factors = like<float>(r, 3);
  const Metric metric = l2 ? Metric::l2 : Metric::inner_product;
  for (size_t k = 0; k < repeat; ++k)
    for (py::ssize_t i = 0; i < r.shape(0); ++i) {
      const RabitqFactors f = rabitq_encode(r.data(i, 0), centre ? centre->data() : nullptr, m,
                                            metric, bits.mutable_data(i, 0));
      float* out = factors.mutable_data(i, 0);
      out[0] = f.add, out[1] = f.rescale, out[2] = f.error;
    }
  return {bits, factors};
}

py::array_t<uint8_t> pack(const Contiguous<uint8_t>& bits) {
  const size_t bytes = columns(bits);
  require(bits.shape(0) <= static_cast<py::ssize_t>(kBlockVectors), "at most 32 vectors");
  py::array_t<uint8_t> block(static_cast<py::ssize_t>(block_size(8 * bytes)));
  pack32(bits.data(), bytes, static_cast<size_t>(bits.shape(0)), 8 * bytes, block.mutable_data());
  return block;
}

py::array_t<uint8_t> unpack(const Contiguous<uint8_t>& block, size_t n) {
  const auto size = static_cast<size_t>(block.size());
  require(size % block_size(8) == 0 && n <= kBlockVectors, "not a block of 32");
  const size_t bytes = size / block_size(8);
  py::array_t<uint8_t> bits({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(bytes)});
  unpack32(block.data(), n, 8 * bytes, bits.mutable_data(), bytes);
  return bits;
}

std::tuple<py::array_t<uint8_t>, float, float> query_table(const Contiguous<float>& q, float unit,
                                                           size_t repeat) {
  require(q.size() % 16 == 0, "a multiple of 16 values is needed");
  QueryTable table;
  for (size_t r = 0; r < repeat; ++r) table.set(q.data(), static_cast<size_t>(q.size()), unit);
  py::array_t<uint8_t> entries(static_cast<py::ssize_t>(table.entries.size()),
                               table.entries.data());
  return {entries, table.step, table.offset};
}

std::tuple<py::array_t<uint8_t>, py::array_t<uint8_t>, double, double> fine_query_table(
    const Contiguous<float>& q, float unit) {
  require(q.size() % 16 == 0, "a multiple of 16 values is needed");
  FineQueryTable table;
  table.set(q.data(), static_cast<size_t>(q.size()), unit);
  const auto size = static_cast<py::ssize_t>(table.high.size());
  return {py::array_t<uint8_t>(size, table.high.data()),
          py::array_t<uint8_t>(size, table.low.data()), table.step, table.offset};
}

}  // namespace

void bind_oddint(py::module_& m) {
  py::module_ o = m.def_submodule("_oddint", "Parts of odd-integer codes one by one, for tests.");
  o.attr("epsilon") = kRabitqEpsilon;
  py::class_<Rotation>(o, "Rotation")
      .def(py::init<size_t, uint64_t>(), py::arg("d"), py::arg("seed"))
      .def_property_readonly("d", &Rotation::d)
      .def_property_readonly("m", &Rotation::m)
      .def(
          "apply",
          [](const Rotation& rotation, const Contiguous<float>& x, size_t repeat) {
            return each_row(rotation, &Rotation::apply, x, repeat);
          },
          py::arg("x"), py::arg("repeat") = 1)
      .def(
          "apply_inverse",
          [](const Rotation& rotation, const Contiguous<float>& y, size_t repeat) {
            return each_row(rotation, &Rotation::apply_inverse, y, repeat);
          },
          py::arg("y"), py::arg("repeat") = 1);
  o.def("rabitq_encode", &encode, py::arg("r"), py::arg("centre") = py::none(), py::kw_only(),
        py::arg("l2") = true, py::arg("repeat") = 1);
  o.def("pack32", &pack, py::arg("bits"));
  o.def("unpack32", &unpack, py::arg("block"), py::arg("n") = kBlockVectors);
  o.def("query_table", &query_table, py::arg("q"), py::arg("unit") = 0.f, py::arg("repeat") = 1);
  o.def("fine_query_table", &fine_query_table, py::arg("q"), py::arg("unit") = 0.f);
}

}  // namespace shortlist
