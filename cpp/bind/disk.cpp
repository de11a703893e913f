// A private submodule: how files of indexes on disk are written and read.
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "index/hnsw.h"
#include "index/ivf.h"
#include "io/random_files.h"
#include "io/stream.h"
#include "spann/closure.h"
#include "spann/id_sort.h"
#include "spann/merge.h"
#include "spann/postings.h"
#include "spann/runs.h"
#include "spann/vectors.h"

namespace shortlist {
namespace {

using io::RandomFiles;

// The pages that hold the bytes asked for, and these.
std::vector<py::bytes> read(const RandomFiles& file,
                            const std::vector<std::pair<uint64_t, size_t>>& wanted,
                            uint32_t number) {
  constexpr size_t kPage = RandomFiles::kAlignment;
  struct Place {
    size_t at, skip, n;  // of the pages in `room`; of the bytes in them
  };
  std::vector<RandomFiles::Piece> pieces;
  std::vector<Place> places;
  size_t total = 0;
  if (number >= file.files()) throw ArgumentError(text("file ", number, " is not there"));
  for (const auto& [offset, n] : wanted) {
    const uint64_t begin = offset / kPage * kPage;
    const size_t pages = (offset % kPage + n + kPage - 1) / kPage * kPage;
    places.push_back({total, offset % kPage, n});
    pieces.push_back({begin, pages, nullptr, number});
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
  Writing(const std::string& path, size_t code_size, uint64_t build, uint64_t number)
      : code_size_(code_size),
        sink_(io::create_file(path)),
        writer_(*sink_, code_size, build, number) {}
  void add(const Contiguous<id_t>& ids, const Contiguous<uint8_t>& codes, bool split) {
    if (ids.ndim() != 1 || codes.ndim() != 2 || codes.shape(0) != ids.size() ||
        static_cast<size_t>(codes.shape(1)) != code_size_)
      throw DimensionError(text("codes must be (", ids.size(), ", ", code_size_, ") uint8"));
    writer_.add(ids.data(), reinterpret_cast<const std::byte*>(codes.data()),
                static_cast<size_t>(ids.size()), split);
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

using Lists =
    py::typing::Dict<py::int_, py::typing::Tuple<py::array_t<id_t>, py::array_t<uint8_t>>>;
Lists read_postings(const spann::PostingFiles& file, const std::vector<slot_t>& numbers) {
  struct Copy {
    std::vector<id_t> ids;
    std::vector<uint8_t> codes;
  };
  std::vector<std::pair<slot_t, Copy>> found;
  {
    const Unlocked unlocked;
    spann::Room room;
    file.read(numbers, room, [&](const spann::PostingFiles::Posting& p) {
      const auto* codes = reinterpret_cast<const uint8_t*>(p.codes);
      found.push_back({p.number, {{p.ids, p.ids + p.n}, {codes, codes + p.n * file.code_size()}}});
    });
  }
  Lists out;
  for (const auto& [number, copy] : found) {
    const auto n = static_cast<py::ssize_t>(copy.ids.size());
    out[py::int_(number)] = py::make_tuple(
        py::array_t<id_t>(n, copy.ids.data()),
        py::array_t<uint8_t>({n, static_cast<py::ssize_t>(file.code_size())}, copy.codes.data()));
  }
  return out;
}

// Numbers of centroids as slots; those below 0 are none.
std::vector<slot_t> slots_of(const IndexHNSW& centroids, const Contiguous<int64_t>& near) {
  const auto k = static_cast<int64_t>(centroids.ntotal());
  std::vector<slot_t> candidates(static_cast<size_t>(near.size()));
  for (size_t i = 0; i < candidates.size(); ++i) {
    const int64_t c = near.data()[i];
    if (c >= k)
      throw ArgumentError(text("candidate ", c, " is not there; there are ", k, " centroids"));
    candidates[i] = c < 0 ? kNoSlot : static_cast<slot_t>(c);
  }
  return candidates;
}

py::array_t<int64_t> places(const std::vector<slot_t>& chosen, size_t replicas) {
  py::array_t<int64_t> out(
      {static_cast<py::ssize_t>(chosen.size() / replicas), static_cast<py::ssize_t>(replicas)});
  for (size_t i = 0; i < chosen.size(); ++i)
    out.mutable_data()[i] = chosen[i] == kNoSlot ? -1 : static_cast<int64_t>(chosen[i]);
  return out;
}

py::array_t<int64_t> closure(const IndexHNSW& centroids, const Contiguous<int64_t>& near,
                             const Contiguous<float>& distances, size_t replicas, float rng_factor,
                             float epsilon) {
  if (near.ndim() != 2 || distances.ndim() != 2 || near.shape(0) != distances.shape(0) ||
      near.shape(1) != distances.shape(1))
    throw DimensionError("candidates and distances must be of one 2-D shape");
  const std::vector<slot_t> candidates = slots_of(centroids, near);
  std::vector<slot_t> chosen;
  {
    const Unlocked unlocked;
    chosen = spann::closure(centroids.storage->vectors(), candidates.data(), distances.data(),
                            static_cast<size_t>(near.shape(0)), static_cast<size_t>(near.shape(1)),
                            {.replicas = replicas, .rng_factor = rng_factor, .epsilon = epsilon});
  }
  return places(chosen, replicas);
}

py::array_t<int64_t> spill(const IndexHNSW& centroids, const ArrayLike& x,
                           const Contiguous<int64_t>& near, size_t replicas, float soar_lambda) {
  const Vectors2D rows = vectors(x);
  if (rows.rows.d != centroids.d || near.ndim() != 2 ||
      static_cast<size_t>(near.shape(0)) != rows.rows.n)
    throw DimensionError(text("x must be (n, ", centroids.d, ") and near (n, candidates)"));
  const std::vector<slot_t> candidates = slots_of(centroids, near);
  std::vector<slot_t> chosen;
  {
    const Unlocked unlocked;
    chosen = spann::spill(centroids.storage->vectors(), rows.rows, candidates.data(),
                          static_cast<size_t>(near.shape(1)),
                          {.replicas = replicas, .lambda = soar_lambda});
  }
  return places(chosen, replicas);
}

py::array_t<uint8_t> encode(const IndexIVF& codes, const Contiguous<float>& x,
                            const Contiguous<float>& centroids) {
  const lists::Form& form = *codes.ivf().form;
  const size_t n = static_cast<size_t>(x.shape(0)), size = form.code_size();
  if (x.ndim() != 2 || static_cast<size_t>(x.shape(1)) != codes.d ||
      (form.by_residual && (centroids.ndim() != 2 || centroids.shape(0) != x.shape(0) ||
                            centroids.shape(1) != x.shape(1))))
    throw DimensionError(text("x and the centroid of each row must be (n, ", codes.d, ")"));
  py::array_t<uint8_t> out({x.shape(0), static_cast<py::ssize_t>(size)});
  auto* to = reinterpret_cast<std::byte*>(out.mutable_data());
  const Unlocked unlocked;
  parallel_for(n, {.grain = 64}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i)
      form.encode({x.data() + i * codes.d, 1, codes.d},
                  form.by_residual ? centroids.data() + i * codes.d : nullptr, to + i * size);
  });
  return out;
}

void train_codes(IndexIVF& codes, const Contiguous<float>& x, const Contiguous<float>& centroids) {
  if (x.ndim() != 2 || static_cast<size_t>(x.shape(1)) != codes.d || centroids.ndim() != 2 ||
      centroids.shape(0) != x.shape(0) || centroids.shape(1) != x.shape(1))
    throw DimensionError(text("x and the centroid of each row must be (n, ", codes.d, ")"));
  const auto n = static_cast<size_t>(x.shape(0));
  std::vector<const float*> whose(n);
  for (size_t i = 0; i < n; ++i) whose[i] = centroids.data() + i * codes.d;
  const Unlocked unlocked;
  codes.ivf().form->train({x.data(), n, codes.d}, whose.data());
  codes.restore(true, 0);
}

void write_run(const std::string& path, const std::vector<slot_t>& bounds,
               const Contiguous<uint8_t>& heads, const Contiguous<uint8_t>& codes,
               const Contiguous<uint32_t>& rows, uint64_t build) {
  using spann::EntryHead;
  const auto n = static_cast<size_t>(rows.size());
  if (heads.ndim() != 2 || static_cast<size_t>(heads.shape(0)) != n ||
      heads.shape(1) != sizeof(EntryHead) || codes.ndim() != 2)
    throw DimensionError(
        text("heads must be (", n, ", ", sizeof(EntryHead), ") and codes 2-D uint8"));
  for (size_t i = 0; i < n; ++i)
    if (rows.data()[i] >= static_cast<size_t>(codes.shape(0)))
      throw ArgumentError(
          text("row ", rows.data()[i], " is not there; there are ", codes.shape(0)));
  const auto* first = reinterpret_cast<const EntryHead*>(heads.data());
  const Unlocked unlocked;
  const auto sink = io::create_file(path);
  spann::write_run(*sink, bounds, {first, n}, reinterpret_cast<const std::byte*>(codes.data()),
                   rows.data(), static_cast<size_t>(codes.shape(1)), build);
  sink->commit();
}

// The postings [begin, end) of files as a run, without some ids; of each the entries are as they
// were, and none is a replica that could be dropped.
void rewrite_run(const std::string& path, const std::vector<slot_t>& bounds,
                 const spann::PostingFiles& files, slot_t begin, slot_t end,
                 const Contiguous<id_t>& hidden, uint64_t build) {
  const std::unordered_set<id_t> gone(hidden.data(), hidden.data() + hidden.size());
  std::vector<slot_t> numbers;
  for (slot_t p = begin; p < end; ++p) numbers.push_back(p);
  const Unlocked unlocked;
  struct Entry {
    spann::EntryHead head;
    size_t at;  // of the code
  };
  std::vector<Entry> entries;
  std::vector<std::byte> codes;
  spann::Room room;
  files.read(numbers, room, [&](const spann::PostingFiles::Posting& p) {
    for (size_t i = 0; i < p.n; ++i) {
      if (gone.contains(p.ids[i])) continue;
      entries.push_back({{p.ids[i], p.number, 0, 0}, codes.size() / files.code_size()});
      const std::byte* code = p.codes + i * files.code_size();
      codes.insert(codes.end(), code, code + files.code_size());
    }
  });
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.head.posting < b.head.posting; });
  std::vector<spann::EntryHead> heads;
  std::vector<uint32_t> rows;
  for (const Entry& entry : entries) {
    heads.push_back(entry.head);
    rows.push_back(static_cast<uint32_t>(entry.at));
  }
  const auto sink = io::create_file(path);
  spann::write_run(*sink, bounds, heads, codes.data(), rows.data(), files.code_size(), build);
  sink->commit();
}

// One file of these parts, which appears whole or not at all.
void write_file(const std::string& path, const std::vector<py::buffer>& parts) {
  const auto sink = io::create_file(path);
  for (const py::buffer& part : parts) {
    const py::buffer_info info = part.request();
    if (PyBuffer_IsContiguous(info.view(), 'C') == 0)
      throw ArgumentError("a part is not contiguous");
    const auto bytes = static_cast<size_t>(info.size * info.itemsize);
    const Unlocked unlocked;
    sink->write(info.ptr, bytes);
  }
  const Unlocked unlocked;
  sink->commit();
}

// What merge tells besides the file it writes.
using Outcome = py::typing::Tuple<py::int_, py::int_, py::array_t<float>, py::array_t<slot_t>>;
Outcome merge(const std::string& path, const std::vector<std::string>& runs, size_t bucket,
              slot_t begin, slot_t end, size_t limit, size_t buffer, const IndexIVF& codes,
              const Index& centroids, size_t code_size, uint64_t build, uint64_t seed,
              const std::string& ids_path, const std::vector<slot_t>& parents) {
  spann::Merged out;
  {
    const Unlocked unlocked;
    const auto sink = io::create_file(path);
    spann::PostingWriter writer(*sink, code_size, build, bucket);
    spann::IdSorter ids(ids_path, build);
    const size_t with_parents = centroids.ntotal() - std::min(parents.size(), centroids.ntotal());
    const auto centroid = [&](slot_t posting, float* to) {
      const id_t id = posting < with_parents ? posting : parents[posting - with_parents];
      centroids.reconstruct_batch(&id, 1, to);
    };
    out = spann::merge(runs, bucket, begin, end, {.limit = limit, .buffer = buffer, .seed = seed},
                       *codes.ivf().form, codes.d, centroid, writer, ids);
    writer.finish();
    sink->commit();
    ids.finish();
  }
  const auto splits = static_cast<py::ssize_t>(out.parents.size());
  return py::make_tuple(
      out.entries, out.dropped,
      owning<float>(std::move(out.centroids), {splits, static_cast<py::ssize_t>(codes.d)}),
      owning<slot_t>(std::move(out.parents), {splits}));
}

uint64_t merge_ids(const std::string& path, const std::vector<std::string>& files,
                   const std::vector<uint64_t>& splits, uint64_t build,
                   const py::object& progress) {
  const ProgressFn say = progress_from(progress);
  const Unlocked unlocked;
  const auto sink = io::create_file(path);
  spann::IdWriter writer(*sink, build);
  spann::merge_ids(files, splits, writer, say);
  writer.finish();
  sink->commit();
  return writer.size();
}

// The place of each id, -1 where it is not there.
py::array_t<int64_t> find_ids(const spann::IdFile& file, const std::vector<id_t>& ids) {
  py::array_t<int64_t> out(static_cast<py::ssize_t>(ids.size()));
  int64_t* to = out.mutable_data();
  const Unlocked unlocked;
  for (const uint64_t place : file.find(ids))
    *to++ = place == spann::kNoPlace ? -1 : static_cast<int64_t>(place);
  return out;
}

// Whole vectors written to a file that appears whole or not at all.
class WritingVectors {
 public:
  WritingVectors(const std::string& path, size_t row_bytes, uint64_t rows, uint64_t build,
                 uint64_t before)
      : row_bytes_(row_bytes),
        sink_(io::create_file(path)),
        writer_(*sink_, row_bytes, rows, build, before) {}
  void add(const Contiguous<uint8_t>& rows) {
    if (rows.ndim() != 2 || static_cast<size_t>(rows.shape(1)) != row_bytes_)
      throw DimensionError(text("rows must be (n, ", row_bytes_, ") uint8"));
    const auto* data = reinterpret_cast<const std::byte*>(rows.data());
    const auto n = static_cast<size_t>(rows.shape(0));
    const Unlocked unlocked;
    writer_.add(data, n);
  }
  void finish() {
    writer_.finish();
    sink_->commit();
  }

