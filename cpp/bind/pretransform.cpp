// IndexPreTransform under faiss's name.
#include "index/pretransform.h"

#include <pybind11/stl.h>

#include "base/error.h"
#include "bind/bind.h"
#include "bind/calls.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using Shape = std::vector<py::ssize_t>;
using Transform = std::shared_ptr<VectorTransform>;

// What faiss's vector of transforms offers, beside what a sequence does.
struct TransformChain {
  IndexPreTransform::Chain parts;

  Transform at(py::ssize_t i) const {
    const py::ssize_t n = signed_size(parts.size());
    if (i < -n || i >= n) throw py::index_error(text("transform ", i, " of a chain of ", n));
    return parts[static_cast<size_t>(i < 0 ? i + n : i)];
  }
};

void bind_chain(py::module_& m) {
  py::class_<TransformChain>(m, "TransformChain",
                             "The transforms of an IndexPreTransform, first to last: live aliases "
                             "in a sequence that cannot be changed.")
      .def("__len__", [](const TransformChain& self) { return self.parts.size(); })
      .def(
          "size", [](const TransformChain& self) { return self.parts.size(); }, "len.")
      .def("__repr__",
           [](const TransformChain& self) {
             std::string out = "TransformChain(";
             for (size_t i = 0; i < self.parts.size(); ++i)
               out += text(i ? ", " : "", self.parts[i]->class_name(), " ", self.parts[i]->d_in,
                           " to ", self.parts[i]->d_out);
             return out + ")";
           })
      .def("__getitem__", &TransformChain::at, py::arg("i"))
      .def("at", &TransformChain::at, py::arg("i"), "The transform at i.");
}

std::shared_ptr<IndexPreTransform> made(std::shared_ptr<Index> index) {
  return std::make_shared<IndexPreTransform>(std::move(index));
}

}  // namespace

void bind_pretransform(py::module_& m) {
  bind_chain(m);
  py::class_<IndexPreTransform, Index, py::smart_holder>(
      m, "IndexPreTransform",
      "An index behind transforms of its vectors: PCA, rotations, normalisation.\n\n"
      "IndexPreTransform(index) or IndexPreTransform(transform, index). What is added and searched "
      "for goes through the transforms first to last and then to the index, whose distances are "
      "returned; what is reconstructed comes back through them as well as they can be reversed. "
      "train(x) trains the transforms that are not yet, each on what the one before makes of x, "
      "and then the index. Ids are the index's. A transform may be shared by several indexes; "
      "training one again changes what the vectors stored behind it mean.\n\n"
      "Raises DimensionError where the parts do not fit together, in reconstruct UnsupportedError "
      "behind a transform that cannot be reversed.")
      .def(py::init(&made), py::arg("index").none(false))
      .def(py::init([](Transform transform, std::shared_ptr<Index> index) {
             return std::make_shared<IndexPreTransform>(
                 std::move(index), IndexPreTransform::Chain{std::move(transform)});
           }),
           py::arg("ltrans").none(false), py::arg("index").none(false))
      .def_property_readonly(
          "index", [](const IndexPreTransform& self) { return self.index; },
          "The index behind the transforms; a live alias.")
      .def_property_readonly(
          "chain", [](const IndexPreTransform& self) { return TransformChain{self.chain()}; },
          "The transforms, first to last; live aliases.")
      .def("prepend_transform", &IndexPreTransform::prepend_transform, py::call_guard<Unlocked>(),
           py::arg("ltrans").none(false),
           "Puts a transform before the others; d becomes its d_in. Its d_out must be d. Vectors "
           "already stored stay. Wrap and search the index afterwards: what was made around it "
           "before expects the d it had, and raises DimensionError.")
      .def(
          "apply_chain",
          [](const IndexPreTransform& self, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            std::vector<float> y;
            {
              const Unlocked unlocked;
              y = self.apply_chain(v.rows);
            }
            const Shape shape{signed_size(v.rows.n), signed_size(self.index->d)};
            return in_kind(x, py::array_t<float>(shape, y.data()));
          },
          py::arg("x"), "Vectors (n, index.d) float32 as the index behind sees x (n, d).")
      .def(
          "reverse_chain",
          [](const IndexPreTransform& self, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            std::vector<float> y;
            {
              const Unlocked unlocked;
              std::vector<float> scratch;
              y = self.reverse_chain({as_floats(v.rows, scratch), v.rows.n, v.rows.d});
            }
            const py::ssize_t n = signed_size(v.rows.n);
            const Shape shape{n, n ? signed_size(y.size()) / n : signed_size(self.d)};
            return in_kind(x, py::array_t<float>(shape, y.data()));
          },
          py::arg("x"), "Vectors (n, d) float32 that become x (n, index.d).");
}

}  // namespace shortlist
