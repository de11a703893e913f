// The ISA level in use, and a private submodule that runs each kernel on each level for the tests
// and micro benchmarks.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "bind/bind.h"
#include "kernels/dispatch.h"

namespace py = pybind11;

namespace shortlist {
namespace {

using namespace kernels;

constexpr std::array<const char*, kRowsOps> kOpNames = {
    "l2_f32", "l2_f16", "l2_u8", "l2_i8", "l2_f32u8", "l2_f32i8", "l2_scaled",
    "ip_f32", "ip_f16", "ip_u8", "ip_i8", "ip_f32u8", "ip_f32i8", "hamming_bits"};

std::vector<std::string> names(const std::vector<Isa>& levels) {
  std::vector<std::string> out;
  for (Isa isa : levels) out.push_back(name_of(isa));
  return out;
}

const Table& table_of(const std::string& isa) { return table(isa_named(isa)); }

RowsFn rows_fn(const std::string& isa, const std::string& op) {
  for (size_t i = 0; i < kOpNames.size(); ++i)
    if (op == kOpNames[i]) return table_of(isa).rows[i];
  throw ArgumentError(text("there is no rows kernel named '", op, "'; see _kernels.rows_ops"));
}

template <class T>
using Contiguous = py::array_t<T, py::array::c_style>;

void require(bool ok, const char* what) {
  if (!ok) throw ArgumentError(text("kernel call refused: ", what));
}

// Rows of a 2-D array whose values are contiguous within a row, at any distance.
template <class T = std::byte>
const T* rows_of(const py::array& a) {
  require(a.ndim() == 2 && (a.size() == 0 || (a.strides(1) == a.itemsize() && a.strides(0) >= 0)),
          "an argument must be 2-D with contiguous values in each row");
  return static_cast<const T*>(a.data());
}

template <class T>
size_t ld_of(const py::array_t<T>& a) {
  require(a.strides(0) % static_cast<py::ssize_t>(sizeof(T)) == 0,
          "a row stride must be a multiple of the item size");
  return static_cast<size_t>(a.strides(0)) / sizeof(T);
}

py::array_t<float> call_rows(const std::string& isa, const std::string& op, const py::array& query,
                             const py::array& base, const std::optional<Contiguous<uint32_t>>& rows,
                             size_t repeat) {
  const RowsFn kernel = rows_fn(isa, op);
  const std::byte* data = rows_of(base);
  const auto count = static_cast<size_t>(base.shape(0)), d = static_cast<size_t>(base.shape(1));
  const bool integers = op.ends_with("_u8") || op.ends_with("_i8") || op == "hamming_bits";
  const bool halves = op.ends_with("_f16"), floats = op.ends_with("_f32");
  require(base.itemsize() == (floats ? 4 : halves ? 2 : 1), "base has the wrong item size");
  require(query.ndim() == 1 && query.itemsize() == (integers ? 1 : 4) &&
              (query.size() == 0 || query.strides(0) == query.itemsize()) &&
              static_cast<size_t>(query.size()) == (op == "l2_scaled" ? 2 * d : d),
          "query has the wrong item size or length");
  const size_t n = rows ? static_cast<size_t>(rows->size()) : count;
  const uint32_t* listed = rows ? rows->data() : nullptr;
  for (size_t i = 0; rows && i < n; ++i) require(listed[i] < count, "a row is out of range");
  py::array_t<float> out(static_cast<py::ssize_t>(n));
  float* values = out.mutable_data();
  const auto stride = static_cast<size_t>(base.strides(0));
  py::gil_scoped_release release;
  // Blocks of 32, as a graph search asks for them.
  for (size_t r = 0; r < repeat; ++r)
    if (!rows)
      kernel(query.data(), data, stride, nullptr, n, d, values);
    else
      for (size_t i = 0; i < n; i += 32)
        kernel(query.data(), data, stride, listed + i, std::min<size_t>(32, n - i), d, values + i);
  return out;
}

py::array_t<float> call_columns(const std::string& isa, const std::string& family,
                                const Contiguous<float>& query, const Contiguous<float>& columns,
                                size_t repeat) {
  const Table& use = table_of(isa);
  require(family == "l2" || family == "ip", "the families are l2 and ip");
  const ColumnsFn kernel = family == "l2" ? use.l2_columns : use.ip_columns;
  require(columns.ndim() == 2 && query.ndim() == 1 && query.size() == columns.shape(0),
          "columns must have a row for each value of the query");
  py::array_t<float> out(columns.shape(1));
  float* values = out.mutable_data();
  const auto d = static_cast<size_t>(columns.shape(0)), n = static_cast<size_t>(columns.shape(1));
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(query.data(), columns.data(), n, d, values);
  return out;
}

template <class T, class Sum>
py::array_t<Sum> call_dot(void (*kernel)(const T*, size_t, size_t, const T*, size_t, size_t, size_t,
                                         Sum*, size_t),
                          const py::array_t<T>& a, const py::array_t<T>& b, size_t repeat) {
  const T* x = rows_of<T>(a);
  const T* y = rows_of<T>(b);
  require(a.shape(1) == b.shape(1), "a and b must have as many columns");
  py::array_t<Sum> out({a.shape(0), b.shape(0)});
  const size_t lda = ld_of(a), ldb = ld_of(b), d = static_cast<size_t>(a.shape(1));
  const auto na = static_cast<size_t>(a.shape(0)), nb = static_cast<size_t>(b.shape(0));
  Sum* values = out.mutable_data();
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(x, lda, na, y, ldb, nb, d, values, nb);
  return out;
}

template <class To, class From>
py::array_t<To> convert(void (*kernel)(const From*, size_t, To*), const Contiguous<From>& x) {
  py::array_t<To> out(x.size());
  kernel(x.data(), static_cast<size_t>(x.size()), out.mutable_data());
  return out;
}

py::array_t<uint32_t> call_lut32(const std::string& isa, const py::array_t<uint8_t>& codes,
                                 const py::array_t<uint8_t>& tables, size_t repeat) {
  const Lut32Fn kernel = table_of(isa).lut32;
  for (const auto* a : {&codes, &tables})
    require(a->ndim() == 1 && (a->size() == 0 || a->strides(0) == 1) && a->size() % 16 == 0,
            "an argument must be 1-D, contiguous and a multiple of 16 bytes");
  require(codes.size() == tables.size(), "codes and tables must be of one size");
  py::array_t<uint32_t> out(32);
  uint32_t* sums = out.mutable_data();
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r)
    kernel(codes.data(), tables.data(), static_cast<size_t>(codes.size()) / 16, sums);
  return out;
}

// Blocks as (n, bytes); the estimates, if they are kept, and which are below the limit.
std::pair<py::array_t<float>, py::array_t<uint32_t>> call_estimate(
    const std::string& isa, const py::array_t<uint8_t>& blocks, const py::array_t<uint8_t>& tables,
    float near, float offset, float step, float limit, bool factors, bool small, bool keep,
    size_t repeat) {
  const auto* data = reinterpret_cast<const uint8_t*>(rows_of(blocks));
  const auto n = blocks.shape(0);
  require(tables.ndim() == 1 && tables.size() % 16 == 0 &&
              blocks.shape(1) == tables.size() + (factors ? 128 : 0),
          "a block must be as long as the tables, and 128 bytes of factors");
  const size_t stride = ld_of(blocks), groups = static_cast<size_t>(tables.size()) / 16;
  const EstimateTerms terms{near, offset, step, factors};
  py::array_t<float> out(keep ? 32 * n : 0);
  py::array_t<uint32_t> below(n);
  float* estimates = keep ? out.mutable_data() : nullptr;
  uint32_t* masks = below.mutable_data();
  const Table& use = table_of(isa);
  {
    py::gil_scoped_release release;
    for (size_t r = 0; r < repeat; ++r)
      (small ? use.estimate_small : use.estimate)(data, stride, static_cast<size_t>(n),
                                                  tables.data(), groups, terms, limit, estimates,
                                                  masks);
  }
  return {out, below};
}

py::array_t<uint8_t> call_lut_tables(const std::string& isa, const py::array_t<float>& q,
                                     float scale, size_t repeat) {
  const LutTablesFn kernel = table_of(isa).lut_tables;
  require(q.ndim() == 1 && q.size() % 4 == 0 && (q.size() == 0 || q.strides(0) == 4),
          "q must be 1-D, contiguous and a multiple of 4 values");
  py::array_t<uint8_t> out(4 * q.size());
  uint8_t* tables = out.mutable_data();
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r)
    kernel(q.data(), scale, static_cast<size_t>(q.size()) / 4, tables);
  return out;
}

