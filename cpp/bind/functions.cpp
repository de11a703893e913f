// Module-level functions: threads, knn, normalize_L2.
#include "base/error.h"
#include "base/threads.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

void normalize(const py::object& x) {
  if (!py::isinstance<py::array_t<float>>(x))
    throw py::type_error("normalize_L2 works in place and needs a numpy array of dtype float32");
  auto a = py::reinterpret_borrow<py::array_t<float>>(x);
  if (a.ndim() != 2 || !(a.flags() & py::array::c_style) || !a.writeable())
    throw DimensionError(
        "normalize_L2 works in place and needs a writable C-contiguous array of shape (n, d)");
  float* data = a.mutable_data();
  const auto n = static_cast<size_t>(a.shape(0)), d = static_cast<size_t>(a.shape(1));
  const Unlocked unlocked;
  parallel_for(n, {.grain = 1024}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) normalize_row(data + i * d, d);
  });
}

py::tuple knn(const ArrayLike& xq, const ArrayLike& xb, py::ssize_t k, int metric) {
  const Vectors2D base = vectors(xb, "xb");
  auto index = py::module_::import("shortlist")
                   .attr("IndexFlat")(base.rows.d, metric,
                                      py::arg("dtype") = std::string(name_of(base.rows.dtype)));
  index.attr("add")(xb, py::arg("allow_nan") = true);
  return index.attr("search")(xq, k);
}

}  // namespace

void bind_functions(py::module_& m) {
  m.def("normalize_L2", &normalize, py::arg("x"),
        "Divides each row of x (n, d) float32 by its L2 norm, in place; zero rows stay.");
  m.def("knn", &knn, py::arg("xq"), py::arg("xb"), py::arg("k"),
        py::arg("metric") = static_cast<int>(Metric::l2),
        "The k nearest rows of xb (n, d) to each row of xq (m, d), without keeping an index: (D, "
        "I) as search returns them.");
  m.def(
      "omp_set_num_threads",
      [](py::ssize_t n) {
        if (n < 1) throw ArgumentError(text("n = ", n, " threads were asked for; use at least 1"));
        set_num_threads(static_cast<size_t>(n));
      },
      py::arg("n"),
      "Threads each call may use (the library's own pool, no OpenMP; the name is faiss's).");
  m.def("omp_get_max_threads", &num_threads, "Threads each call may use.");
}

}  // namespace shortlist
