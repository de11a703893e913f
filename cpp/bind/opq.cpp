// Learnt rotations under faiss's names.
#include "codec/transform/opq.h"
#include "codec/transform/itq.h"

#include <mutex>
#include <shared_mutex>

#include "bind/arrays.h"
#include "bind/bind.h"

namespace shortlist {

namespace {

void bind_itq(py::module_& m) {
  py::class_<ITQMatrix, LinearTransform, py::smart_holder>(
      m, "ITQMatrix",
      "The rotation of d values behind which vectors lie nearest to their signs.\n\n"
      "train(x) repeats max_iter times: the signs of the rotated vectors, then the rotation "
      "nearest to these. Source: Gong and Lazebnik 2011, Iterative quantization.")
      .def(py::init([](py::ssize_t d) { return std::make_shared<ITQMatrix>(size_arg(d, "d")); }),
           py::arg("d"))
      .def_readwrite("max_iter", &ITQMatrix::max_iter, "Turns of signs and rotation.")
      .def_readwrite("seed", &ITQMatrix::seed, "Of the rotation it begins with.");
  using T = ITQTransform;
  py::class_<T, VectorTransform, py::smart_holder>(
      m, "ITQTransform",
      "Vectors less their mean and of length 1, then d_out principal components, then an "
      "ITQMatrix: what stands before codes of signs.\n\n"
      "do_pca: False leaves the components out, and d_out is d. It cannot be reversed. Raises "
      "ArgumentError for a d_out above d, and in train for fewer vectors than d_out.")
      .def(py::init([](py::ssize_t d, py::ssize_t d_out, bool do_pca) {
             return std::make_shared<T>(size_arg(d, "d"), size_arg(d_out, "d_out"), do_pca);
           }),
           py::arg("d"), py::arg("d_out"), py::arg("do_pca"))
      .def_property_readonly(
          "mean",
          [](const T& self) {
            std::vector<float> copy;
            {
              const Unlocked unlocked;
              const std::shared_lock hold(self.lock());
              copy = self.mean;
            }
            return py::array_t<float>(static_cast<py::ssize_t>(copy.size()), copy.data());
          },
          "A copy of the training vectors' mean, float32 (d,); empty before training.")
      .def_readonly("do_pca", &T::do_pca, "Whether there are principal components.")
      .def_readwrite("max_train_per_dim", &T::max_train_per_dim,
                     "Training takes so many vectors for each dimension, or 32768.")
      .def_property_readonly(
          "itq", [](const T& self) { return self.itq; }, "The ITQMatrix; a live alias.")
      .def_property_readonly(
          "pca_then_itq", [](const T& self) { return self.pca_then_itq; },
          "Components and rotation in one LinearTransform; a live alias.");
}

}  // namespace

void bind_opq(py::module_& m) {
  bind_itq(m);
  using T = OPQMatrix;
  py::class_<T, LinearTransform, py::smart_holder>(
      m, "OPQMatrix",
      "The rotation behind which a product quantiser of M parts loses least of the vectors.\n\n"
      "d2: values behind it (fewer than d: the rest is left out), or -1 for d; M divides them. "
      "train(x) takes at most max_train_points of the vectors, at least 256 (2^nbits of pq), and "
      "repeats niter times: k-means in the M parts of the rotated vectors, then the rotation "
      "nearest to what that gave. Put it before an IndexPQ of as many parts. Raises ArgumentError "
      "for an M that does not divide d2, and in train for too few vectors. Source: Ge, He, Ke and "
      "Sun 2013, Optimized product quantization, the non-parametric solution.")
      .def(py::init([](py::ssize_t d, py::ssize_t M, py::ssize_t d2) {
             return std::make_shared<T>(size_arg(d, "d"), size_arg(M, "M"),
                                        d2 == -1 ? size_t{0} : size_arg(d2, "d2"));
           }),
           py::arg("d"), py::arg("M") = 1, py::arg("d2") = -1)
      .def_property_readonly(
          "M", [](const T& self) { return self.M; }, "Parts.")
      .def_readwrite("niter", &T::niter, "Turns of k-means and rotation.")
      .def_readwrite("niter_pq", &T::niter_pq, "Iterations of k-means in a turn.")
      .def_readwrite("niter_pq_0", &T::niter_pq_0, "Iterations of k-means in the first turn.")
      .def_readwrite("max_train_points", &T::max_train_points,
                     "Training takes a sample of at most so many vectors.")
      .def_property(
          "pq", [](const T& self) { return self.pq; },
          [](T& self, std::shared_ptr<ProductQuantizer> pq) {
            const Unlocked unlocked;
            const std::lock_guard hold(self.lock());
            self.pq = std::move(pq);
          },
          "A ProductQuantizer of d2 and M whose nbits training goes by, or None for 8 bits. Unlike "
          "in faiss it is not trained.");
}

}  // namespace shortlist