 private:
  const size_t row_bytes_;
  const std::unique_ptr<io::FileSink> sink_;
  spann::VectorWriter writer_;
};

py::array_t<uint8_t> read_vectors(const spann::VectorFiles& files,
                                  const std::vector<uint64_t>& rows) {
  const size_t size = files.row_bytes();
  py::array_t<uint8_t> out({static_cast<py::ssize_t>(rows.size()), static_cast<py::ssize_t>(size)});
  auto* to = reinterpret_cast<std::byte*>(out.mutable_data());
  const Unlocked unlocked;
  spann::Room room;
  files.read(rows, room,
             [&](size_t i, const std::byte* bytes) { std::copy_n(bytes, size, to + i * size); });
  return out;
}

template <class Files>
py::class_<Files> opened(py::module_& d, const char* name, const char* doc) {
  py::class_<Files> c(d, name, doc);
  c.def(py::init([](const std::vector<std::string>& paths, const std::string& backend,
                    const std::string& caching) {
          return std::make_unique<Files>(paths, io::backend_named(backend),
                                         io::caching_named(caching));
        }),
        py::arg("paths"), py::arg("backend") = "auto", py::arg("caching") = "auto");
  return c;
}

}  // namespace

void bind_disk(py::module_& m) {
  py::module_ d = m.def_submodule("_disk", "How files are read by searches on disk.");
  py::class_<RandomFiles>(d, "RandomFiles", "Reads of many places of some files at once.")
      .def(py::init([](const std::vector<std::string>& paths, const std::string& backend,
                       const std::string& caching) {
             return RandomFiles::open(paths, io::backend_named(backend),
                                      io::caching_named(caching));
           }),
           py::arg("paths"), py::arg("backend") = "auto", py::arg("caching") = "auto")
      .def_property_readonly("backend", &RandomFiles::backend)
      .def_property_readonly("sizes",
                             [](const RandomFiles& f) {
                               std::vector<uint64_t> out;
                               for (size_t i = 0; i < f.files(); ++i) out.push_back(f.size(i));
                               return out;
                             })
      .def("read", &read, py::arg("pieces"), py::arg("file") = 0,
           "The bytes of a file at each (offset, length).");
  py::class_<Writing>(d, "PostingWriter", "Postings into a file that appears when it is whole.")
      .def(py::init<const std::string&, size_t, uint64_t, uint64_t>(), py::arg("path"),
           py::arg("code_size"), py::arg("build") = 0, py::arg("number") = 0)
      .def("add", &Writing::add, py::arg("ids"), py::arg("codes"), py::arg("split") = false)
      .def("finish", &Writing::finish);
  using spann::PostingFiles;
  opened<PostingFiles>(d, "PostingFiles", "Postings of files, read by number.")
      .def("__len__", &PostingFiles::postings)
      .def_property_readonly("splits", &PostingFiles::splits)
      .def_property_readonly("entries", &PostingFiles::entries)
      .def_property_readonly("code_size", &PostingFiles::code_size)
      .def_property_readonly("build", &PostingFiles::build)
      .def_property_readonly("backend", [](const PostingFiles& f) { return f.files().backend(); })
      .def(
          "count",
          [](const PostingFiles& f, slot_t posting) {
            if (posting >= f.postings())
              throw ArgumentError(text("posting ", posting, "; there are ", f.postings()));
            return f.count(posting);
          },
          py::arg("posting"))
      .def("read", &read_postings, py::arg("numbers"), "{number: (ids, codes)} of those not empty.")
      .def("verify", &PostingFiles::verify, py::call_guard<Unlocked>());
  using spann::IdFile;
  py::class_<IdFile>(d, "IdFile", "Which ids there are, and where their vectors.")
      .def(py::init([](const std::string& path) { return std::make_unique<IdFile>(path); }),
           py::arg("path"))
      .def("__len__", &IdFile::size)
      .def_property_readonly("build", &IdFile::build)
      .def("find", &find_ids, py::arg("ids"), "The place of each id, -1 where it is not there.")
      .def("verify", &IdFile::verify, py::call_guard<Unlocked>());
  using spann::RunFile;
  py::class_<RunFile>(d, "RunFile", "What a shard sends to postings.")
      .def(py::init<const std::string&>(), py::arg("path"))
      .def_property_readonly("build", &RunFile::build)
      .def_property_readonly("buckets", &RunFile::buckets)
      .def(
          "entries",
          [](const RunFile& f, size_t bucket) {
            if (bucket >= f.buckets())
              throw ArgumentError(text("bucket ", bucket, "; there are ", f.buckets()));
            return f.entries(bucket);
          },
          py::arg("bucket"))
      .def("verify", &RunFile::verify, py::call_guard<Unlocked>());
  d.def("write_file", &write_file, py::arg("path"), py::arg("parts"));
  d.def("write_run", &write_run, py::arg("path"), py::arg("bounds"), py::arg("heads"),
        py::arg("codes"), py::arg("rows"), py::arg("build"));
  d.def("rewrite_run", &rewrite_run, py::arg("path"), py::arg("bounds"), py::arg("files"),
        py::arg("begin"), py::arg("end"), py::arg("hidden"), py::arg("build"));
  d.def("merge", &merge, py::arg("path"), py::arg("runs"), py::arg("bucket"), py::arg("begin"),
        py::arg("end"), py::arg("limit"), py::arg("buffer"), py::arg("codes"), py::arg("centroids"),
        py::arg("code_size"), py::arg("build"), py::arg("seed"), py::arg("ids_path"),
        py::arg("parents") = std::vector<slot_t>{},
        "Writes a bucket's postings, and its ids; (entries, dropped, centroids of splits, their "
        "parents).");
  d.def("merge_ids", &merge_ids, py::arg("path"), py::arg("files"), py::arg("splits"),
        py::arg("build"), py::arg("progress") = py::none(),
        "Writes the ids of buckets, whose first splits are these postings (or none: places are "
        "rows), to one file; how many there are.");
  d.def(
      "code_size", [](const IndexIVF& codes) { return codes.ivf().form->code_size(); },
      py::arg("codes"), "Bytes of a code in a list.");
  d.def("train_codes", &train_codes, py::arg("codes"), py::arg("x"), py::arg("centroids"));
  d.def("encode", &encode, py::arg("codes"), py::arg("x"), py::arg("centroids"));
  py::class_<WritingVectors>(d, "VectorWriter", "Whole vectors, into a file that appears whole.")
      .def(py::init<const std::string&, size_t, uint64_t, uint64_t, uint64_t>(), py::arg("path"),
           py::arg("row_bytes"), py::arg("rows"), py::arg("build") = 0, py::arg("before") = 0)
      .def("add", &WritingVectors::add, py::arg("rows"))
      .def("finish", &WritingVectors::finish);
  using spann::VectorFiles;
  opened<VectorFiles>(d, "VectorFiles", "Whole vectors of files, read by row.")
      .def("__len__", &VectorFiles::rows)
      .def_property_readonly("row_bytes", &VectorFiles::row_bytes)
      .def_property_readonly("block_bytes", &VectorFiles::block_bytes)
      .def_property_readonly("build", &VectorFiles::build)
      .def("read", &read_vectors, py::arg("rows"))
      .def("verify", &VectorFiles::verify, py::call_guard<Unlocked>());
  d.def("closure", &closure, py::arg("centroids"), py::arg("near"), py::arg("distances"),
        py::arg("replicas") = 8, py::arg("rng_factor") = 1, py::arg("epsilon") = 10,
        "Of each row the places of the lists it goes to among `near`, -1 behind the last.");
  d.def("spill", &spill, py::arg("centroids"), py::arg("x"), py::arg("near"),
        py::arg("replicas") = 2, py::arg("soar_lambda") = 1.5F,
        "As closure, by SOAR's rule: the nearest, and those whose residuals are not along those of "
        "the lists before them.");
  d.def("why_no_io_uring", &io::why_no_io_uring);
  d.def("available_memory", &available_memory);
  d.def("release_freed", &release_freed);
}

}  // namespace shortlist
