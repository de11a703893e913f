// What the classes of inverted files share.
#pragma once

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <shared_mutex>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/calls.h"
#include "index/ivf.h"

namespace shortlist {

// faiss's view of the lists of an index.
struct InvertedLists {
  std::shared_ptr<IndexIVF> index;

  const lists::Form& form() const { return *index->ivf().form; }
  size_t code_size() const { return form().faiss_size(); }
  size_t checked(py::ssize_t list) const {
    if (list < 0 || static_cast<size_t>(list) >= index->nlist())
      throw IdError(
          text("list ", list, " is not there; lists are 0 to nlist - 1 = ", index->nlist() - 1));
    return static_cast<size_t>(list);
  }
  size_t size(py::ssize_t list) const {
    const std::shared_lock hold(index->lock());
    return index->ivf().list_size(checked(list));
  }
  py::array_t<id_t> ids(py::ssize_t list) const {
    const std::shared_lock hold(index->lock());
    const auto all = index->ivf().ids(checked(list));
    return py::array_t<id_t>(signed_size(all.size()), all.data());
  }
  py::array_t<uint8_t> codes(py::ssize_t list) const {
    const std::shared_lock hold(index->lock());
    const auto all = index->ivf().codes(checked(list));
    const size_t n = index->ivf().list_size(checked(list));
    py::array_t<uint8_t> out({signed_size(n), signed_size(code_size())});
    form().to_faiss(all.data(), n, reinterpret_cast<std::byte*>(out.mutable_data()));
    return out;
  }
  double imbalance() const {
    const std::shared_lock hold(index->lock());
    return index->ivf().imbalance();
  }
};

inline size_t probes(py::ssize_t value) { return size_arg(value, "nprobe"); }
inline size_t at_least_0(py::ssize_t value, const char* name) {
  if (value < 0) throw ArgumentError(text(name, " = ", value, "; it cannot be negative"));
  return static_cast<size_t>(value);
}

inline void check_owned(bool own_invlists) {
  if (!own_invlists)
    throw UnsupportedError("own_invlists = False: an index always has lists of its own here");
}

// Lists found elsewhere, as the user gives them: Iq (n, nprobe) and Dq of that shape or None.
class GivenLists {
 public:
  using Distances = std::optional<py::array_t<float, py::array::c_style | py::array::forcecast>>;

  GivenLists(const IndexIVF& index, size_t n, const ArrayLike& Iq, const Distances& Dq,
             const SearchParameters* params)
      : near_(Dq) {
    const auto* own = dynamic_cast<const SearchParametersIVF*>(params);
    n_ = own ? own->nprobe : index.nprobe.load();
    lists_ = shortlist::ids(Iq, {signed_size(n), signed_size(n_)}, "Iq");
    if (near_ && (near_->ndim() != 2 || near_->shape(0) != signed_size(n) ||
                  near_->shape(1) != signed_size(n_)))
      throw DimensionError(text("Dq has shape ", std::string(py::str(near_->attr("shape"))),
                                "; expected (", n, ", ", n_, "), as of Iq"));
  }
  operator IndexIVF::Preassigned() const {
    return {lists_.data(), near_ ? near_->data() : nullptr, n_};
  }

 private:
  const Distances near_;
  std::vector<id_t> lists_;
  size_t n_;
};

// rows(self, x) reads queries of distances of type Distance.
template <class Distance, class T, class Rows, class... Of>
void bind_preassigned(py::class_<T, Of...>& c, const Rows& rows) {
  using Pair = py::typing::Tuple<py::array_t<Distance>, py::array_t<id_t>>;
  c.def(
       "search_preassigned",
       [rows](const T& self, const ArrayLike& x, py::ssize_t k, const ArrayLike& Iq,
              const GivenLists::Distances& Dq, const Params& given, const py::object& D,
              const py::object& I) -> Pair {
         const Params params = frozen(given);
         const Vectors2D v = rows(self, x);
         const GivenLists where(self, v.rows.n, Iq, Dq, params.get());
         const auto run = [&](size_t width, Distance* distances, id_t* labels) {
           self.search_preassigned(v.rows, where, width, distances, labels, params.get());
         };
         auto found = found_by<Distance>(run, v, k, D, I);
         return py::make_tuple(in_kind(x, std::move(found.distances)),
                               in_kind(x, std::move(found.labels)));
       },
       py::arg("x"), py::arg("k").noconvert(), py::arg("Iq"), py::arg("Dq") = py::none(),
       py::kw_only(), py::arg("params") = nullptr, py::arg("D") = py::none(),
       py::arg("I") = py::none(),
       "search, in lists that were found elsewhere: as quantizer.search(x, nprobe) finds Dq and "
       "Iq.\n\n"
       "Iq (n, nprobe), any integers: the lists each query looks at, nearest first, -1 for none; "
       "nprobe is that of params, or the index's. Dq, of that shape: the distances to their "
       "centroids, of which codes of residuals tell theirs, or None to have them computed. "
       "Otherwise as search.\n\n"
       "Raises IdError for a list that is not there, DimensionError for another shape, "
       "ArgumentError for distances that are NaN or Inf.")
      .def(
          "range_search_preassigned",
          [rows](const T& self, const ArrayLike& x, float thresh, const ArrayLike& Iq,
                 const GivenLists::Distances& Dq, const Params& given) -> Ranges {
            const Params params = frozen(given);
            const Vectors2D v = rows(self, x);
            const GivenLists where(self, v.rows.n, Iq, Dq, params.get());
            RangeResult found;
            {
              const Unlocked unlocked;
              found = self.range_search_preassigned(v.rows, where, thresh, params.get());
            }
            return as_ranges(found);
          },
          py::arg("x"), py::arg("thresh"), py::arg("Iq"), py::arg("Dq") = py::none(), py::kw_only(),
          py::arg("params") = nullptr,
          "range_search, in lists that were found elsewhere, as search_preassigned has them.");
}

template <class T, class... Of>
void bind_lists(py::class_<T, Of...>& c) {
  c.def_property_readonly("nlist", &T::nlist, "How many lists there are.")
      .def_property(
          "nprobe", [](const T& self) { return self.nprobe.load(); },
          [](T& self, py::ssize_t v) { self.nprobe = probes(v); },
          "Lists that a search looks at, 1 at first: more is slower and finds more.")
      .def_property(
          "max_codes", [](const T& self) { return self.max_codes.load(); },
          [](T& self, py::ssize_t v) { self.max_codes = at_least_0(v, "max_codes"); },
          "No further list is begun once so many vectors were looked at; 0, as at first, for no "
          "bound.")
      .def_property_readonly(
          "invlists", [](const std::shared_ptr<T>& self) { return InvertedLists{self}; },
          "The lists, to look at.")
      .def(
          "get_list_size",
          [](const std::shared_ptr<T>& self, py::ssize_t list) {
            return InvertedLists{self}.size(list);
          },
          py::arg("list_no"), "How many vectors a list holds.")
      .def_property_readonly(
          "cp", [](T& self) { return &self.cp; }, py::return_value_policy::reference_internal,
          "How train finds centroids; set its fields.")
      .def(
          "make_direct_map",
          [](const T& self, bool wanted) {
            const std::shared_lock hold(self.lock());
            if (wanted) self.make_direct_map();
          },
          py::arg("new_maintain_direct_map") = true,
          "Makes now the table of where ids are, which reconstruct makes at its first call.");
}

}  // namespace shortlist
