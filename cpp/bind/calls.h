// What the calls of every index share.
#pragma once

#include <vector>

#include "base/error.h"
#include "bind/arrays.h"
#include "index/index.h"

namespace shortlist {

using Params = std::shared_ptr<const SearchParameters>;

// Searches see their parameters as they were on entry, whatever other threads do to them.
inline Params frozen(const Params& params) {
  return params ? params->copy([](const auto& sel) { return sel; }) : nullptr;
}

inline py::ssize_t signed_size(size_t n) { return static_cast<py::ssize_t>(n); }

template <class Distance>
struct Found {
  py::array_t<Distance> distances;
  py::array_t<id_t> labels;
};

// run(width, distances, labels) searches without the GIL.
template <class Distance, class Run>
Found<Distance> found_by(const Run& run, const Vectors2D& x, py::ssize_t k, const py::object& D,
                         const py::object& I) {
  if (k < 1)
    throw ArgumentError(text("k = ", k, " neighbours were asked for; k must be at least 1"));
  const size_t width = static_cast<size_t>(k), n = x.rows.n;
  check_result_size(12. * static_cast<double>(n) * static_cast<double>(width),
                    "the result of search");
  Found<Distance> out{output<Distance>(D, {signed_size(n), k}, "D"),
                      output<id_t>(I, {signed_size(n), k}, "I")};
  Distance* distances = out.distances.mutable_data();
  id_t* labels = out.labels.mutable_data();
  const Unlocked unlocked;
  run(width, distances, labels);
  return out;
}

// lims, D and I.
using Ranges = py::typing::Tuple<py::array_t<uint64_t>, py::array_t<float>, py::array_t<id_t>>;
py::tuple as_ranges(const RangeResult& found);
Ranges found_within(const Index& index, const Vectors2D& x, float radius, const Params& params);

// The ids n0 to n0 + ni - 1, of all that follow n0 if ni is -1; throws IdError if some are not
// there.
std::vector<id_t> ids_from(const Index& index, id_t n0, py::ssize_t ni);

// Of the ids in x, an IDSelector or an array.
size_t remove_ids(Index& index, const py::object& x);

}  // namespace shortlist
