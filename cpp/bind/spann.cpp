// IndexSPANN: what Python needs of it; shortlist.spann adds the folder it lives in.
#include "index/spann.h"

#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <cmath>
#include <shared_mutex>

#include "bind/arrays.h"
#include "bind/bind.h"

namespace shortlist {
namespace {

size_t postings(py::ssize_t nprobe) {
  if (nprobe < 1)
    throw ArgumentError(text("nprobe = ", nprobe, " postings; it must be at least 1"));
  return static_cast<size_t>(nprobe);
}
float reach(float epsilon) {
  if (!(epsilon >= 0)) throw ArgumentError(text("epsilon = ", epsilon, "; it must be at least 0"));
  return epsilon;
}
float factor(float k_factor) {
  if (!(k_factor >= 1) || std::isinf(k_factor))
    throw ArgumentError(text("k_factor = ", k_factor, "; it must be a number of at least 1"));
  return k_factor;
}

using Counts = py::typing::Dict<py::str, py::int_>;

constexpr const char* kNprobe = "Postings that are read, at most.";
constexpr const char* kEpsilon =
    "Of these, those are left out whose centroid is more than 1 + epsilon times as far as the "
    "nearest one, or as vectors are from theirs in the mean, whichever is more.";
constexpr const char* kEf =
    "Candidates kept while centroids are looked for; 0 (default): by nprobe.";
constexpr const char* kFactor =
    "Candidates compared again by their whole vectors, for each of the k, and 32 at least; of "
    "indexes whose postings hold codes.";

}  // namespace

void bind_spann(py::module_& m) {
  py::class_<SearchParametersSPANN, SearchParameters, py::smart_holder>(
      m, "SearchParametersSPANN",
      "SearchParameters of an IndexSPANN, in place of the index's for one call.")
      .def(py::init([](std::shared_ptr<Selector> sel, py::ssize_t nprobe, float epsilon,
                       int efSearch, float k_factor, bool partial) {
             auto p = std::make_shared<SearchParametersSPANN>();
             p->sel = std::move(sel);
             p->nprobe = postings(nprobe);
             p->epsilon = reach(epsilon);
             p->efSearch = efSearch;
             p->k_factor = factor(k_factor);
             p->partial = partial;
             return p;
           }),
           py::kw_only(), py::arg("sel") = nullptr, py::arg("nprobe") = 32,
           py::arg("epsilon") = std::numeric_limits<float>::infinity(), py::arg("efSearch") = 0,
           py::arg("k_factor") = 4, py::arg("partial") = false)
      .def_readwrite("partial", &SearchParametersSPANN::partial,
                     "Leave out postings that cannot be read or are damaged, instead of raising.")
      .def_property_readonly(
          "lost", [](const SearchParametersSPANN& p) { return p.lost->load(); },
          "How many postings partial searches by these parameters have left out.")
      .def_property(
          "nprobe", [](const SearchParametersSPANN& p) { return p.nprobe; },
          [](SearchParametersSPANN& p, py::ssize_t v) { p.nprobe = postings(v); }, kNprobe)
      .def_property(
          "epsilon", [](const SearchParametersSPANN& p) { return p.epsilon; },
          [](SearchParametersSPANN& p, float v) { p.epsilon = reach(v); }, kEpsilon)
      .def_readwrite("efSearch", &SearchParametersSPANN::efSearch, kEf)
      .def_property(
          "k_factor", [](const SearchParametersSPANN& p) { return p.k_factor; },
          [](SearchParametersSPANN& p, float v) { p.k_factor = factor(v); }, kFactor);

  using Class = py::class_<IndexSPANN, Index, py::smart_holder>;
  // shortlist.IndexSPANN derives from it.
  py::module_ disk = m.attr("_disk");
  Class(disk, "IndexSPANN",
        "Posting lists on disk: a search finds the nearest centroids in memory, reads their "
        "postings with one round of requests and compares the vectors in them.\n\n"
        "shortlist.open(folder) makes one from what shortlist.build wrote. Source: SPANN, arXiv "
        "2111.08566.")
      .def(py::init([](std::shared_ptr<Index> centroids, std::shared_ptr<IndexIVF> codes,
                       std::shared_ptr<IndexIVF> vectors, std::vector<std::string> postings,
                       std::vector<std::string> vector_files, std::vector<slot_t> parents,
                       size_t ntotal, id_t next_id, std::string ids, float radius, int metric,
                       const std::string& io_backend, const std::string& caching) {
             return std::make_shared<IndexSPANN>(
                 SpannParts{std::move(centroids), std::move(codes), std::move(vectors),
                            std::move(postings), std::move(vector_files), std::move(parents),
                            std::move(ids), ntotal, next_id, radius},
                 metric_of(metric), io::backend_named(io_backend), io::caching_named(caching));
           }),
           py::kw_only(), py::arg("centroids").none(false), py::arg("codes").none(false),
           py::arg("vectors").none(false), py::arg("postings"), py::arg("vector_files"),
           py::arg("parents"), py::arg("ntotal"), py::arg("next_id"), py::arg("ids"),
           py::arg("radius"), py::arg("metric"), py::arg("io_backend") = "auto",
           py::arg("caching") = "auto")
      .def_property(
          "nprobe", [](const IndexSPANN& self) { return self.nprobe.load(); },
          [](IndexSPANN& self, py::ssize_t v) { self.nprobe = postings(v); }, kNprobe)
      .def_property(
          "epsilon", [](const IndexSPANN& self) { return self.epsilon.load(); },
          [](IndexSPANN& self, float v) { self.epsilon = reach(v); }, kEpsilon)
      .def_property(
          "efSearch", [](const IndexSPANN& self) { return self.efSearch.load(); },
          [](IndexSPANN& self, int v) { self.efSearch = v; }, kEf)
      .def_property(
          "k_factor", [](const IndexSPANN& self) { return self.k_factor.load(); },
          [](IndexSPANN& self, float v) { self.k_factor = factor(v); }, kFactor)
      .def_property(
          "cache_bytes", &IndexSPANN::cache_bytes,
          [](IndexSPANN& self, py::ssize_t bytes) {
            if (bytes < 0)
              throw ArgumentError(text("cache_bytes = ", bytes, "; it cannot be negative"));
            self.set_cache_bytes(static_cast<size_t>(bytes));
          },
          "How many bytes of postings that were read lately stay in memory; 0 at first.")
      .def_property_readonly(
          "centroids", [](const IndexSPANN& self) { return self.centroids(); },
          "The index of the centroids, one for each posting.")
      .def_property_readonly("io_backend", &IndexSPANN::io_backend,
                             "How files are read, such as 'io_uring, direct'.")
      .def_property_readonly(
          "postings", [](const IndexSPANN& self) { return self.postings().postings(); },
          "How many postings there are.")
      .def_property_readonly(
          "entries", [](const IndexSPANN& self) { return self.postings().entries(); },
          "Vectors in all postings, a vector counted in each of its own.")
      .def_property_readonly("reranks", &IndexSPANN::reranks,
                             "Whether postings hold codes, and what they find is compared again.")
      .def_property_readonly(
          "pending",
          [](const IndexSPANN& self) {
            const Unlocked unlocked;
            const std::shared_lock hold(self.lock());
            return std::pair(self.added(), self.hidden());
          },
          "How many vectors were added, and how many ids of the files count no more.")
      .def_property_readonly(
          "stats",
          [](const IndexSPANN& self) -> Counts {
            const auto& s = self.stats();
            Counts out;
            out["queries"] = s.queries.load();
            out["probes"] = s.probes.load();
            out["probe_bytes"] = s.probe_bytes.load();
            out["cached"] = s.cached.load();
            out["reads"] = s.reads.load();
            out["bytes"] = s.bytes.load();
            out["scanned"] = s.scanned.load();
            out["compared"] = s.compared.load();
            return out;
          },
          "Since the index was opened: queries, postings they wanted (probes, probe_bytes), those "
          "found in memory (cached) and read (reads, bytes; once for queries that share them), "
          "vectors scanned, and compared again.")
      .def_property_readonly(
          "hidden",
          [](const IndexSPANN& self) {
            const auto ids = [&] {
              const Unlocked unlocked;
              return self.hidden_ids();
            }();
            return py::array_t<id_t>(static_cast<py::ssize_t>(ids.size()), ids.data());
          },
          "The ids of the files that count no more, ascending.")
      .def_property_readonly(
          "memory",
          [](const IndexSPANN& self) {
            const Unlocked unlocked;
            const std::shared_lock hold(self.lock());
            return self.memory();
          },
          "Bytes held: centroids, places of postings, additions, buffers.")
      .def_property_readonly("next_id", &IndexSPANN::next_id, "What add issues next.")
      .def("reserve_ids", &IndexSPANN::reserve_ids, py::arg("end"),
           "Lets add issue no id below `end`.")
      .def(
          "members",
          [](const IndexSPANN& self, const Selector& sel) {
            std::vector<id_t> out;
            {
              const Unlocked unlocked;
              out = self.members(sel);
            }
            return py::array_t<id_t>(static_cast<py::ssize_t>(out.size()), out.data());
          },
          py::arg("sel"),
          "The ids that a selector chooses, ascending; the file of ids is read for it.")
      .def(
          "has",
          [](const IndexSPANN& self, const ArrayLike& key) {
            const std::vector<id_t> asked = ids(key, -1, "ids");
            py::array_t<bool> out(static_cast<py::ssize_t>(asked.size()));
            bool* to = out.mutable_data();
            const Unlocked unlocked;
            const std::vector<bool> found = self.has(asked);
            std::copy(found.begin(), found.end(), to);
            return out;
          },
          py::arg("ids"),
          "Whether each of ids (n,) is in the index, as booleans (n,); at most one read for each "
          "id, none where ids have no gaps.")
      .def("verify", &IndexSPANN::verify, py::call_guard<Unlocked>(),
           "Reads every byte of the files. Raises CorruptIndexError where one is not as written.");
}

}  // namespace shortlist
