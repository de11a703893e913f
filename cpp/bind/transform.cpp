// Transforms under faiss's names.
#include "codec/transform/query_aware.h"
#include "codec/transform/remap.h"

#include <pybind11/stl.h>

#include <mutex>
#include <shared_mutex>

#include "base/error.h"
#include "bind/bind.h"
#include "bind/calls.h"
#include "index/save_transform.h"
#include "io/stream.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using Shape = std::vector<py::ssize_t>;

// A field of a transform that another thread may be training.
template <class T>
py::array_t<float> copied(const T& self, std::vector<float> T::* field, size_t columns = 0) {
  std::vector<float> copy;
  {
    const Unlocked unlocked;
    const std::shared_lock hold(self.lock());
    copy = self.*field;
  }
  const py::ssize_t n = signed_size(copy.size());
  if (!columns) return py::array_t<float>(n, copy.data());
  return py::array_t<float>(Shape{n / signed_size(columns), signed_size(columns)}, copy.data());
}

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

// Of the right number of values, in any shape, as faiss's flat arrays.
template <class T>
void set(T& self, std::vector<float> T::* field, const Floats& values, size_t n, const char* name) {
  std::vector<float> copy(values.data(), values.data() + values.size());
  if (copy.size() != n)
    throw DimensionError(text(name, " has ", copy.size(), " values; ", n, " are expected of a ",
                              self.class_name(), " from ", self.d_in, " to ", self.d_out,
                              " dimensions"));
  if (!finite(copy.data(), n)) throw ArgumentError(text(name, " has NaN or Inf; clean it first"));
  const Unlocked unlocked;
  const std::lock_guard hold(self.lock());
  self.*field = std::move(copy);
}

py::object transformed(const VectorTransform& self, const ArrayLike& x, bool back) {
  const Vectors2D v = vectors(x);
  const size_t width = back ? self.d_in : self.d_out;
  py::array_t<float> out(Shape{signed_size(v.rows.n), signed_size(width)});
  float* data = out.mutable_data();
  {
    const Unlocked unlocked;
    std::vector<float> scratch;
    const Matrix<const float> rows{as_floats(v.rows, scratch), v.rows.n, v.rows.d};
    back ? self.reverse_transform(rows, data) : self.apply(rows, data);
  }
  return in_kind(x, std::move(out));
}

