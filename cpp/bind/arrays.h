// Python arrays in and out.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/threads.h"
#include "base/types.h"

namespace py = pybind11;

namespace shortlist {

// Anything numpy can read; typed for the stubs.
class ArrayLike : public py::object {
  PYBIND11_OBJECT_DEFAULT(ArrayLike, object, any)
  static bool any(PyObject*) { return true; }
};

// Vectors of one call, converted where the core cannot read them as they are.
struct Vectors2D {
  py::object keep;  // owns the memory of `rows`
  Rows rows;
};

// (n, d) of float32, float16, uint8 or int8 as it is; other real dtypes and layouts become float32,
// which is logged once. Tensors of torch and cupy are read too. Throws TypeError for other dtypes
// and DimensionError for other shapes.
Vectors2D vectors(const ArrayLike& x, const char* name = "x");

// (n, d / 8) of uint8, bits packed as bytes; `owner` is the class that takes them. Throws TypeError
// for other dtypes and DimensionError for other shapes.
Vectors2D bits(const ArrayLike& x, size_t d, const std::string& owner, const char* name = "x");

// 1-D integers of any width as int64. `n` is the length wanted, or -1.
std::vector<id_t> ids(const ArrayLike& x, py::ssize_t n, const char* name = "ids");

// Such integers of that shape, in C order.
std::vector<id_t> ids(const ArrayLike& x, const std::vector<py::ssize_t>& shape, const char* name);

// The array the caller wants filled, checked, or a fresh one of that shape.
template <class T>
py::array_t<T> output(const py::object& wanted, std::vector<py::ssize_t> shape, const char* name);

// `out` in the library `like` came from: torch and cupy tensors get their own kind back.
py::object in_kind(const ArrayLike& like, py::array out);

DType dtype_named(const py::object& name);
Metric metric_of(int metric);                          // throws UnsupportedError
Objective objective_named(const std::string& name);    // throws ArgumentError
size_t size_arg(py::ssize_t value, const char* name);  // throws ArgumentError below 1
// Throws MemoryError if a result of `bytes` cannot fit in this machine.
void check_result_size(double bytes, const char* what);

// An array that holds what the vector held: `shape`, whose values are Ts or of their size.
template <class As, class T>
py::array_t<As> owning(std::vector<T> values, std::vector<py::ssize_t> shape) {
  static_assert(sizeof(As) == sizeof(T));
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<As>(std::move(shape), reinterpret_cast<const As*>(owned->data()), owner);
}

// The GIL released, and Ctrl-C noticed by the library meanwhile.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();

 private:
  const bool before_;
  py::gil_scoped_release release_;
};
void install_hooks();

// A Python callable as progress(done, total), or nothing for None.
ProgressFn progress_from(const py::object& callable);

}  // namespace shortlist

namespace pybind11::detail {
template <>
struct handle_type_name<shortlist::ArrayLike> {
  static constexpr auto name = const_name("numpy.typing.ArrayLike");
};
}  // namespace pybind11::detail