std::tuple<py::array_t<uint8_t>, float, float, float, float> call_signs(
    const std::string& isa, const py::array_t<float>& r, const std::optional<py::array_t<float>>& c,
    size_t repeat) {
  const SignsFn kernel = table_of(isa).signs;
  require(r.ndim() == 1 && r.size() % 16 == 0 && (r.size() == 0 || r.strides(0) == 4),
          "r must be 1-D, contiguous and a multiple of 16 values");
  require(!c || (c->size() == r.size() && (c->size() == 0 || c->strides(0) == 4)),
          "c must be as r is");
  py::array_t<uint8_t> bits(r.size() / 8);
  uint8_t* out = bits.mutable_data();
  const float* centre = c ? c->data() : nullptr;
  SignSums sums{};
  {
    py::gil_scoped_release release;
    for (size_t k = 0; k < repeat; ++k)
      sums = kernel(r.data(), centre, static_cast<size_t>(r.size()), out);
  }
  return {bits, sums.size, sums.square, sums.dot, sums.code};
}

// Rows of planes; kernel(base, stride, rows, n, out).
template <class Kernel>
py::array_t<double> call_on_planes(const py::array_t<uint8_t>& codes, size_t bits, size_t m,
                                   const std::optional<Contiguous<uint32_t>>& rows, size_t repeat,
                                   const Kernel& kernel) {
  const std::byte* base = rows_of(codes);
  require(static_cast<size_t>(codes.shape(1)) >= bits * m / 8, "rows are shorter than the planes");
  const auto there = static_cast<size_t>(codes.shape(0));
  if (rows)
    for (py::ssize_t i = 0; i < rows->size(); ++i)
      require(rows->data()[i] < there, "a listed row is not there");
  const size_t n = rows ? static_cast<size_t>(rows->size()) : there;
  py::array_t<double> out(static_cast<py::ssize_t>(n));
  double* sums = out.mutable_data();
  const auto stride = static_cast<size_t>(codes.strides(0));
  const uint32_t* listed = rows ? rows->data() : nullptr;
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(base, stride, listed, n, sums);
  return out;
}