void bind_base(py::module_& m) {
  const auto apply = [](const VectorTransform& self, const ArrayLike& x) {
    return transformed(self, x, false);
  };
  py::class_<VectorTransform, py::smart_holder> c(
      m, "VectorTransform",
      "What happens to vectors before an index sees them: rows of d_in values become rows of "
      "d_out.\n\n"
      "Put one before an index with IndexPreTransform, or use it alone: train(x), then apply(x). "
      "float32 in and out; other dtypes are converted. Several threads may apply at once; "
      "training waits for them.");
  m.def("_transform_from_bytes", [](const py::bytes& data) {
    const std::string_view bytes = data;
    const Unlocked unlocked;
    return load_transform(*io::memory_source(bytes.data(), bytes.size()));
  });
  const py::object from_bytes = m.attr("_transform_from_bytes");
  c.def_readonly("d_in", &VectorTransform::d_in, "Values of a vector.")
      .def_readonly("d_out", &VectorTransform::d_out, "Values it becomes.")
      .def_property(
          "is_trained", [](const VectorTransform& self) { return self.is_trained(); },
          [](VectorTransform& self, bool trained) {
            const Unlocked unlocked;
            self.set_trained(trained);
          },
          "Whether vectors can be transformed. Set it to True after setting the fields by hand; "
          "ArgumentError tells which is missing.")
      .def(
          "train",
          [](VectorTransform& self, const ArrayLike& x) {
            const Vectors2D v = vectors(x);
            const Unlocked unlocked;
            std::vector<float> scratch;
            self.train({as_floats(v.rows, scratch), v.rows.n, v.rows.d});
          },
          py::arg("x"),
          "Learns from vectors x (n, d_in). Raises DimensionError for another d, ArgumentError "
          "for NaN, Inf or too few vectors.")
      .def("apply", apply, py::arg("x"),
           "The transformed vectors (n, d_out) float32 of x (n, d_in). Raises DimensionError for "
           "another d, NotTrainedError before train.")
      .def("apply_py", apply, py::arg("x"), "apply, under a name that faiss had for it.")
      .def(
          "reverse_transform",
          [](const VectorTransform& self, const ArrayLike& x) {
            return transformed(self, x, true);
          },
          py::arg("x"),
          "Vectors (n, d_in) float32 that become x (n, d_out); what the transform leaves out comes "
          "back as zero. Raises UnsupportedError for matrices that are not orthonormal.")
      .def("__reduce__",
           [from_bytes](const VectorTransform& self) {
             io::MemorySink memory;
             {
               const Unlocked unlocked;
               save(self, memory);
             }
             const auto* bytes = reinterpret_cast<const char*>(memory.bytes.data());
             return py::make_tuple(from_bytes,
                                   py::make_tuple(py::bytes(bytes, memory.bytes.size())));
           })
      .def("__repr__", [](const VectorTransform& self) {
        return text(self.class_name(), "(", self.d_in, " to ", self.d_out,
                    self.is_trained() ? ")" : ", not trained)");
      });
  m.def(
      "downcast_VectorTransform", [](std::shared_ptr<VectorTransform> vt) { return vt; },
      py::arg("vt"),
      "The transform itself: it has its own class already. Kept for faiss programs.");
}

void bind_linear(py::module_& m) {
  using T = LinearTransform;
  py::class_<T, VectorTransform, py::smart_holder>(
      m, "LinearTransform",
      "y = A x + b.\n\n"
      "have_bias: whether b is added. Set A, b and then is_trained = True; the classes derived "
      "from "
      "it find them in train. Raises ArgumentError for a matrix of more than a GiB.")
      .def(py::init([](py::ssize_t d_in, py::ssize_t d_out, bool have_bias) {
             return std::make_shared<T>(size_arg(d_in, "d_in"), size_arg(d_out, "d_out"),
                                        have_bias);
           }),
           py::arg("d_in"), py::arg("d_out"), py::arg("have_bias") = false)
      .def_property(
          "have_bias",
          [](const T& self) {
            const Unlocked unlocked;
            const std::shared_lock hold(self.lock());
            return self.have_bias;
          },
          [](T& self, bool value) {
            const Unlocked unlocked;
            const std::lock_guard hold(self.lock());
            self.have_bias = value;
          },
          "Whether b is added.")
      .def_property(
          "A", [](const T& self) { return copied(self, &T::A, self.d_in); },
          [](T& self, const Floats& A) {
            set(self, &T::A, A, self.d_in * self.d_out, "A");
            self.forget_orthonormal();
          },
          "A copy of the matrix, float32 (d_out, d_in), without rows before training. Assign a "
          "whole one to change it.")
      .def_property(
          "b", [](const T& self) { return copied(self, &T::b); },
          [](T& self, const Floats& b) { set(self, &T::b, b, self.d_out, "b"); },
          "A copy of what is added, float32 (d_out,), or empty. Assign to change it.")
      .def_property_readonly(
          "is_orthonormal",
          [](const T& self) {
            const Unlocked unlocked;
            const std::shared_lock hold(self.lock());
            return self.is_orthonormal();
          },
          "Whether A's rows (its columns where d_out is larger) are orthonormal, so that "
          "reverse_transform is possible.")
      .def(
          "set_is_orthonormal", [](const T&) {},
          "Kept for faiss programs: is_orthonormal follows A by itself.");
  py::class_<RandomRotationMatrix, T, py::smart_holder>(
      m, "RandomRotationMatrix",
      "A random rotation from d_in to d_out values; a projection where d_out is smaller.\n\n"
      "Distances stay as they are (for a projection, shrink by about d_out / d_in on average). "
      "train(x) or init(seed) draws it: the same for the same seed, but another one than faiss "
      "draws. Of A's rows and columns the fewer ones are orthonormal.")
      .def(py::init([](py::ssize_t d_in, py::ssize_t d_out) {
             return std::make_shared<RandomRotationMatrix>(size_arg(d_in, "d_in"),
                                                           size_arg(d_out, "d_out"));
           }),
           py::arg("d_in"), py::arg("d_out"))
      .def("init", &RandomRotationMatrix::init, py::call_guard<Unlocked>(), py::arg("seed"),
           "Draws the rotation of a seed (an integer from 0).");
}

