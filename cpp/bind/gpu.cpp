// A private submodule: the CUDA plugin, and its jobs over numpy arrays, on a GPU or on the host.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <bit>
#include <optional>
#include <string>

#include "base/error.h"
#include "bind/bind.h"
#include "gpu/engine.h"

namespace py = pybind11;

namespace shortlist {
namespace {

using gpu::Engine;
using gpu::Plugin;

template <class T>
using Contiguous = py::array_t<T, py::array::c_style>;

constexpr std::array<const char*, 12> kKinds = {"l2_f32", "l2_f16", "l2_bf16", "l2_u8",
                                                "l2_i8",  "ip_f32", "ip_f16",  "ip_bf16",
                                                "ip_u8",  "ip_i8",  "hamming", "planes"};

ShortlistCudaKind kind_named(const std::string& name) {
  for (size_t i = 0; i < kKinds.size(); ++i)
    if (name == kKinds[i]) return static_cast<ShortlistCudaKind>(i);
  throw ArgumentError(text("there is no kind '", name, "'; see _gpu.kinds"));
}

void require(bool ok, const char* what) {
  if (!ok) throw ArgumentError(text("job refused: ", what));
}

// Bytes of rows with any stride between them, and how they are compared.
struct Rows2D {
  Rows2D(const std::string& kind, const py::array_t<uint8_t>& rows)
      : kind(kind_named(kind)),
        data(rows.data()),
        n(static_cast<size_t>(rows.ndim() == 2 ? rows.shape(0) : 0)),
        bytes(static_cast<size_t>(rows.ndim() == 2 ? rows.shape(1) : 0)),
        stride(static_cast<size_t>(rows.ndim() == 2 ? rows.strides(0) : 0)) {
    require(rows.ndim() == 2 && bytes >= 1 &&
                (n == 0 || (rows.strides(1) == 1 && rows.strides(0) >= rows.shape(1))),
            "rows must be 2-D, of bytes that are together in each row");
    units = (bytes + 15) / 16;
  }
  size_t extent() const { return n ? (n - 1) * stride + bytes : 0; }