py::array_t<double> call_planes(const std::string& isa, const py::array_t<float>& q,
                                const py::array_t<uint8_t>& codes, size_t bits,
                                const std::optional<Contiguous<uint32_t>>& rows, size_t repeat) {
  const PlanesFn kernel = table_of(isa).planes;
  const auto m = static_cast<size_t>(q.size());
  require(q.ndim() == 1 && m % 16 == 0 && (m == 0 || q.strides(0) == 4),
          "q must be 1-D, contiguous and a multiple of 16 values");
  return call_on_planes(
      codes, bits, m, rows, repeat,
      [&](const std::byte* base, size_t stride, const uint32_t* listed, size_t n, double* sums) {
        kernel(q.data(), base, stride, listed, n, m, bits, sums);
      });
}

// The query as (query_bits, m / 8).
py::array_t<double> call_bit_planes(const std::string& isa, const Contiguous<uint8_t>& query,
                                    const py::array_t<uint8_t>& codes, size_t bits,
                                    const std::optional<Contiguous<uint32_t>>& rows,
                                    size_t repeat) {
  const BitPlanesFn kernel = table_of(isa).bit_planes;
  require(query.ndim() == 2 && query.shape(0) >= 1 && query.shape(0) <= 9,
          "the query must be 1 to 9 planes");
  require(bits <= 8, "rows must be of at most 8 planes");
  const auto m = 8 * static_cast<size_t>(query.shape(1));
  return call_on_planes(
      codes, bits, m, rows, repeat,
      [&](const std::byte* base, size_t stride, const uint32_t* listed, size_t n, double* sums) {
        kernel(reinterpret_cast<const std::byte*>(query.data()),
               static_cast<size_t>(query.shape(0)), base, stride, listed, n, m, bits, sums);
      });
}

// In place, so that the tests choose where `x` lies.
void call_hadamard(const std::string& isa, const std::optional<py::array_t<float>>& factors,
                   py::array_t<float>& x, size_t repeat) {
  const HadamardFn kernel = table_of(isa).hadamard;
  const auto n = static_cast<size_t>(x.size());
  require(n >= 64 && (n & (n - 1)) == 0, "x must have a power of two of values, at least 64");
  require(!factors || factors->size() == x.size(), "there must be as many factors as values");
  require(x.strides(0) == 4 && (!factors || factors->strides(0) == 4),
          "an argument must be contiguous");
  float* values = x.mutable_data();
  const float* by = factors ? factors->data() : nullptr;
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(by, values, n);
}