void bind_pca(py::module_& m) {
  using T = PCAMatrix;
  py::class_<T, LinearTransform, py::smart_holder>(
      m, "PCAMatrix",
      "Principal components: the d_out directions along which the training vectors vary most.\n\n"
      "eigen_power: components are multiplied by eigenvalue ** eigen_power, so that -0.5 gives all "
      "of them one variance (whitening). random_rotation: rotates them afterwards, which spreads "
      "the variance evenly for codes that treat dimensions alike. Training takes at most "
      "max_points_per_d * d_in vectors, at least d_out, and time in d_in ** 3. Directions are "
      "faiss's up to their sign.\n\n"
      "Raises ArgumentError for d_out above d_in, and in train for whitening along directions in "
      "which the vectors do not vary. Source: Pearson 1901; Jegou and Chum 2012 for whitening.")
      .def(py::init(
               [](py::ssize_t d_in, py::ssize_t d_out, float eigen_power, bool random_rotation) {
                 return std::make_shared<T>(size_arg(d_in, "d_in"), size_arg(d_out, "d_out"),
                                            eigen_power, random_rotation);
               }),
           py::arg("d_in"), py::arg("d_out"), py::arg("eigen_power") = 0.f,
           py::arg("random_rotation") = false)
      .def_readwrite("eigen_power", &T::eigen_power,
                     "Power of the eigenvalue that scales a component; see prepare_Ab.")
      .def_readwrite("epsilon", &T::epsilon, "Added to eigenvalues before the power is taken.")
      .def_readwrite("random_rotation", &T::random_rotation, "Whether components are rotated.")
      .def_readwrite("max_points_per_d", &T::max_points_per_d,
                     "Training takes at most so many vectors for each dimension.")
      .def_readwrite("balanced_bins", &T::balanced_bins,
                     "0, or into how many parts of equal size and like variance the components are "
                     "ordered (for product quantisers).")
      .def_property_readonly(
          "mean", [](const T& self) { return copied(self, &T::mean); },
          "A copy of the training vectors' mean, float32 (d_in,); empty before training.")
      .def_property_readonly(
          "eigenvalues", [](const T& self) { return copied(self, &T::eigenvalues); },
          "A copy of the squared singular values of the training vectors without their mean, "
          "float32 (d_in,), largest first; empty before training.")
      .def_property_readonly(
          "PCAMat", [](const T& self) { return copied(self, &T::PCAMat, self.d_in); },
          "A copy of the directions by rows, float32 (d_in, d_in), or (n, d_in) after training on "
          "n < d_in vectors.")
      .def("prepare_Ab", &T::prepare_Ab, py::call_guard<Unlocked>(),
           "Makes A and b anew from mean, eigenvalues and PCAMat, after eigen_power, epsilon, "
           "random_rotation or balanced_bins changed.")
      .def("copy_from", &T::copy_from, py::call_guard<Unlocked>(), py::arg("other"),
           "Takes what another PCAMatrix of the same d_in has learnt. Raises NotTrainedError where "
           "that is less than d_out directions.");
}

using Report = py::typing::Dict<std::string, py::object>;

