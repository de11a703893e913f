// A private submodule: what shortlist.kv is made of. Shapes are told apart by name there; here they
// are only kept from doing harm.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "kv/attention.h"
#include "kv/codes.h"

namespace shortlist {
namespace {

using namespace kv;

template <class T>
using Contiguous = py::array_t<T, py::array::c_style | py::array::forcecast>;
using Floats = Contiguous<float>;
using Ids = Contiguous<id_t>;

template <class T>
size_t dim(const Contiguous<T>& x, int i) {
  return static_cast<size_t>(x.shape(i));
}

template <class T>
void require_shape(const Contiguous<T>& x, py::ssize_t ndim, const char* name, bool ok = true) {
  if (x.ndim() != ndim || !ok)
    throw DimensionError(text(name, " has shape ", std::string(py::str(x.attr("shape"))),
                              ", which does not fit the other arguments"));
}

template <class T>
std::vector<T> values_of(const Contiguous<T>& x) {
  return {x.data(), x.data() + x.size()};
}

template <class T>
py::array_t<T> array_of(const std::vector<T>& x) {
  return py::array_t<T>(static_cast<py::ssize_t>(x.size()), x.data());
}

std::shared_ptr<Codebook> make_codebook(const Floats& roots, const Floats& centroids,
                                        const Floats& codewords) {
  require_shape(roots, 3, "roots");
  require_shape(centroids, 3, "centroids");
  require_shape(codewords, 3, "codewords");
  const size_t heads = dim(roots, 0), d = dim(roots, 2), size = dim(centroids, 1);
  if (heads < 1 || d < 1) throw DimensionError("a codebook needs at least one head and dimension");
  // Transposed, so that a product with a root is dot products of rows.
  std::vector<float> columns(static_cast<size_t>(roots.size()));
  for (size_t h = 0; h < heads; ++h)
    for (size_t i = 0; i < dim(roots, 1); ++i)
      for (size_t j = 0; j < d; ++j)
        columns[(h * d + j) * dim(roots, 1) + i] = roots.data()[(h * dim(roots, 1) + i) * d + j];
  return std::make_shared<Codebook>(heads, size, d, std::move(columns), values_of(centroids),
                                    values_of(codewords));
}

void append(Codes& codes, const Floats& keys) {
  require_shape(keys, 3, "keys");
  require_shape(keys, 3, "keys",
                dim(keys, 0) == codes.book()->heads() && dim(keys, 2) == codes.book()->d());
  const Unlocked unlocked;
  codes.append(keys.data(), dim(keys, 1));
}

void append_codes(Codes& codes, const Contiguous<uint16_t>& more) {
  require_shape(more, 2, "codes");
  require_shape(more, 2, "codes", dim(more, 0) == codes.book()->heads());
  const Unlocked unlocked;
  codes.append_codes(more.data(), dim(more, 1));
}

py::array_t<uint16_t> codes_of(const Codes& codes) {
  const auto heads = static_cast<py::ssize_t>(codes.book()->heads());
  const std::vector<uint16_t> all = codes.codes();
  return py::array_t<uint16_t>({heads, static_cast<py::ssize_t>(all.size()) / heads}, all.data());
}

// Ids and offsets.
std::pair<py::array_t<id_t>, py::array_t<int64_t>> topk(const Codes& codes, const Floats& queries,
                                                        py::ssize_t k, py::ssize_t sink,
                                                        py::ssize_t window, bool unite) {
  require_shape(queries, 3, "queries");
  require_shape(queries, 3, "queries", dim(queries, 2) == codes.book()->d());
  if (k < 0 || sink < 0 || window < 0)
    throw ArgumentError(
        text("k = ", k, ", sink = ", sink, " and window = ", window, " cannot be negative"));
  Lists found;
  {
    const Unlocked unlocked;
    found = codes.topk(
        queries.data(), dim(queries, 0), dim(queries, 1),
        {static_cast<size_t>(k), static_cast<size_t>(sink), static_cast<size_t>(window), unite});
  }
  return {array_of(found.ids), array_of(found.offsets)};
}

// (heads, n, d) whose rows are contiguous, at any distance.
Cache cache_of(const py::array& x, bool bfloat16, const char* name) {
  const auto itemsize = x.itemsize();
  const char kind = x.dtype().kind();
  if (bfloat16 ? itemsize != 2 : kind != 'f' || (itemsize != 2 && itemsize != 4))
    throw py::type_error(text(name, " has dtype ", std::string(py::str(x.dtype())),
                              "; expected float32, float16 or bfloat16"));
  if (x.ndim() != 3 ||
      (x.size() > 0 && (x.strides(2) != itemsize || x.strides(0) < 0 || x.strides(1) < 0)))
    throw DimensionError(text(name, " has shape ", std::string(py::str(x.attr("shape"))),
                              "; expected (heads, n, d) with contiguous rows"));
  return {static_cast<const std::byte*>(x.data()),
          static_cast<size_t>(x.shape(0)),
          static_cast<size_t>(x.shape(1)),
          static_cast<size_t>(x.shape(2)),
          static_cast<size_t>(x.strides(0)),
          static_cast<size_t>(x.strides(1)),
          bfloat16        ? Storage::bf16
          : itemsize == 2 ? Storage::f16
                          : Storage::f32};
}

py::array_t<float> attend(const Floats& queries, const py::array& keys, const py::array& values,
                          const Ids& ids, const Ids& offsets, size_t list_heads, float scale,
                          bool keys_bfloat16, bool values_bfloat16) {
  const Cache k = cache_of(keys, keys_bfloat16, "k"), v = cache_of(values, values_bfloat16, "v");
  require_shape(queries, 3, "q");
  const size_t heads = dim(queries, 0), t = dim(queries, 1);
  require_shape(queries, 3, "q",
                dim(queries, 2) == k.d && k.heads > 0 && heads > 0 && heads % k.heads == 0);
  if (k.heads != v.heads || k.n != v.n || k.n >= kNoSlot)
    throw DimensionError(text("k has ", k.heads, " heads of ", k.n, " tokens and v has ", v.heads,
                              " of ", v.n, "; expected as many, fewer than 2^32 - 1"));
  require_shape(ids, 1, "ids");
  require_shape(offsets, 1, "offsets",
                (list_heads == k.heads || list_heads == heads) && offsets.size() > 0 &&
                    static_cast<size_t>(offsets.size()) == list_heads * t + 1);
  const id_t* at = offsets.data();
  for (py::ssize_t i = 1; i < offsets.size(); ++i)
    if (at[i] < at[i - 1])
      throw ArgumentError(text("offsets[", i, "] = ", at[i], " is below the one before it, ",
                               at[i - 1], "; lists follow one another"));
  if (at[0] != 0 || at[offsets.size() - 1] != ids.size())
    throw ArgumentError(text("offsets go from ", at[0], " to ", at[offsets.size() - 1],
                             "; expected 0 to the number of ids, ", ids.size()));
  py::array_t<float> out({queries.shape(0), queries.shape(1), values.shape(2)});
  float* to = out.mutable_data();
  const Unlocked unlocked;
  attention(queries.data(), heads, t, k, v, ids.data(), at, list_heads, scale, to);
  return out;
}

}  // namespace

void bind_kv(py::module_& m) {
  py::module_ k = m.def_submodule("_kv", "What shortlist.kv is made of.");
  py::class_<Codebook, py::smart_holder>(k, "Codebook")
      .def(py::init(&make_codebook), py::arg("roots"), py::arg("centroids"), py::arg("codewords"));
  py::class_<Codes, py::smart_holder>(k, "Codes")
      .def(py::init<std::shared_ptr<const Codebook>>(), py::arg("codebook"))
      .def("__len__", &Codes::size)
      .def("append", &append, py::arg("keys"))
      .def("append_codes", &append_codes, py::arg("codes"))
      .def("codes", &codes_of)
      .def("truncate", &Codes::truncate, py::arg("n"))
      .def("topk", &topk, py::arg("queries"), py::arg("k"), py::arg("sink"), py::arg("window"),
           py::arg("unite"));
  k.def("attention", &attend, py::arg("queries"), py::arg("keys"), py::arg("values"),
        py::arg("ids"), py::arg("offsets"), py::arg("list_heads"), py::arg("scale"),
        py::arg("keys_bfloat16") = false, py::arg("values_bfloat16") = false);
}

}  // namespace shortlist