// Codes, and scale, square and error.
std::tuple<py::array_t<int8_t>, float, float, float> call_quantize(const std::string& isa,
                                                                   const Contiguous<float>& x,
                                                                   const Contiguous<float>& centre,
                                                                   int levels) {
  require(x.ndim() == 1 && x.size() == centre.size(), "x and centre must be 1-D and of one size");
  require(levels >= 1 && levels <= 127, "levels must be 1 to 127");
  py::array_t<int8_t> codes((x.size() + 3) / 4 * 4);
  const Quantized q = table_of(isa).quantize(x.data(), centre.data(), static_cast<size_t>(x.size()),
                                             levels, codes.mutable_data());
  return {codes, q.scale, q.square, q.error};
}

// Rows as (n, 3): scale, size and limit.
py::array_t<uint64_t> call_filter(const std::string& isa, const py::array_t<int8_t>& a,
                                  const Contiguous<float>& rows, const Contiguous<int32_t>& offsets,
                                  const Contiguous<uint8_t>& codes, const Contiguous<float>& scale,
                                  const Contiguous<float>& bias, const Contiguous<float>& error,
                                  size_t repeat) {
  const FilterFn kernel = table_of(isa).filter;
  const int8_t* x = rows_of<int8_t>(a);
  const size_t n = static_cast<size_t>(a.shape(0)), d = static_cast<size_t>(a.shape(1));
  require(d % 4 == 0 && ld_of(a) % 4 == 0, "a must have a multiple of 4 columns");
  require(rows.ndim() == 2 && rows.shape(0) == a.shape(0) && rows.shape(1) == 3 &&
              offsets.size() == a.shape(0),
          "there must be scale, size, limit and offset of each row");
  require(static_cast<size_t>(codes.size()) == 64 * d && scale.size() == 64 && bias.size() == 64 &&
              error.size() == 64,
          "there must be codes, scale, bias and error of 64 rows");
  std::vector<FilterRow> terms;
  for (py::ssize_t i = 0; i < a.shape(0); ++i)
    terms.push_back({rows.at(i, 0), rows.at(i, 1), rows.at(i, 2), offsets.at(i)});
  py::array_t<uint64_t> out(a.shape(0));
  uint64_t* bits = out.mutable_data();
  const FilterBlock block{codes.data(), scale.data(), bias.data(), error.data()};
  const size_t lda = ld_of(a);
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(x, lda, terms.data(), n, block, d, bits);
  return out;
}

// b as (d, 64).
py::array_t<uint64_t> call_filter_f32(const std::string& isa, const py::array_t<float>& a,
                                      const Contiguous<float>& limits, const Contiguous<float>& b,
                                      const Contiguous<float>& bias, size_t repeat) {
  const FilterF32Fn kernel = table_of(isa).filter_f32;
  const float* x = rows_of<float>(a);
  const size_t n = static_cast<size_t>(a.shape(0)), d = static_cast<size_t>(a.shape(1));
  require(limits.size() == a.shape(0), "there must be a limit of each row");
  require(b.size() == 64 * a.shape(1) && bias.size() == 64,
          "there must be values and bias of 64 rows");
  py::array_t<uint64_t> out(a.shape(0));
  uint64_t* bits = out.mutable_data();
  const size_t lda = ld_of(a);
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r)
    kernel(x, lda, limits.data(), n, b.data(), bias.data(), d, bits);
  return out;
}

// base as (n, bytes); the words of the answer.
py::array_t<uint64_t> call_near_bits(const std::string& isa, const Contiguous<uint8_t>& query,
                                     const Contiguous<uint8_t>& base, uint32_t limit,
                                     size_t repeat) {
  const NearBitsFn kernel = table_of(isa).near_bits;
  require(base.ndim() == 2 && query.ndim() == 1 && query.size() == base.shape(1),
          "base must be 2-D and query as long as a row of it");
  const auto n = static_cast<size_t>(base.shape(0)), bytes = static_cast<size_t>(base.shape(1));
  py::array_t<uint64_t> out(static_cast<py::ssize_t>((n + 63) / 64));
  const auto* q = reinterpret_cast<const std::byte*>(query.data());
  const auto* rows = reinterpret_cast<const std::byte*>(base.data());
  uint64_t* bits = out.mutable_data();
  py::gil_scoped_release release;
  for (size_t r = 0; r < repeat; ++r) kernel(q, rows, n, bytes, limit, bits);
  return out;
}