  ShortlistCudaKind kind;
  const uint8_t* data;
  size_t n, bytes, stride, units;
};

size_t checked_queries(const Contiguous<uint8_t>& queries, size_t bytes) {
  require(queries.ndim() == 2 && static_cast<size_t>(queries.shape(1)) == bytes,
          "queries must have query_bytes(kind, units) bytes each");
  return static_cast<size_t>(queries.shape(0));
}

using Found = std::pair<py::array_t<float>, py::array_t<int64_t>>;

Found scan(Engine& engine, const std::string& kind, const py::array_t<uint8_t>& rows,
           const Contiguous<uint8_t>& queries, size_t k,
           const std::optional<Contiguous<bool>>& allowed, uint32_t bits, uint32_t query_bits,
           const std::optional<Contiguous<float>>& factors,
           const std::optional<Contiguous<float>>& terms,
           const std::optional<Contiguous<int64_t>>& offsets, float least) {
  const Rows2D base(kind, rows);
  ShortlistCudaScan job{};
  job.kind = base.kind;
  job.n = base.n;
  job.units_per_row = base.units;
  job.k = k;
  require(k >= 1 && k <= 2048, "k must be from 1 to 2048");
  size_t bytes = gpu::query_bytes(job.kind, job.units_per_row);
  if (job.kind == SHORTLIST_CUDA_PLANES) {
    require(bits >= 1 && bits <= 8 && base.bytes % (16 * size_t{bits}) == 0 && query_bits >= 1 &&
                query_bits <= 9,
            "rows must hold `bits` planes of a multiple of 16 bytes, queries at most 9 planes");
    job.bits = bits;
    job.query_bits = query_bits;
    job.plane = static_cast<uint32_t>(base.units / bits);
    bytes = size_t{query_bits} * job.plane * 16;
    job.least = least;
  }
  job.queries_n = checked_queries(queries, bytes);
  if (job.kind == SHORTLIST_CUDA_PLANES) {
    require(factors && factors->ndim() == 2 && factors->shape(0) == 2 &&
                static_cast<size_t>(factors->shape(1)) == base.n && terms && terms->ndim() == 2 &&
                terms->shape(0) == 2 && static_cast<size_t>(terms->shape(1)) == job.queries_n &&
                offsets && offsets->ndim() == 1 &&
                static_cast<size_t>(offsets->size()) == job.queries_n,
            "planes need factors (2, n), terms (2, queries) and offsets (queries,)");
    job.add = engine.put(factors->data(), base.n);
    job.rescale = engine.put(factors->data() + base.n, base.n);
    job.near = engine.put(terms->data(), job.queries_n);
    job.scale = engine.put(terms->data() + job.queries_n, job.queries_n);
    job.offset = engine.put(offsets->data(), job.queries_n);
  }
  if (allowed) {
    require(allowed->ndim() == 1 && static_cast<size_t>(allowed->size()) == base.n,
            "allowed must have one value for each row");
    std::vector<uint32_t> words(base.n / 32 + 1);
    for (size_t i = 0; i < base.n; ++i)
      words[i / 32] |= static_cast<uint32_t>(allowed->data()[i]) << i % 32;
    job.allowed = engine.put(words.data(), words.size());
  }
  const size_t blocks = (base.n + 31) / 32;
  void* const store = engine.memory(blocks * 32 * base.units * 16);
  engine.interleave(engine.put(base.data, base.extent()), base.n, base.stride, base.bytes, store,
                    0);
  job.rows = store;
  job.queries = engine.put(queries.data(), static_cast<size_t>(queries.size()));
  const size_t results = job.queries_n * k;
  job.distances = static_cast<float*>(engine.memory(results * sizeof(float)));
  job.numbers = static_cast<int64_t*>(engine.memory(results * sizeof(int64_t)));
  engine.scan(job);
  Found out{py::array_t<float>({job.queries_n, k}), py::array_t<int64_t>({job.queries_n, k})};
  engine.from(out.first.mutable_data(), job.distances, results * sizeof(float));
  engine.from(out.second.mutable_data(), job.numbers, results * sizeof(int64_t));
  return out;
}

Found select(Engine& engine, const Contiguous<float>& distances, size_t k) {
  require(distances.ndim() == 2 && k >= 1 && k <= 2048,
          "distances must be 2-D, and k from 1 to 2048");
  const auto rows = static_cast<size_t>(distances.shape(0)),
             n = static_cast<size_t>(distances.shape(1));
  auto* const least = static_cast<float*>(engine.memory(rows * k * sizeof(float)));
  auto* const numbers = static_cast<int64_t*>(engine.memory(rows * k * sizeof(int64_t)));
  engine.select(engine.put(distances.data(), rows * n), rows, n, k, least, numbers);
  Found out{py::array_t<float>({rows, k}), py::array_t<int64_t>({rows, k})};
  engine.from(out.first.mutable_data(), least, rows * k * sizeof(float));
  engine.from(out.second.mutable_data(), numbers, rows * k * sizeof(int64_t));
  return out;
}

// Candidates of each query, one after the other.
struct Ragged {
  Ragged(const Contiguous<int64_t>& numbers, const Contiguous<int64_t>& offsets)
      : numbers(numbers), offsets(offsets) {
    bool ok = numbers.ndim() == 1 && offsets.ndim() == 1 && offsets.size() >= 1 &&
              offsets.data()[0] == 0 && offsets.data()[offsets.size() - 1] == numbers.size();
    for (py::ssize_t i = 1; ok && i < offsets.size(); ++i)
      ok = offsets.data()[i - 1] <= offsets.data()[i];
    require(ok, "offsets must ascend from 0 to the number of values");
  }
  size_t parts() const { return static_cast<size_t>(offsets.size()) - 1; }
  size_t size() const { return static_cast<size_t>(numbers.size()); }

