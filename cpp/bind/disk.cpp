// A private submodule: how files of indexes on disk are written and read.
#include <pybind11/stl.h>

#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "io/random_file.h"
#include "io/stream.h"
#include "spann/closure.h"
#include "spann/postings.h"

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

template <class T>
using Contiguous = py::array_t<T, py::array::c_style | py::array::forcecast>;

// Postings written to a file that appears whole or not at all.
class Writing {
 public:
  Writing(const std::string& path, size_t code_size, uint64_t build)
      : code_size_(code_size), sink_(io::create_file(path)), writer_(*sink_, code_size, build) {}
  void add(const Contiguous<id_t>& ids, const Contiguous<uint8_t>& codes) {
    if (ids.ndim() != 1 || codes.ndim() != 2 || codes.shape(0) != ids.size() ||
        static_cast<size_t>(codes.shape(1)) != code_size_)
      throw DimensionError(text("codes must be (", ids.size(), ", ", code_size_, ") uint8"));
    writer_.add(ids.data(), reinterpret_cast<const std::byte*>(codes.data()),
                static_cast<size_t>(ids.size()));
  }
  void finish() {
    writer_.finish();
    sink_->commit();
  }

 private:
  const size_t code_size_;
  const std::unique_ptr<io::FileSink> sink_;
  spann::PostingWriter writer_;
};

py::dict read_postings(const spann::PostingFile& file, const std::vector<slot_t>& numbers) {
  struct Copy {
    std::vector<id_t> ids;
    std::vector<uint8_t> codes;
  };
  std::vector<std::pair<slot_t, Copy>> found;
  {
    const Unlocked unlocked;
    file.read(numbers, [&](const spann::PostingFile::Posting& p) {
      const auto* codes = reinterpret_cast<const uint8_t*>(p.codes);
      found.push_back({p.number, {{p.ids, p.ids + p.n}, {codes, codes + p.n * file.code_size()}}});
    });
  }
  py::dict out;
  for (const auto& [number, copy] : found) {
    const auto n = static_cast<py::ssize_t>(copy.ids.size());
    out[py::int_(number)] = py::make_tuple(
        py::array_t<id_t>(n, copy.ids.data()),
        py::array_t<uint8_t>({n, static_cast<py::ssize_t>(file.code_size())}, copy.codes.data()));
  }
  return out;
}

py::array_t<int64_t> closure(const Contiguous<float>& centroids, const Contiguous<int64_t>& near,
                             const Contiguous<float>& distances, size_t replicas, float rng_factor,
                             float epsilon) {
  if (centroids.ndim() != 2 || near.ndim() != 2 || distances.ndim() != 2 ||
      near.shape(0) != distances.shape(0) || near.shape(1) != distances.shape(1))
    throw DimensionError("centroids must be 2-D, and candidates and distances of one 2-D shape");
  const auto k = static_cast<size_t>(centroids.shape(0)), n = static_cast<size_t>(near.shape(0));
  std::vector<slot_t> candidates(static_cast<size_t>(near.size()));
  for (size_t i = 0; i < candidates.size(); ++i) {
    const int64_t c = near.data()[i];
    if (c >= static_cast<int64_t>(k))
      throw ArgumentError(text("candidate ", c, " is not there; there are ", k, " centroids"));
    candidates[i] = c < 0 ? kNoSlot : static_cast<slot_t>(c);
  }
  const auto chosen =
      spann::closure({centroids.data(), k, static_cast<size_t>(centroids.shape(1))},
                     candidates.data(), distances.data(), n, static_cast<size_t>(near.shape(1)),
                     {.replicas = replicas, .rng_factor = rng_factor, .epsilon = epsilon});
  py::array_t<int64_t> out({near.shape(0), static_cast<py::ssize_t>(replicas)});
  for (size_t i = 0; i < chosen.size(); ++i)
    out.mutable_data()[i] = chosen[i] == kNoSlot ? -1 : static_cast<int64_t>(chosen[i]);
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
  py::class_<Writing>(d, "PostingWriter", "Postings into a file that appears when it is whole.")
      .def(py::init<const std::string&, size_t, uint64_t>(), py::arg("path"), py::arg("code_size"),
           py::arg("build") = 0)
      .def("add", &Writing::add, py::arg("ids"), py::arg("codes"))
      .def("finish", &Writing::finish);
  using spann::PostingFile;
  py::class_<PostingFile>(d, "PostingFile", "Postings of a file, read by number.")
      .def(py::init(
               [](const std::string& path, const std::string& backend, const std::string& caching) {
                 return std::make_unique<PostingFile>(path, io::backend_named(backend),
                                                      io::caching_named(caching));
               }),
           py::arg("path"), py::arg("backend") = "auto", py::arg("caching") = "auto")
      .def("__len__", &PostingFile::postings)
      .def_property_readonly("entries", &PostingFile::entries)
      .def_property_readonly("code_size", &PostingFile::code_size)
      .def_property_readonly("build", &PostingFile::build)
      .def_property_readonly("backend", [](const PostingFile& f) { return f.file().backend(); })
      .def("read", &read_postings, py::arg("numbers"), "{number: (ids, codes)} of those not empty.")
      .def("verify", &PostingFile::verify, py::call_guard<py::gil_scoped_release>());
  d.def("closure", &closure, py::arg("centroids"), py::arg("near"), py::arg("distances"),
        py::arg("replicas") = 8, py::arg("rng_factor") = 1, py::arg("epsilon") = 10);
  d.def("why_no_io_uring", &io::why_no_io_uring);
  d.def("available_memory", &available_memory);
}

}  // namespace shortlist
