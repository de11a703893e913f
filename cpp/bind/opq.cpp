// OPQMatrix under faiss's name.
#include "codec/transform/opq.h"

#include <mutex>

#include "bind/arrays.h"
#include "bind/bind.h"

namespace shortlist {

void bind_opq(py::module_& m) {
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