  const Contiguous<int64_t>&numbers, &offsets;
};

py::array_t<float> rescore(Engine& engine, const std::string& kind,
                           const py::array_t<uint8_t>& rows, const Contiguous<uint8_t>& queries,
                           const Contiguous<int64_t>& candidates,
                           const Contiguous<int64_t>& offsets) {
  const Rows2D base(kind, rows);
  const Ragged asked(candidates, offsets);
  require(base.kind != SHORTLIST_CUDA_PLANES, "planes are not compared again");
  require(checked_queries(queries, gpu::query_bytes(base.kind, base.units)) == asked.parts(),
          "there must be one query for each part of the candidates");
  ShortlistCudaRescore job{};
  job.kind = base.kind;
  job.rows = engine.put(base.data, base.extent());
  job.n = base.n;
  job.stride = base.stride;
  job.bytes = base.bytes;
  job.queries = engine.put(queries.data(), static_cast<size_t>(queries.size()));
  job.queries_n = asked.parts();
  job.candidates = engine.put(candidates.data(), asked.size());
  job.offsets = engine.put(offsets.data(), asked.parts() + 1);
  job.candidates_n = asked.size();
  job.distances = static_cast<float*>(engine.memory(asked.size() * sizeof(float)));
  engine.rescore(job);
  py::array_t<float> out(candidates.size());
  engine.from(out.mutable_data(), job.distances, asked.size() * sizeof(float));
  return out;
}

py::array_t<float> max_sim(Engine& engine, const std::string& kind,
                           const py::array_t<uint8_t>& rows, const Contiguous<int64_t>& documents,
                           const Contiguous<uint8_t>& queries, const Contiguous<int64_t>& tokens,
                           const Contiguous<int64_t>& candidates,
                           const Contiguous<int64_t>& offsets) {
  const Rows2D base(kind, rows);
  const Ragged asked(candidates, offsets);
  require(base.kind >= SHORTLIST_CUDA_IP_F32 && base.kind <= SHORTLIST_CUDA_IP_BF16,
          "MaxSim takes ip_f32, ip_f16 or ip_bf16");
  const auto spans = [](const Contiguous<int64_t>& ends, size_t n) {
    bool ok = ends.ndim() == 1 && ends.size() >= 1 && ends.data()[0] >= 0;
    for (py::ssize_t i = 1; ok && i < ends.size(); ++i) ok = ends.data()[i - 1] <= ends.data()[i];
    require(ok && static_cast<size_t>(ends.data()[ends.size() - 1]) <= n,
            "documents and tokens must ascend and stay within their rows");
    return static_cast<size_t>(ends.size()) - 1;
  };
  const size_t all = checked_queries(queries, gpu::query_bytes(base.kind, base.units));
  ShortlistCudaMaxSim job{};
  job.kind = base.kind;
  job.documents_n = spans(documents, base.n);
  job.queries_n = spans(tokens, all);
  require(job.queries_n == asked.parts(), "there must be a query for each part of the candidates");
  job.rows = engine.put(base.data, base.extent());
  job.n = base.n;
  job.stride = base.stride;
  job.bytes = base.bytes;
  job.documents = engine.put(documents.data(), job.documents_n + 1);
  job.queries = engine.put(queries.data(), static_cast<size_t>(queries.size()));
  job.tokens = engine.put(tokens.data(), job.queries_n + 1);
  job.candidates = engine.put(candidates.data(), asked.size());
  job.offsets = engine.put(offsets.data(), asked.parts() + 1);
  job.candidates_n = asked.size();
  job.scores = static_cast<float*>(engine.memory(asked.size() * sizeof(float)));
  engine.max_sim(job);
  py::array_t<float> out(candidates.size());
  engine.from(out.mutable_data(), job.scores, asked.size() * sizeof(float));
  return out;
}

std::pair<py::array_t<uint32_t>, py::array_t<float>> assign(Engine& engine,
                                                            const Contiguous<float>& rows,
                                                            const Contiguous<float>& centroids,
                                                            const Contiguous<float>& bias) {
  require(rows.ndim() == 2 && centroids.ndim() == 2 && rows.shape(1) == centroids.shape(1) &&
              rows.shape(1) >= 1 && centroids.shape(0) >= 1 && bias.ndim() == 1 &&
              bias.size() == centroids.shape(0),
          "rows (n, d), centroids (k, d) and bias (k,) do not fit each other");
  ShortlistCudaAssign job{};
  job.n = static_cast<size_t>(rows.shape(0));
  job.k = static_cast<size_t>(centroids.shape(0));
  job.d = static_cast<size_t>(rows.shape(1));
  job.rows = engine.put(rows.data(), job.n * job.d);
  job.centroids = engine.put(centroids.data(), job.k * job.d);
  job.bias = engine.put(bias.data(), job.k);
  job.labels = static_cast<uint32_t*>(engine.memory(job.n * sizeof(uint32_t)));
  job.scores = static_cast<float*>(engine.memory(job.n * sizeof(float)));
  engine.assign(job);
  std::pair out{py::array_t<uint32_t>(rows.shape(0)), py::array_t<float>(rows.shape(0))};
  engine.from(out.first.mutable_data(), job.labels, job.n * sizeof(uint32_t));
  engine.from(out.second.mutable_data(), job.scores, job.n * sizeof(float));
  return out;
}

std::pair<py::array_t<float>, py::array_t<uint64_t>> update(Engine& engine,
                                                            const Contiguous<float>& rows,
                                                            const Contiguous<uint32_t>& labels,
                                                            const Contiguous<float>& centroids) {
  require(rows.ndim() == 2 && centroids.ndim() == 2 && rows.shape(1) == centroids.shape(1) &&
              labels.ndim() == 1 && labels.size() == rows.shape(0),
          "rows (n, d), labels (n,) and centroids (k, d) do not fit each other");
  ShortlistCudaUpdate job{};
  job.n = static_cast<size_t>(rows.shape(0));
  job.k = static_cast<size_t>(centroids.shape(0));
  job.d = static_cast<size_t>(rows.shape(1));
  for (size_t i = 0; i < job.n; ++i) require(labels.data()[i] < job.k, "a label is out of range");
  job.rows = engine.put(rows.data(), job.n * job.d);
  job.labels = engine.put(labels.data(), job.n);
  job.centroids = engine.put(centroids.data(), job.k * job.d);
  job.counts = static_cast<uint64_t*>(engine.memory(job.k * sizeof(uint64_t)));
  engine.update(job);
  std::pair out{py::array_t<float>({job.k, job.d}), py::array_t<uint64_t>(centroids.shape(0))};
  engine.from(out.first.mutable_data(), job.centroids, job.k * job.d * sizeof(float));
  engine.from(out.second.mutable_data(), job.counts, job.k * sizeof(uint64_t));
  return out;
}

}  // namespace

void bind_gpu(py::module_& m) {
  py::module_ g = m.def_submodule(
      "_gpu", "The CUDA plugin and its jobs; an Engine does them on a GPU or on the host.");
  g.attr("kinds") = py::tuple(py::cast(std::vector<std::string>(kKinds.begin(), kKinds.end())));
  g.attr("abi") = SHORTLIST_CUDA_ABI;
  py::class_<Plugin, py::smart_holder>(g, "Plugin", "A plugin that is loaded, and stays so.")
      .def(py::init<std::string>(), py::arg("path"))
      .def_property_readonly("path", &Plugin::path)
      .def("devices", &Plugin::devices,
           "How many GPUs there are. Raises UnsupportedError if there is none.")
      .def(
          "versions",
          [](const Plugin& self) {
            int runtime = 0, driver = 0;
            self.call(self.table().versions, &runtime, &driver);
            return std::pair(runtime, driver);
          },
          "CUDA versions of the runtime within and of the driver (0: none), as 13000 for 13.0.")
      .def(
          "describe",
          [](const Plugin& self, int device) {
            ShortlistCudaDevice found{};
            self.call(self.table().describe, device, &found);
            py::dict out;
            out["name"] = found.name;
            out["capability"] = std::pair(found.major, found.minor);
            out["multiprocessors"] = found.multiprocessors;
            out["memory"] = found.memory;
            out["free"] = found.free;
            return out;
          },
          py::arg("device"));
  py::class_<Engine, py::smart_holder>(g, "Engine", "Who does jobs, and memory where they are.");
  g.def(
      "host_engine",
      [](unsigned lanes, size_t chunks, unsigned seed) {
        require(std::has_single_bit(lanes) && lanes <= 1024 && chunks >= 1,
                "lanes must be a power of two up to 1024, and chunks 1 or more");
        return gpu::host_engine(lanes, chunks, seed);
      },
      py::arg("lanes") = 32, py::arg("chunks") = 1, py::arg("seed") = 0);
  g.def("device_engine", &gpu::device_engine, py::arg("plugin"), py::arg("device") = 0,
        py::keep_alive<0, 1>());
  g.def(
      "query_bytes",
      [](const std::string& kind, size_t units) {
        return gpu::query_bytes(kind_named(kind), units);
      },
      py::arg("kind"), py::arg("units"));
  g.def("scan", &scan, py::arg("engine"), py::arg("kind"), py::arg("rows"), py::arg("queries"),
        py::arg("k"), py::arg("allowed") = std::nullopt, py::arg("bits") = 0,
        py::arg("query_bits") = 0, py::arg("factors") = std::nullopt,
        py::arg("terms") = std::nullopt, py::arg("offsets") = std::nullopt, py::arg("least") = 0);
  g.def("select", &select, py::arg("engine"), py::arg("distances"), py::arg("k"));
  g.def("rescore", &rescore, py::arg("engine"), py::arg("kind"), py::arg("rows"),
        py::arg("queries"), py::arg("candidates"), py::arg("offsets"));
  g.def("max_sim", &max_sim, py::arg("engine"), py::arg("kind"), py::arg("rows"),
        py::arg("documents"), py::arg("queries"), py::arg("tokens"), py::arg("candidates"),
        py::arg("offsets"));
  g.def("assign", &assign, py::arg("engine"), py::arg("rows"), py::arg("centroids"),
        py::arg("bias"));
  g.def("update", &update, py::arg("engine"), py::arg("rows"), py::arg("labels"),
        py::arg("centroids"));
}

}  // namespace shortlist
