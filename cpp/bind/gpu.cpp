// A private submodule: the CUDA plugin, and engines that do its jobs. Memory and jobs are raw here;
// shortlist.gpu is what checks and keeps them.
#include <pybind11/stl.h>

#include <bit>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <variant>

#include "base/error.h"
#include "base/selector.h"
#include "bind/arrays.h"
#include "gpu/engine.h"
#include "gpu/sdc.h"
#include "graph/connect.h"
#include "index/sdc.h"

namespace py = pybind11;

namespace shortlist {
namespace {

using gpu::Engine;
using gpu::Memory;
using gpu::Plugin;

const std::vector<std::string> kKinds = {"l2_f32",  "l2_f16", "l2_bf16", "l2_u8", "l2_i8",
                                         "ip_f32",  "ip_f16", "ip_bf16", "ip_u8", "ip_i8",
                                         "hamming", "planes", "tables"};
const std::vector<std::string> kConversions = {"as_they_are", "f32_to_tf32", "f32_to_f16",
                                               "f32_to_bf16"};

size_t named(const std::vector<std::string>& names, const std::string& name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (name == names[i]) return i;
  throw ArgumentError(text("there is no '", name, "' of that kind"));
}

void* place_of(py::handle value) {
  if (value.is_none()) return nullptr;
  if (py::isinstance<Memory>(value)) return py::cast<const Memory&>(value).place();
  return reinterpret_cast<void*>(py::cast<uintptr_t>(value));
}

// A member of a job, by its name.
template <class Job>
using Setters = std::map<std::string, std::function<void(Job&, py::handle)>>;

template <class Job, class T>
typename Setters<Job>::value_type member(const char* name, T Job::* place) {
  return {name, [place](Job& job, py::handle value) {
            if constexpr (std::is_pointer_v<T>)
              job.*place = static_cast<T>(place_of(value));
            else if constexpr (std::is_same_v<T, ShortlistCudaKind>)
              job.*place = static_cast<T>(named(kKinds, py::cast<std::string>(value)));
            else if constexpr (std::is_same_v<T, ShortlistCudaConversion>)
              job.*place = static_cast<T>(named(kConversions, py::cast<std::string>(value)));
            else
              job.*place = py::cast<T>(value);
          }};
}

#define SL_MEMBER(name) member(#name, &Job::name)

template <class Job>
const Setters<Job>& setters();

template <>
const Setters<ShortlistCudaStore>& setters() {
  using Job = ShortlistCudaStore;
  static const Setters<Job> all{
      SL_MEMBER(stream),  SL_MEMBER(conversion), SL_MEMBER(from),        SL_MEMBER(n),
      SL_MEMBER(stride),  SL_MEMBER(bytes),      SL_MEMBER(rows),        SL_MEMBER(first),
      SL_MEMBER(places),  SL_MEMBER(in_rows),    SL_MEMBER(gather),      SL_MEMBER(gather_n),
      SL_MEMBER(squares), SL_MEMBER(errors),     SL_MEMBER(most_square), SL_MEMBER(most_error)};
  return all;
}
template <>
const Setters<ShortlistCudaScan>& setters() {
  using Job = ShortlistCudaScan;
  static const Setters<Job> all{
      SL_MEMBER(stream),        SL_MEMBER(kind),    SL_MEMBER(rows),       SL_MEMBER(n),
      SL_MEMBER(units_per_row), SL_MEMBER(queries), SL_MEMBER(queries_n),  SL_MEMBER(chosen),
      SL_MEMBER(chosen_n),      SL_MEMBER(allowed), SL_MEMBER(k),          SL_MEMBER(bias),
      SL_MEMBER(plane),         SL_MEMBER(bits),    SL_MEMBER(query_bits), SL_MEMBER(add),
      SL_MEMBER(rescale),       SL_MEMBER(near),    SL_MEMBER(scale),      SL_MEMBER(offset),
      SL_MEMBER(least),         SL_MEMBER(negate),  SL_MEMBER(room),       SL_MEMBER(distances),
      SL_MEMBER(numbers)};
  return all;
}
template <>
const Setters<ShortlistCudaLists>& setters() {
  using Job = ShortlistCudaLists;
  static const Setters<Job> all{SL_MEMBER(stream),
                                SL_MEMBER(kind),
                                SL_MEMBER(rows),
                                SL_MEMBER(n),
                                SL_MEMBER(units_per_row),
                                SL_MEMBER(starts),
                                SL_MEMBER(sizes),
                                SL_MEMBER(lists_n),
                                SL_MEMBER(ids),
                                SL_MEMBER(queries),
                                SL_MEMBER(queries_n),
                                SL_MEMBER(probes),
                                SL_MEMBER(nprobe),
                                SL_MEMBER(allowed),
                                SL_MEMBER(k),
                                SL_MEMBER(inner_product),
                                SL_MEMBER(d),
                                SL_MEMBER(m),
                                SL_MEMBER(codewords),
                                SL_MEMBER(centroids),
                                SL_MEMBER(negate),
                                SL_MEMBER(room),
                                SL_MEMBER(distances),
                                SL_MEMBER(numbers)};
  return all;
}
template <>
const Setters<ShortlistCudaTables>& setters() {
  using Job = ShortlistCudaTables;
  static const Setters<Job> all{
      SL_MEMBER(stream), SL_MEMBER(queries),   SL_MEMBER(queries_n),     SL_MEMBER(d),
      SL_MEMBER(m),      SL_MEMBER(codewords), SL_MEMBER(inner_product), SL_MEMBER(tables)};
  return all;
}
template <>
const Setters<ShortlistCudaGraph>& setters() {
  using Job = ShortlistCudaGraph;
  static const Setters<Job> all{
      SL_MEMBER(stream),  SL_MEMBER(kind),      SL_MEMBER(rows),      SL_MEMBER(n),
      SL_MEMBER(stride),  SL_MEMBER(bytes),     SL_MEMBER(links),     SL_MEMBER(degree),
      SL_MEMBER(queries), SL_MEMBER(queries_n), SL_MEMBER(entries),   SL_MEMBER(entries_n),
      SL_MEMBER(allowed), SL_MEMBER(ef),        SL_MEMBER(k),         SL_MEMBER(width),
      SL_MEMBER(steps),   SL_MEMBER(negate),    SL_MEMBER(distances), SL_MEMBER(numbers)};
  return all;
}
template <>
const Setters<ShortlistCudaPrune>& setters() {
  using Job = ShortlistCudaPrune;
  static const Setters<Job> all{
      SL_MEMBER(stream),     SL_MEMBER(kind),      SL_MEMBER(rows),         SL_MEMBER(rows_n),
      SL_MEMBER(stride),     SL_MEMBER(bytes),     SL_MEMBER(first),        SL_MEMBER(n),
      SL_MEMBER(candidates), SL_MEMBER(distances), SL_MEMBER(candidates_n), SL_MEMBER(degree),
      SL_MEMBER(apart),      SL_MEMBER(links)};
  return all;
}
template <>
const Setters<ShortlistCudaReverse>& setters() {
  using Job = ShortlistCudaReverse;
  static const Setters<Job> all{SL_MEMBER(stream),    SL_MEMBER(links), SL_MEMBER(n),
                                SL_MEMBER(degree),    SL_MEMBER(most),  SL_MEMBER(room),
                                SL_MEMBER(candidates)};
  return all;
}
template <>
const Setters<ShortlistCudaCertify>& setters() {
  using Job = ShortlistCudaCertify;
  static const Setters<Job> all{
      SL_MEMBER(stream),    SL_MEMBER(coarse), SL_MEMBER(exact),         SL_MEMBER(queries_n),
      SL_MEMBER(kept),      SL_MEMBER(k),      SL_MEMBER(inner_product), SL_MEMBER(negate),
      SL_MEMBER(squares),   SL_MEMBER(errors), SL_MEMBER(most_square),   SL_MEMBER(most_error),
      SL_MEMBER(row_error), SL_MEMBER(slack),  SL_MEMBER(chosen),        SL_MEMBER(chosen_n)};
  return all;
}
template <>
const Setters<ShortlistCudaRescore>& setters() {
  using Job = ShortlistCudaRescore;
  static const Setters<Job> all{SL_MEMBER(stream),  SL_MEMBER(kind),         SL_MEMBER(rows),
                                SL_MEMBER(n),       SL_MEMBER(stride),       SL_MEMBER(bytes),
                                SL_MEMBER(queries), SL_MEMBER(queries_n),    SL_MEMBER(candidates),
                                SL_MEMBER(offsets), SL_MEMBER(candidates_n), SL_MEMBER(distances)};
  return all;
}
template <>
const Setters<ShortlistCudaMaxSim>& setters() {
  using Job = ShortlistCudaMaxSim;
  static const Setters<Job> all{
      SL_MEMBER(stream),  SL_MEMBER(kind),         SL_MEMBER(rows),      SL_MEMBER(n),
      SL_MEMBER(stride),  SL_MEMBER(bytes),        SL_MEMBER(documents), SL_MEMBER(documents_n),
      SL_MEMBER(queries), SL_MEMBER(tokens),       SL_MEMBER(queries_n), SL_MEMBER(candidates),
      SL_MEMBER(offsets), SL_MEMBER(candidates_n), SL_MEMBER(scores)};
  return all;
}
template <>
const Setters<ShortlistCudaAssign>& setters() {
  using Job = ShortlistCudaAssign;
  static const Setters<Job> all{SL_MEMBER(stream),    SL_MEMBER(rows),   SL_MEMBER(n),
                                SL_MEMBER(centroids), SL_MEMBER(k),      SL_MEMBER(d),
                                SL_MEMBER(bias),      SL_MEMBER(labels), SL_MEMBER(scores)};
  return all;
}
template <>
const Setters<ShortlistCudaUpdate>& setters() {
  using Job = ShortlistCudaUpdate;
  static const Setters<Job> all{SL_MEMBER(stream), SL_MEMBER(rows),    SL_MEMBER(n),
                                SL_MEMBER(labels), SL_MEMBER(weights), SL_MEMBER(k),
                                SL_MEMBER(d),      SL_MEMBER(room),    SL_MEMBER(centroids),
                                SL_MEMBER(counts), SL_MEMBER(totals)};
  return all;
}
template <>
const Setters<ShortlistCudaSelect>& setters() {
  using Job = ShortlistCudaSelect;
  static const Setters<Job> all{SL_MEMBER(stream), SL_MEMBER(distances), SL_MEMBER(rows_n),
                                SL_MEMBER(n),      SL_MEMBER(names),     SL_MEMBER(k),
                                SL_MEMBER(chosen), SL_MEMBER(chosen_n),  SL_MEMBER(negate),
                                SL_MEMBER(least),  SL_MEMBER(numbers)};
  return all;
}
#undef SL_MEMBER

template <class Job>
Job filled(const Engine& engine, const py::kwargs& values) {
  Job job{};
  job.device = engine.device();
  for (const auto& [key, value] : values) {
    const auto name = py::cast<std::string>(key);
    const auto found = setters<Job>().find(name);
    if (found == setters<Job>().end()) throw ArgumentError(text("the job has no '", name, "'"));
    found->second(job, value);
  }
  return job;
}

template <class Job>
using Run = int (*ShortlistCuda::*)(const Job*, char*, size_t);
template <class Job>
using Room = int (*ShortlistCuda::*)(const Job*, size_t*, char*, size_t);

template <class Job>
void def(py::class_<Engine, py::smart_holder>& engine, const char* name, Run<Job> run) {
  engine.def(name, [run](const Engine& self, const py::kwargs& values) {
    const Job job = filled<Job>(self, values);
    py::gil_scoped_release unlocked;
    self.call(self.table().*run, &job);
  });
}
// With room that the caller brings; without `room` the job is not done, but the bytes told.
template <class Job>
void def(py::class_<Engine, py::smart_holder>& engine, const char* name, Run<Job> run,
         Room<Job> room) {
  engine.def(name, [run, room](const Engine& self, const py::kwargs& values) {
    const Job job = filled<Job>(self, values);
    const bool asked = !values.contains("room");
    size_t bytes = 0;
    py::gil_scoped_release unlocked;
    if (asked)
      self.call(self.table().*room, &job, &bytes);
    else
      self.call(self.table().*run, &job);
    return bytes;
  });
}

std::pair<py::array_t<uint8_t>, py::array_t<float>> sdc_codes(const IndexSDC& index, size_t begin,
                                                              size_t end) {
  const OddIntCodec& codec = index.codec();
  const size_t n = end - begin;
  if (begin > end || end > index.ntotal())
    throw ArgumentError(text("codes ", begin, " to ", end, " of ", index.ntotal()));
  std::pair out{
      py::array_t<uint8_t>({n, static_cast<size_t>(codec.bits) * gpu::plane_bytes(codec)}),
      py::array_t<float>({size_t{2}, n})};
  auto* const planes = reinterpret_cast<std::byte*>(out.first.mutable_data());
  float* const factors = out.second.mutable_data();
  py::gil_scoped_release unlocked;
  std::vector<std::byte> codes(n * codec.code_size());
  index.blocks().codes(begin, n, codes.data());
  gpu::put_codes(codec, codes.data(), n, planes, factors);
  return out;
}

py::tuple sdc_queries(const IndexSDC& index, const ArrayLike& x, bool many) {
  const OddIntCodec& codec = index.codec();
  const Vectors2D asked = vectors(x);
  if (asked.rows.d != codec.d)
    throw DimensionError(text("x has ", asked.rows.d, " dimensions, the index ", codec.d));
  gpu::Queries queries;
  std::vector<std::byte> planes;
  std::vector<int8_t> bytes;
  {
    py::gil_scoped_release unlocked;
    std::vector<float> scratch;
    queries = gpu::whole_queries(codec, {as_floats(asked.rows, scratch), asked.rows.n, codec.d});
    if (many)
      bytes = gpu::as_bytes(codec, queries);
    else
      planes = gpu::as_planes(codec, queries);
  }
  const auto n = static_cast<py::ssize_t>(asked.rows.n);
  const auto width = static_cast<py::ssize_t>((many ? 8 : static_cast<size_t>(queries.bits)) *
                                              gpu::plane_bytes(codec));
  std::vector<float> terms = queries.near;
  terms.insert(terms.end(), queries.scale.begin(), queries.scale.end());
  return py::make_tuple(many ? owning<uint8_t>(std::move(bytes), {n, width})
                             : owning<uint8_t>(std::move(planes), {n, width}),
                        queries.bits, owning<float>(std::move(terms), {2, n}),
                        owning<int64_t>(std::move(queries.offset), {n}));
}

py::array_t<uint32_t> selected(const Selector& selector, const py::object& ids, size_t n) {
  std::vector<id_t> names;
  IdMap map;
  map.slots = n;
  if (!ids.is_none()) {
    names = shortlist::ids(py::reinterpret_borrow<ArrayLike>(ids), -1);
    map.slots = names.size();
    map.ids = names.data();
  }
  std::vector<uint32_t> words((map.slots + 31) / 32);
  {
    py::gil_scoped_release unlocked;
    const Bitmap bits = selector.slots(map);
    for (size_t i = 0; i < words.size(); ++i) words[i] = bits.half_word(i);
  }
  const auto size = static_cast<py::ssize_t>(words.size());
  return owning<uint32_t>(std::move(words), {size});
}

}  // namespace

void bind_gpu(py::module_& m) {
  py::module_ g = m.def_submodule(
      "_gpu", "The CUDA plugin and its jobs; an Engine does them on a GPU or on the host.");
  g.attr("kinds") = py::tuple(py::cast(kKinds));
  g.attr("conversions") = py::tuple(py::cast(kConversions));
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
            gpu::call_table(self.table().versions, &runtime, &driver);
            return std::pair(runtime, driver);
          },
          "CUDA versions of the runtime within and of the driver (0: none), as 13000 for 13.0.")
      .def(
          "describe",
          [](const Plugin& self, int device) {
            ShortlistCudaDevice found{};
            gpu::call_table(self.table().describe, device, &found);
            py::dict out;
            out["name"] = found.name;
            out["capability"] = std::pair(found.major, found.minor);
            out["multiprocessors"] = found.multiprocessors;
            out["memory"] = found.memory;
            out["free"] = found.free;
            return out;
          },
          py::arg("device"));

  py::class_<Engine, py::smart_holder> engine(
      g, "Engine",
      "Who does jobs. A job takes the members of its struct in cuda/plugin.h by name, pointers as "
      "Memory, int or None; those with a room tell its bytes when called without one.");
  py::class_<Memory, py::smart_holder>(g, "Memory", "Bytes where an engine's jobs find them.")
      .def(py::init([](std::shared_ptr<Engine> engine, size_t bytes) {
             return std::make_unique<Memory>(std::move(engine), bytes);
           }),
           py::arg("engine"), py::arg("bytes"))
      .def_property_readonly(
          "place", [](const Memory& self) { return reinterpret_cast<uintptr_t>(self.place()); })
      .def_property_readonly("bytes", &Memory::bytes);
  engine
      .def(py::init([](unsigned lanes, size_t chunks, unsigned seed) {
             if (!std::has_single_bit(lanes) || lanes > 1024 || chunks < 1)
               throw ArgumentError("lanes must be a power of two up to 1024, and chunks 1 or more");
             return std::make_unique<Engine>(gpu::HostRun{lanes, chunks, seed});
           }),
           py::arg("lanes") = 32, py::arg("chunks") = 1, py::arg("seed") = 0)
      .def(py::init([](std::shared_ptr<Plugin> plugin, int device) {
             return std::make_unique<Engine>(std::move(plugin), device);
           }),
           py::arg("plugin"), py::arg("device"))
      .def_property_readonly("host", &Engine::host, "Whether memory is this process's.")
      .def_property_readonly("device", &Engine::device)
      .def_property_readonly(
          "free",
          [](const Engine& self) {
            ShortlistCudaDevice found{};
            self.call(self.table().describe, self.device(), &found);
            return found.free;
          },
          "Bytes that could be allocated; 0 of the host.")
      .def(
          "copy",
          [](const Engine& self, uintptr_t to, uintptr_t from, size_t bytes, uintptr_t stream) {
            py::gil_scoped_release unlocked;
            if (bytes)
              self.call(self.table().copy, self.device(), reinterpret_cast<void*>(to),
                        reinterpret_cast<const void*>(from), bytes,
                        reinterpret_cast<void*>(stream));
          },
          py::arg("to"), py::arg("from_"), py::arg("bytes"), py::arg("stream") = 0)
      .def(
          "synchronize",
          [](const Engine& self, uintptr_t stream) {
            py::gil_scoped_release unlocked;
            self.call(self.table().synchronize, self.device(), reinterpret_cast<void*>(stream));
          },
          py::arg("stream") = 0);
  using T = ShortlistCuda;
  def(engine, "store", &T::store);
  def(engine, "scan", &T::scan, &T::scan_room);
  def(engine, "scan_many", &T::scan_many, &T::scan_many_room);
  def(engine, "scan_lists", &T::scan_lists, &T::scan_lists_room);
  def(engine, "tables", &T::tables);
  def(engine, "graph", &T::graph);
  def(engine, "prune", &T::prune);
  def(engine, "reverse", &T::reverse, &T::reverse_room);
  def(engine, "certify", &T::certify);
  def(engine, "select", &T::select);
  def(engine, "rescore", &T::rescore);
  def(engine, "max_sim", &T::max_sim);
  def(engine, "assign", &T::assign);
  def(engine, "update", &T::update, &T::update_room);

  g.def("sdc_codes", &sdc_codes, py::arg("index"), py::arg("begin"), py::arg("end"),
        "Codes [begin, end) of an IndexSDC: planes (n, bits * plane) bytes and factors (2, n).");
  g.def("sdc_queries", &sdc_queries, py::arg("index"), py::arg("x"), py::arg("many"),
        "Queries of an IndexSDC: bytes of each as `scan` or `scan_many` takes them, bits of their "
        "values, terms (2, n) near and scale, and offsets (n,).");
  g.def("selected", &selected, py::arg("selector"), py::arg("ids") = py::none(), py::arg("n") = 0,
        "A bit for each of n rows, or of those with these ids, as jobs take `allowed`.");
  g.def(
      "connect",
      [](py::array_t<uint32_t, py::array::c_style> links, slot_t entry) {
        const size_t n = static_cast<size_t>(links.shape(0)),
                     degree = static_cast<size_t>(links.shape(1));
        const std::span<slot_t> rows(links.mutable_data(), n * degree);
        const Unlocked unlocked;
        connect(
            rows, degree, entry, {},
            [&](slot_t s, std::vector<slot_t>& out) {
              for (const slot_t to : rows.subspan(s * degree, degree))
                if (to != kNoSlot) out.push_back(to);
            },
            [](slot_t) {});
      },
      py::arg("links").noconvert(), py::arg("entry"),
      "Links (n, degree) of rows, 2^32 - 1 at a row's end, are changed so that they lead "
      "everywhere "
      "from the entry.");
  g.def(
      "query_bytes",
      [](const std::string& kind, size_t units) {
        return gpu::host_table().query_bytes(static_cast<ShortlistCudaKind>(named(kKinds, kind)),
                                             units);
      },
      py::arg("kind"), py::arg("units"));
}

}  // namespace shortlist
