// C++ exceptions as Python classes that also derive from what faiss's users catch.
#include "base/error.h"

#include "bind/bind.h"

namespace py = pybind11;

namespace shortlist {
namespace {

struct Types {
  py::object argument, dimension, id, not_trained, unsupported, busy, corrupt, factory;
};
Types* g_types = nullptr;  // lives as long as the interpreter

py::object make(py::module_& m, const char* name, const char* doc, const py::tuple& bases) {
  py::object type = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      (std::string("shortlist.") + name).c_str(), doc, bases.ptr(), nullptr));
  m.attr(name) = type;
  return type;
}

void raise(const py::object& type, const std::exception& e) {
  PyErr_SetString(type.ptr(), e.what());
}

void raise_os_error(const IoError& e) {
  // OSError picks FileNotFoundError, PermissionError, ... from the number.
  const py::object type = py::reinterpret_borrow<py::object>(PyExc_OSError);
  py::object path = py::none();
  if (!e.path.empty())
    path = py::reinterpret_steal<py::object>(
        PyUnicode_DecodeFSDefaultAndSize(e.path.data(), static_cast<Py_ssize_t>(e.path.size())));
  const py::object error = type(e.error_number, e.what(), path);
  PyErr_SetObject(py::type::handle_of(error).ptr(), error.ptr());
}

void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const DimensionError& e) {
    raise(g_types->dimension, e);
  } catch (const IdError& e) {
    raise(g_types->id, e);
  } catch (const ArgumentError& e) {
    raise(g_types->argument, e);
  } catch (const NotTrainedError& e) {
    raise(g_types->not_trained, e);
  } catch (const UnsupportedError& e) {
    raise(g_types->unsupported, e);
  } catch (const BusyError& e) {
    raise(g_types->busy, e);
  } catch (const CorruptIndexError& e) {
    raise(g_types->corrupt, e);
  } catch (const IoError& e) {
    raise_os_error(e);
  }
}

}  // namespace

void bind_errors(py::module_& m) {
  const auto builtin = [](PyObject* type) { return py::reinterpret_borrow<py::object>(type); };
  const auto value = builtin(PyExc_ValueError), runtime = builtin(PyExc_RuntimeError);
  g_types = new Types;
  g_types->argument =
      make(m, "ArgumentError",
           "A value no call could accept: the message names it, what was expected and the fix.",
           py::make_tuple(value, runtime, builtin(PyExc_AssertionError)));
  g_types->dimension =
      make(m, "DimensionError", "An array of the wrong shape or number of columns.",
           py::make_tuple(g_types->argument));
  g_types->id = make(m, "IdError", "An id or position that is not there, or is there already.",
                     py::make_tuple(g_types->argument, builtin(PyExc_IndexError)));
  g_types->factory = make(m, "FactoryError", "An index_factory string that cannot be understood.",
                          py::make_tuple(value, runtime));
  g_types->not_trained = make(m, "NotTrainedError", "The index needs train(x) before this call.",
                              py::make_tuple(runtime));
  g_types->unsupported = make(m, "UnsupportedError", "A valid call that this class does not offer.",
                              py::make_tuple(builtin(PyExc_NotImplementedError)));
  g_types->busy = make(m, "BusyError", "The index was used from inside a call that is changing it.",
                       py::make_tuple(runtime));
  g_types->corrupt = make(m, "CorruptIndexError", "A damaged, truncated or foreign index file.",
                          py::make_tuple(builtin(PyExc_OSError), runtime));
  py::register_exception_translator(translate);
}

}  // namespace shortlist