// What is kept of copies of both, and the bound.
std::tuple<py::array_t<float>, py::array_t<uint32_t>, float> call_keep_nearest(
    const std::string& isa, const Contiguous<float>& x, const Contiguous<uint32_t>& beside,
    size_t k) {
  require(x.ndim() == 1 && beside.ndim() == 1 && beside.size() == x.size(),
          "there must be as many distances as numbers beside them");
  const auto n = static_cast<size_t>(x.size());
  require(k >= 1 && k <= n, "k must be from 1 to the number of distances");
  std::vector<float> distances(x.data(), x.data() + n);
  std::vector<uint32_t> numbers(beside.data(), beside.data() + n);
  float bound = 0;
  const size_t kept = table_of(isa).keep_nearest(distances.data(), numbers.data(), n, k, &bound);
  const auto size = static_cast<py::ssize_t>(kept);
  return {py::array_t<float>(size, distances.data()), py::array_t<uint32_t>(size, numbers.data()),
          bound};
}

std::pair<py::array_t<float>, py::array_t<uint32_t>> call_take_marked(
    const std::string& isa, const Contiguous<float>& x, const Contiguous<uint32_t>& masks,
    uint32_t first) {
  require(x.ndim() == 1 && masks.ndim() == 1 && x.size() == 32 * masks.size(),
          "each mask must have 32 distances");
  std::vector<float> distances(static_cast<size_t>(x.size()));
  std::vector<uint32_t> numbers(distances.size());
  const auto n = static_cast<py::ssize_t>(
      table_of(isa).take_marked(x.data(), masks.data(), static_cast<size_t>(masks.size()), first,
                                distances.data(), numbers.data()));
  return {py::array_t<float>(n, distances.data()), py::array_t<uint32_t>(n, numbers.data())};
}

// A copy of x, and the sum.
std::pair<py::array_t<float>, float> call_exps(const std::string& isa, const Contiguous<float>& x,
                                               float shift) {
  py::array_t<float> out(x.size(), x.data());
  const float sum = table_of(isa).exps(out.mutable_data(), static_cast<size_t>(x.size()), shift);
  return {out, sum};
}

// Rows of float32 or float16; out is added to.
void call_weighted_sum(const std::string& isa, const Contiguous<float>& weights,
                       const py::array& base, const std::optional<Contiguous<uint32_t>>& rows,
                       py::array_t<float>& out) {
  const std::byte* data = rows_of(base);
  const auto count = static_cast<size_t>(base.shape(0)), d = static_cast<size_t>(base.shape(1));
  require(base.itemsize() == 4 || base.itemsize() == 2, "base has the wrong item size");
  require(
      out.ndim() == 1 && static_cast<size_t>(out.size()) == d && (d == 0 || out.strides(0) == 4),
      "out must be as long as a row");
  const size_t n = rows ? static_cast<size_t>(rows->size()) : count;
  require(static_cast<size_t>(weights.size()) == n, "there must be a weight of each row");
  for (size_t i = 0; rows && i < n; ++i) require(rows->data()[i] < count, "a row is out of range");
  const Table& use = table_of(isa);
  (base.itemsize() == 4 ? use.weighted_sum_f32 : use.weighted_sum_f16)(
      weights.data(), data, static_cast<size_t>(base.strides(0)), rows ? rows->data() : nullptr, n,
      d, out.mutable_data());
}

}  // namespace

