#include "bind/arrays.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"

namespace shortlist {
namespace {

thread_local bool t_unlocked = false;
std::atomic<bool> g_said_dtype{false}, g_said_layout{false};

std::string kind_of(const py::handle& x) {
  return py::str(py::type::handle_of(x).attr("__name__"));
}

bool from_module(const py::handle& x, const char* package) {
  const std::string module = py::str(py::type::handle_of(x).attr("__module__"));
  return module == package || module.rfind(std::string(package) + ".", 0) == 0;
}

py::array to_numpy(const py::handle& x, const char* name) {
  if (py::isinstance<py::array>(x)) return py::reinterpret_borrow<py::array>(x);
  if (from_module(x, "torch")) return x.attr("detach")().attr("cpu")().attr("numpy")();
  if (from_module(x, "cupy")) return x.attr("get")();
  const auto numpy = py::module_::import("numpy");
  try {
    if (py::hasattr(x, "__dlpack__")) return numpy.attr("from_dlpack")(x);
    return numpy.attr("asarray")(x);
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_ValueError) && !e.matches(PyExc_TypeError) &&
        !e.matches(PyExc_BufferError))
      throw;
    throw py::type_error(text(name, " of type ", kind_of(x), " cannot be read as an array (",
                              std::string(py::str(e.value())),
                              "); pass a numpy array of shape (n, d)"));
  }
}

std::optional<DType> native_dtype(const py::dtype& t) {
  if (t.byteorder() != '=' && t.byteorder() != '|') return std::nullopt;
  if (t.kind() == 'f' && t.itemsize() == 4) return DType::f32;
  if (t.kind() == 'f' && t.itemsize() == 2) return DType::f16;
  if (t.kind() == 'u' && t.itemsize() == 1) return DType::u8;
  if (t.kind() == 'i' && t.itemsize() == 1) return DType::i8;
  return std::nullopt;
}

bool is_real(char kind) { return kind == 'f' || kind == 'i' || kind == 'u' || kind == 'b'; }

constexpr int kPlain =
    py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;

std::string shape_of(const py::array& a) { return py::str(a.attr("shape")); }

std::string shape_of(const std::vector<py::ssize_t>& shape) {
  std::string out;
  for (py::ssize_t n : shape) out += (out.empty() ? "(" : ", ") + std::to_string(n);
  return out + (shape.size() == 1 ? ",)" : ")");
}

void interrupt_hook() {
  if (!t_unlocked) return;  // not a thread Python knows
  const py::gil_scoped_acquire hold;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

void log_hook(const std::string& message) {
  const py::gil_scoped_acquire hold;
  py::module_::import("logging").attr("getLogger")("shortlist").attr("warning")(message);
}

}  // namespace

Vectors2D vectors(const ArrayLike& x, const char* name) {
  py::array a = to_numpy(x, name);
  const char kind = a.dtype().kind();
  if (!is_real(kind))
    throw py::type_error(
        text(name, " has dtype ", std::string(py::str(a.dtype())),
             "; expected float32, float16, uint8 or int8 (or another real dtype, which is "
             "converted to float32)"));
  if (a.ndim() != 2)
    throw DimensionError(text(name, " has shape ", shape_of(a), "; expected 2 dimensions (n, d)",
                              a.ndim() == 1 ? ": pass x[None, :] for a single vector" : ""));
  auto dtype = native_dtype(a.dtype());
  if (!dtype) {
    warn_once(g_said_dtype,
              "arrays that are not float32, float16, uint8 or int8 are converted to float32 on "
              "each call; convert them once to save time");
    a = py::array_t<float, py::array::c_style | py::array::forcecast>(a);
    dtype = DType::f32;
  } else if ((a.flags() & kPlain) != kPlain) {
    warn_once(g_said_layout,
              "arrays that are not C-contiguous are copied on each call; np.ascontiguousarray "
              "once saves time");
    a = py::module_::import("numpy").attr("require")(a, py::none(), py::make_tuple("C", "A"));
  }
  return {a, {a.data(), static_cast<size_t>(a.shape(0)), static_cast<size_t>(a.shape(1)), *dtype}};
}

Vectors2D bits(const ArrayLike& x, size_t d, const std::string& owner, const char* name) {
  const py::array a = to_numpy(x, name);
  if (a.dtype().kind() != 'u' || a.itemsize() != 1)
    throw py::type_error(text(name, " has dtype ", std::string(py::str(a.dtype())),
                              "; expected uint8, 8 bits in a ", "byte: np.packbits(", name,
                              " > 0, axis=1) makes them of signs"));
  if (a.ndim() != 2 || static_cast<size_t>(a.shape(1)) != d / 8)
    throw DimensionError(text(name, " has shape ", shape_of(a), " but this ", owner, " has d = ", d,
                              " bits; pass uint8 of shape (n, ", d / 8, ")"));
  return vectors(py::reinterpret_borrow<ArrayLike>(a), name);
}

namespace {

std::vector<id_t> wide(const py::array& a, const char* name) {
  if (a.dtype().kind() == 'u' && a.itemsize() == 8 && a.size() &&
      a.attr("max")() > py::int_(INT64_MAX))
    throw IdError(text(name, " holds values above 2^63 - 1; ids are signed 64-bit integers"));
  const py::array_t<id_t, py::array::c_style | py::array::forcecast> all(a);
  return {all.data(), all.data() + all.size()};
}

py::array integers(const ArrayLike& x, const char* name) {
  py::array a = to_numpy(x, name);
  const char kind = a.dtype().kind();
  if (kind != 'i' && kind != 'u' && a.size() != 0)
    throw py::type_error(
        text(name, " has dtype ", std::string(py::str(a.dtype())), "; expected integers"));
  return a;
}

}  // namespace

