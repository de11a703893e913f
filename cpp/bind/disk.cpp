// A private submodule: reads of many places of a file, for tests of each way to make them.
#include <pybind11/stl.h>

#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "io/random_file.h"

namespace shortlist {
namespace {

using io::RandomFile;

// The pages that hold the bytes asked for, and these.
std::vector<py::bytes> read(const RandomFile& file,
                            const std::vector<std::pair<uint64_t, size_t>>& wanted) {
  constexpr size_t kPage = RandomFile::kAlignment;
  struct Place {
    size_t at, skip, n;  // of the pages in `room`; of the bytes in them
  };
  std::vector<RandomFile::Piece> pieces;
  std::vector<Place> places;
  size_t total = 0;
  for (const auto& [offset, n] : wanted) {
    const uint64_t begin = offset / kPage * kPage;
    const size_t pages = (offset % kPage + n + kPage - 1) / kPage * kPage;
    places.push_back({total, offset % kPage, n});
    pieces.push_back({begin, pages, nullptr});
    total += pages;
  }
  Array<std::byte> room(total + kPage);
  const auto start = (reinterpret_cast<uintptr_t>(room.data()) + kPage - 1) / kPage * kPage;
  auto* base = reinterpret_cast<std::byte*>(start);
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i].to = base + places[i].at;
  std::vector<size_t> order;
  {
    const Unlocked unlocked;
    file.read(pieces, [&](size_t i) { order.push_back(i); });
  }
  if (order.size() != pieces.size()) throw Error("not every piece was told to be read");
  std::vector<py::bytes> out;
  for (const Place& p : places)
    out.emplace_back(reinterpret_cast<const char*>(base + p.at + p.skip), p.n);
  return out;
}

}  // namespace

void bind_disk(py::module_& m) {
  py::module_ d = m.def_submodule("_disk", "How files are read by searches on disk.");
  py::class_<RandomFile>(d, "RandomFile", "Reads of many places of a file at once.")
      .def(py::init([](const std::string& path, const std::string& backend,
                       const std::string& caching) {
             return RandomFile::open(path, io::backend_named(backend), io::caching_named(caching));
           }),
           py::arg("path"), py::arg("backend") = "auto", py::arg("caching") = "auto")
      .def_property_readonly("backend", &RandomFile::backend)
      .def_property_readonly("size", &RandomFile::size)
      .def("read", &read, py::arg("pieces"), "The bytes at each (offset, length).");
  d.def("why_no_io_uring", &io::why_no_io_uring);
  d.def("available_memory", &available_memory);
}

}  // namespace shortlist