void bind_kernels(py::module_& m) {
  active();  // a wrong SHORTLIST_ISA stops the import, not the first search
  m.def(
      "simd_level", [] { return name_of(level()); },
      "The instruction set in use: 'reference', 'avx2', 'avx512' or 'neon'. The environment "
      "variable SHORTLIST_ISA, read at import, overrides the choice.");
  m.def(
      "simd_levels", [] { return names(runnable()); },
      "The instruction sets this build offers and this machine runs; any of them may be named in "
      "SHORTLIST_ISA.");

  py::module_ k = m.def_submodule("_kernels", "Kernels one by one, for tests and benchmarks.");
  k.attr("rows_ops") = py::tuple(py::cast(kOpNames));
  k.def("compiled", [] { return names(compiled()); });
  k.def("set_level", [](const std::string& isa) { set_level(isa_named(isa)); }, py::arg("isa"));
  k.def("rows", &call_rows, py::arg("isa"), py::arg("op"), py::arg("query"), py::arg("base"),
        py::arg("rows") = py::none(), py::arg("repeat") = 1);
  k.def(
      "dot_f32",
      [](const std::string& isa, const py::array_t<float>& a, const py::array_t<float>& b,
         size_t repeat) { return call_dot(table_of(isa).dot_f32, a, b, repeat); },
      py::arg("isa"), py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("repeat") = 1);
  k.def(
      "dot_s16",
      [](const std::string& isa, const py::array_t<int16_t>& a, const py::array_t<int16_t>& b,
         size_t repeat) { return call_dot(table_of(isa).dot_s16, a, b, repeat); },
      py::arg("isa"), py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("repeat") = 1);
  k.def(
      "widen_f16",
      [](const std::string& isa, const Contiguous<uint16_t>& x) {
        return convert(table_of(isa).widen_f16, x);
      },
      py::arg("isa"), py::arg("x"));
  k.def(
      "narrow_f16",
      [](const std::string& isa, const Contiguous<float>& x) {
        return convert(table_of(isa).narrow_f16, x);
      },
      py::arg("isa"), py::arg("x"));
  k.def("lut32", &call_lut32, py::arg("isa"), py::arg("codes").noconvert(),
        py::arg("table").noconvert(), py::arg("repeat") = 1);
  k.def("estimate", &call_estimate, py::arg("isa"), py::arg("blocks").noconvert(),
        py::arg("table").noconvert(), py::arg("near"), py::arg("offset"), py::arg("step"),
        py::arg("limit"), py::arg("factors") = true, py::arg("small") = false,
        py::arg("keep") = true, py::arg("repeat") = 1);
  k.def("lut_tables", &call_lut_tables, py::arg("isa"), py::arg("q").noconvert(), py::arg("scale"),
        py::arg("repeat") = 1);
  k.def("signs", &call_signs, py::arg("isa"), py::arg("r").noconvert(), py::arg("c").noconvert(),
        py::arg("repeat") = 1);
  k.def("planes", &call_planes, py::arg("isa"), py::arg("q").noconvert(),
        py::arg("codes").noconvert(), py::arg("bits"), py::arg("rows") = py::none(),
        py::arg("repeat") = 1);
  k.def("bit_planes", &call_bit_planes, py::arg("isa"), py::arg("query"),
        py::arg("codes").noconvert(), py::arg("bits"), py::arg("rows") = py::none(),
        py::arg("repeat") = 1);
  k.def("hadamard", &call_hadamard, py::arg("isa"), py::arg("factors").noconvert(),
        py::arg("x").noconvert(), py::arg("repeat") = 1);
  k.def("quantize", &call_quantize, py::arg("isa"), py::arg("x"), py::arg("centre"),
        py::arg("levels"));
  k.def("filter", &call_filter, py::arg("isa"), py::arg("a").noconvert(), py::arg("rows"),
        py::arg("offsets"), py::arg("codes"), py::arg("scale"), py::arg("bias"), py::arg("error"),
        py::arg("repeat") = 1);
  k.def("filter_f32", &call_filter_f32, py::arg("isa"), py::arg("a").noconvert(), py::arg("limits"),
        py::arg("b"), py::arg("bias"), py::arg("repeat") = 1);
  k.def("near_bits", &call_near_bits, py::arg("isa"), py::arg("query"), py::arg("base"),
        py::arg("limit"), py::arg("repeat") = 1);
  k.def("keep_nearest", &call_keep_nearest, py::arg("isa"), py::arg("x"), py::arg("beside"),
        py::arg("k"));
  k.def("take_marked", &call_take_marked, py::arg("isa"), py::arg("x"), py::arg("masks"),
        py::arg("first"));
  k.def("columns", &call_columns, py::arg("isa"), py::arg("family"), py::arg("query"),
        py::arg("columns"), py::arg("repeat") = 1);
  k.def("exps", &call_exps, py::arg("isa"), py::arg("x"), py::arg("shift"));
  k.def("weighted_sum", &call_weighted_sum, py::arg("isa"), py::arg("weights"), py::arg("base"),
        py::arg("rows"), py::arg("out").noconvert());
}

}  // namespace shortlist