std::vector<id_t> ids(const ArrayLike& x, const std::vector<py::ssize_t>& shape, const char* name) {
  const py::array a = integers(x, name);
  if (!std::equal(shape.begin(), shape.end(), a.shape(), a.shape() + a.ndim()))
    throw DimensionError(text(name, " has shape ", shape_of(a), "; expected ", shape_of(shape)));
  return wide(a, name);
}

std::vector<id_t> ids(const ArrayLike& x, py::ssize_t n, const char* name) {
  const py::array a = integers(x, name);
  if (a.ndim() != 1 || (n >= 0 && a.shape(0) != n))
    throw DimensionError(
        text(name, " has shape ", shape_of(a), "; expected ",
             n >= 0 ? text("(", n, ",), one per vector") : std::string("one dimension")));
  return wide(a, name);
}

template <class T>
py::array_t<T> output(const py::object& wanted, std::vector<py::ssize_t> shape, const char* name) {
  if (wanted.is_none()) return py::array_t<T>(shape);
  if (!py::isinstance<py::array_t<T>>(wanted))
    throw py::type_error(text(name, " must be a numpy array of dtype ",
                              std::string(py::str(py::dtype::of<T>())), ", not ", kind_of(wanted)));
  auto a = py::reinterpret_borrow<py::array>(wanted);
  if (!std::equal(shape.begin(), shape.end(), a.shape(), a.shape() + a.ndim()) ||
      (a.flags() & kPlain) != kPlain || !a.writeable())
    throw DimensionError(text(name, " has shape ", shape_of(a),
                              "; expected a writable C-contiguous array of shape ",
                              shape_of(shape)));
  return py::reinterpret_borrow<py::array_t<T>>(wanted);
}
template py::array_t<float> output<float>(const py::object&, std::vector<py::ssize_t>, const char*);
template py::array_t<int32_t> output<int32_t>(const py::object&, std::vector<py::ssize_t>,
                                              const char*);
template py::array_t<uint8_t> output<uint8_t>(const py::object&, std::vector<py::ssize_t>,
                                              const char*);
template py::array_t<id_t> output<id_t>(const py::object&, std::vector<py::ssize_t>, const char*);

py::object in_kind(const ArrayLike& like, py::array out) {
  if (py::isinstance<py::array>(like)) return out;
  if (from_module(like, "torch")) {
    auto tensor = py::module_::import("torch").attr("from_numpy")(out);
    return tensor.attr("to")(like.attr("device"));
  }
  if (from_module(like, "cupy")) return py::module_::import("cupy").attr("asarray")(out);
  return out;
}

Metric metric_of(int metric) {
  if (metric == static_cast<int>(Metric::l2)) return Metric::l2;
  if (metric == static_cast<int>(Metric::inner_product)) return Metric::inner_product;
  throw UnsupportedError(text(
      "metric ", metric, " is not available; choose METRIC_L2 (1) or METRIC_INNER_PRODUCT (0)"));
}

Objective objective_named(const std::string& name) {
  if (name == "recall") return Objective::recall;
  if (name == "score") return Objective::score;
  throw ArgumentError(text("objective = '", name, "'; choose 'recall' or 'score'"));
}

size_t size_arg(py::ssize_t value, const char* name) {
  if (value < 1) throw ArgumentError(text(name, " = ", value, "; it must be at least 1"));
  return static_cast<size_t>(value);
}

DType dtype_named(const py::object& name) {
  py::object asked;
  try {
    asked = py::dtype::from_args(name);
  } catch (py::error_already_set&) {
    throw ArgumentError(text("dtype ", std::string(py::repr(name)),
                             " is not known; choose float32, float16, uint8 or int8"));
  }
  if (const auto t = native_dtype(asked.cast<py::dtype>())) return *t;
  throw ArgumentError(text("storage dtype ", std::string(py::str(asked)),
                           " is not available; choose float32, float16, uint8 or int8"));
}

void check_result_size(double bytes, const char* what) {
  static const double physical =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  if (bytes <= physical) return;
  PyErr_SetString(PyExc_MemoryError,
                  text(what, " would take ", bytes / 1e9, " GB, more than this machine has (",
                       physical / 1e9, " GB); ask for fewer neighbours or split the queries")
                      .c_str());
  throw py::error_already_set();
}

Unlocked::Unlocked() : before_(t_unlocked) { t_unlocked = true; }
Unlocked::~Unlocked() { t_unlocked = before_; }

void install_hooks() {
  set_interrupt_hook(interrupt_hook);
  set_log_hook(log_hook);
}

ProgressFn progress_from(const py::object& callable) {
  if (callable.is_none()) return {};
  if (!PyCallable_Check(callable.ptr()))
    throw py::type_error(
        text("progress must be callable as progress(done, total), not ", kind_of(callable)));
  return [callable](size_t done, size_t total) {
    const py::gil_scoped_acquire hold;
    callable(done, total);
  };
}

}  // namespace shortlist