Report report_of(const QueryAwareTransform& self) {
  std::vector<QueryAwareTransform::Trial> trials;
  std::array<size_t, 3> sizes{};
  size_t chosen;
  Objective objective;
  {
    const Unlocked unlocked;
    const std::shared_lock hold(self.lock());
    trials = self.trials;
    sizes = self.sizes;
    chosen = self.chosen;
    objective = self.objective;
  }
  Report out;
  if (trials.empty()) return out;
  py::list all;
  for (const auto& trial : trials) {
    py::dict one;
    one["exponent"] = trial.exponent;
    one["fitted"] = trial.fitted;
    one["residual"] = trial.residual;
    one["recall"] = trial.recall;
    one["score_error"] = trial.score_error;
    all.append(one);
  }
  out["objective"] = name_of(objective);
  out["vectors"] = sizes[0];
  out["queries"] = sizes[1];
  out["held_out"] = sizes[2];
  out["plain"] = all[0];
  out["chosen"] = all[chosen];
  out["candidates"] = all;
  return out;
}

void bind_query_aware(py::module_& m) {
  using T = QueryAwareTransform;
  py::class_<T, VectorTransform, py::smart_holder>(
      m, "QueryAwareTransform",
      "Makes the codec behind it err where queries do not look: vectors become A x, queries B "
      "q.\n\n"
      "With H = E[q q^T] of training queries, A = H^(a / 2) and B = A^-1, so that the products of "
      "A x and B q are those of x and q, and the squared error of the code of A x is, for a = 1, "
      "the expected squared error of the product. B is then fitted to what the codes have become, "
      "by least squares over the queries and their 100 nearest vectors. It stands first in an "
      "IndexPreTransform, with a learnt rotation behind it for product quantisers "
      "(\"QA,OPQ48,PQ48\"), and is trained by train(x, queries=...) of that index, which tries a "
      "of "
      "0, 0.25, 0.5, 0.75 and 1, each with and without the fit, on queries held out. objective: "
      "\"recall\" of the 10 nearest, or \"score\", the squared error of the products with the 100 "
      "nearest. The codec alone is among what is tried, and is kept unless something is better by "
      "two standard errors; report tells the figures. The fit, at last over up to 100,000 vectors "
      "of "
      "x, serves those best: let x be what will be added, or much of it.\n\n"
      "For L2, before an IndexPQ with offset=True, H is of the differences of queries and their "
      "nearest vectors. Each code has 4 bytes more, what distances are besides |q|^2 and a "
      "product: "
      "|x'|^2 of the code's vector x', or, tried beside it as residual, |x'|^2 + |x - x'|^2. "
      "Distances told so can be below 0.\n\n"
      "Raises ArgumentError for an unknown objective and in train for fewer than 32 queries, "
      "UnsupportedError in train before other indexes of L2. "
      "faiss's files have no form for it. Source: A2ATS (arXiv 2502.12665), equations 13 to 18; "
      "the exponent and the fit are ours.")
      .def(py::init([](py::ssize_t d, const std::string& objective) {
             return std::make_shared<T>(size_arg(d, "d"), objective_named(objective));
           }),
           py::arg("d"), py::arg("objective") = "recall")
      .def_property_readonly(
          "objective",
          [](const T& self) {
            const Unlocked unlocked;
            const std::shared_lock hold(self.lock());
            return std::string(name_of(self.objective));
          },
          "\"recall\" or \"score\".")
      .def_property_readonly(
          "A", [](const T& self) { return copied(self, &T::A, self.d_in); },
          "A copy of the vectors' matrix, float32 (d, d); without rows before training.")
      .def_property_readonly(
          "B", [](const T& self) { return copied(self, &T::B, self.d_in); },
          "A copy of the queries' matrix, float32 (d, d); without rows before training.")
      .def_property_readonly(
          "report", &report_of,
          "What training found, or {}: objective; vectors, queries and held_out, the sizes of the "
          "trial; candidates, a list of {exponent, fitted, residual, recall, score_error} over the "
          "held-out "
          "queries; and of those chosen, and plain, the codec without a transform.")
      .def(
          "apply_queries",
          [](const T& self, const ArrayLike& q) {
            const Vectors2D v = vectors(q);
            py::array_t<float> out(Shape{signed_size(v.rows.n), signed_size(self.d_out)});
            float* data = out.mutable_data();
            {
              const Unlocked unlocked;
              std::vector<float> scratch;
              self.apply_queries({as_floats(v.rows, scratch), v.rows.n, v.rows.d}, data);
            }
            return in_kind(q, std::move(out));
          },
          py::arg("q"),
          "The transformed queries (n, d) float32 of q (n, d); apply is for vectors. Raises "
          "DimensionError for another d, NotTrainedError before training.");
}

void bind_others(py::module_& m) {
  py::class_<NormalizationTransform, VectorTransform, py::smart_holder>(
      m, "NormalizationTransform",
      "Each vector divided by its L2 norm; zeros stay. reverse_transform leaves vectors as they "
      "are.\n\n"
      "norm: 2; UnsupportedError for others.")
      .def(py::init([](py::ssize_t d, float norm) {
             return std::make_shared<NormalizationTransform>(size_arg(d, "d"), norm);
           }),
           py::arg("d"), py::arg("norm") = 2.f)
      .def_property_readonly(
          "norm", [](const NormalizationTransform& self) { return self.norm; }, "2.0.");
  using Remap = RemapDimensionsTransform;
  py::class_<Remap, VectorTransform, py::smart_holder>(
      m, "RemapDimensionsTransform",
      "Dimensions chosen, or added as zeros: value i is value map[i] of the vector, or zero where "
      "that is -1.\n\n"
      "uniform: dimensions are dropped, or zeros put in, at even distances; else at the end. Or "
      "pass the map, d_out integers. Raises ArgumentError for a map that names no dimension.")
      .def(py::init([](py::ssize_t d_in, py::ssize_t d_out, bool uniform) {
             return std::make_shared<Remap>(size_arg(d_in, "d_in"), size_arg(d_out, "d_out"),
                                            uniform);
           }),
           py::arg("d_in"), py::arg("d_out"), py::arg("uniform").noconvert() = true)
      .def(py::init([](py::ssize_t d_in, py::ssize_t d_out, const ArrayLike& map) {
             const size_t from = size_arg(d_in, "d_in");
             std::vector<int32_t> own;
             for (const id_t i : ids(map, -1, "map")) {
               if (i < -1 || i >= static_cast<id_t>(kMaxDimension))
                 throw ArgumentError(text("the map names dimension ", i, "; d_in is ", from));
               own.push_back(static_cast<int32_t>(i));
             }
             return std::make_shared<Remap>(from, size_arg(d_out, "d_out"), std::move(own));
           }),
           py::arg("d_in"), py::arg("d_out"), py::arg("map"))
      .def_property_readonly(
          "map",
          [](const Remap& self) {
            return py::array_t<int32_t>(signed_size(self.map.size()), self.map.data());
          },
          "A copy of the map, int32 (d_out,).");
  using T = CenteringTransform;
  py::class_<T, VectorTransform, py::smart_holder>(
      m, "CenteringTransform", "Vectors of d values without the mean of the training vectors.")
      .def(py::init([](py::ssize_t d) { return std::make_shared<T>(size_arg(d, "d")); }),
           py::arg("d"))
      .def_property(
          "mean", [](const T& self) { return copied(self, &T::mean); },
          [](T& self, const Floats& mean) { set(self, &T::mean, mean, self.d_in, "mean"); },
          "A copy of the mean, float32 (d_in,); empty before training. Assign to change it.");
}

}  // namespace

void bind_transform(py::module_& m) {
  bind_base(m);
  bind_linear(m);
  bind_pca(m);
  bind_query_aware(m);
  bind_others(m);
}

}  // namespace shortlist
