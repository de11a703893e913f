#include "codec/scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "codec/decoding.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

using enum QuantizerType;

std::atomic<bool> g_said_wrap{false};

void warn_wrap() {
  warn_once(
      g_said_wrap,
      "values outside 0..255 in an 8bit_direct index wrap modulo 256, as in faiss; use SQ8 or "
      "float32 storage for such data");
}

// Codes whose values have to be unpacked: some at a time, and then compared as floats.
class UnpackingComputer final : public DecodingComputer<UnpackingComputer, std::vector<float>> {
 public:
  UnpackingComputer(const ScalarQuantizer& sq, Metric metric, const CodeStore& store)
      : DecodingComputer(sq, store), sq_(sq), l2_(metric == Metric::l2) {}

  void ready(const float* q, std::vector<float>& query) const { query.assign(q, q + sq_.d); }
  void run(const std::vector<float>& query, const std::byte* base, const slot_t* slots, size_t n,
           float* out) const {
    constexpr size_t kRows = 16;
    const size_t size = sq_.code_size(), d = sq_.d;
    std::vector<float> rows(kRows * d);
    const auto compare = kernels::active().rows[l2_ ? kernels::l2_f32 : kernels::ip_f32];
    for (size_t at = 0; at < n; at += kRows) {
      const size_t some = std::min(kRows, n - at);
      for (size_t i = 0; i < some; ++i)
        sq_.decode(base + (slots ? size_t{slots[at + i]} : at + i) * size, 1, &rows[i * d]);
      compare(query.data(), reinterpret_cast<const std::byte*>(rows.data()), d * sizeof(float),
              nullptr, some, d, out + at);
      for (size_t i = 0; i < some; ++i) out[at + i] = l2_ ? out[at + i] : -out[at + i];
    }
  }

 private:
  const ScalarQuantizer& sq_;
  const bool l2_;
};

constexpr float kTooLargeForHalf = 65520;  // rounds to Inf

uint8_t to_byte(float x) { return static_cast<uint8_t>(static_cast<int64_t>(x)); }

int8_t to_signed(float x) { return static_cast<int8_t>(std::clamp(std::floor(x), -128.f, 127.f)); }

bool inside_byte(const float* x, size_t n) {
  bool inside = true;
  for (size_t i = 0; i < n; ++i) inside &= x[i] >= 0.f && x[i] < 256.f;
  return inside;
}

struct Range {
  float vmin, vdiff;
};

Range find_range(std::vector<float>& values, RangeStat stat, float arg) {
  const size_t n = values.size();
  float lo = 0, hi = 0;
  switch (stat) {
    case RangeStat::minmax: {
      const auto [a, b] = std::minmax_element(values.begin(), values.end());
      const float extra = (*b - *a) * arg;
      lo = *a - extra;
      hi = *b + extra;
      break;
    }
    case RangeStat::meanstd: {
      double sum = 0, squares = 0;
      for (float v : values) {
        sum += v;
        squares += double{v} * v;
      }
      const double mean = sum / static_cast<double>(n);
      const double variance = squares / static_cast<double>(n) - mean * mean;
      const double reach = std::sqrt(std::max(variance, 0.)) * (arg == 0 ? 1.f : arg);
      lo = static_cast<float>(mean - reach);
      hi = static_cast<float>(mean + reach);
      break;
    }
    case RangeStat::quantiles: {
      const auto cut = static_cast<ptrdiff_t>(
          std::min(static_cast<size_t>(arg * static_cast<float>(n)), n - n / 2 - 1));
      const ptrdiff_t top = static_cast<ptrdiff_t>(n) - 1 - cut;
      std::nth_element(values.begin(), values.begin() + cut, values.end());
      lo = values[static_cast<size_t>(cut)];
      std::nth_element(values.begin(), values.begin() + top, values.end());
      hi = values[static_cast<size_t>(top)];
      break;
    }
    case RangeStat::optim:
      throw UnsupportedError(
          "rangestat RS_optim is not available; use RS_minmax, RS_meanstd or RS_quantiles");
  }
  return {lo, hi - lo};
}

}  // namespace

std::string name_of(QuantizerType t) {
  switch (t) {
    case qt_8bit:
      return "SQ8";
    case qt_4bit:
      return "SQ4";
    case qt_8bit_uniform:
      return "SQ8uniform";
    case qt_4bit_uniform:
      return "SQ4uniform";
    case qt_fp16:
      return "SQfp16";
    case qt_8bit_direct:
      return "SQ8_direct";
    case qt_6bit:
      return "SQ6";
    case qt_bf16:
      return "SQbf16";
    case qt_8bit_direct_signed:
      return "SQ8_direct_signed";
  }
  return text("quantizer type ", static_cast<int>(t));
}

QuantizerType quantizer_for(DType t) {
  switch (t) {
    case DType::f16:
      return qt_fp16;
    case DType::u8:
      return qt_8bit_direct;
    case DType::i8:
      return qt_8bit_direct_signed;
    case DType::f32:
      break;
  }
  throw ArgumentError("float32 rows have no scalar quantizer type");
}

ScalarQuantizer::ScalarQuantizer(size_t d, QuantizerType qtype) : RowsCodec(d), qtype(qtype) {
  if (qtype < qt_8bit || qtype > qt_8bit_direct_signed)
    throw UnsupportedError(text("scalar quantizer ", name_of(qtype),
                                " is not available; choose QT_8bit, QT_6bit, QT_4bit, QT_fp16, "
                                "QT_bf16, QT_8bit_direct or another of ScalarQuantizer's"));
}

size_t ScalarQuantizer::bits() const {
  switch (qtype) {
    case qt_4bit:
    case qt_4bit_uniform:
      return 4;
    case qt_6bit:
      return 6;
    case qt_fp16:
    case qt_bf16:
      return 16;
    default:
      return 8;
  }
}

size_t ScalarQuantizer::ranges() const {
  switch (qtype) {
    case qt_8bit:
    case qt_6bit:
    case qt_4bit:
      return d;
    case qt_8bit_uniform:
    case qt_4bit_uniform:
      return 1;
    default:
      return 0;
  }
}

bool ScalarQuantizer::same_as(const Codec& other) const {
  const auto* that = dynamic_cast<const ScalarQuantizer*>(&other);
  return that && that->d == d && that->qtype == qtype && that->trained == trained;
}

bool ScalarQuantizer::stores(DType t) const {
  return (t == DType::f16 && qtype == qt_fp16) || (t == DType::u8 && qtype == qt_8bit_direct) ||
         (t == DType::i8 && qtype == qt_8bit_direct_signed);
}

void ScalarQuantizer::train(Matrix<const float> x) {
  if (!needs_training()) return;
  if (x.rows == 0)
    throw ArgumentError("cannot find the value range of 0 training vectors; pass at least 1");
  if (ranges() == 1) {
    std::vector<float> values(x.data, x.data + x.rows * d);
    const Range r = find_range(values, rangestat, rangestat_arg);
    trained = {r.vmin, r.vdiff};
    return;
  }
  std::vector<float> found(2 * d), column(x.rows);
  for (size_t i = 0; i < d; ++i) {
    for (size_t r = 0; r < x.rows; ++r) column[r] = x.row(r)[i];
    const Range range = find_range(column, rangestat, rangestat_arg);
    found[i] = range.vmin;
    found[d + i] = range.vdiff;
  }
  trained = std::move(found);
}

void ScalarQuantizer::encode(Matrix<const float> x, std::byte* codes) const {
  const size_t n = x.rows * d;
  auto* bytes = reinterpret_cast<uint8_t*>(codes);
  switch (qtype) {
    case qt_fp16:
      for (size_t i = 0; i < n; ++i)
        if (std::abs(x.data[i]) >= kTooLargeForHalf && std::isfinite(x.data[i]))
          throw ArgumentError(text("the value ", x.data[i],
                                   " does not fit in float16 storage (at most 65504); ",
                                   "scale the vectors or use float32"));
      kernels::active().narrow_f16(x.data, n, reinterpret_cast<uint16_t*>(codes));
      break;
    case qt_8bit_direct:
      if (!inside_byte(x.data, n)) warn_wrap();
      std::transform(x.data, x.data + n, bytes, to_byte);
      break;
    case qt_8bit_direct_signed:
      std::transform(x.data, x.data + n, reinterpret_cast<int8_t*>(codes), to_signed);
      break;
    case qt_bf16:  // as faiss rounds: halves go up
      for (size_t i = 0; i < n; ++i) {
        const uint32_t whole = std::bit_cast<uint32_t>(x.data[i]);
        const uint16_t half =
            std::isnan(x.data[i]) ? 0x7fc0 : static_cast<uint16_t>((whole + 0x8000u) >> 16);
        std::memcpy(bytes + 2 * i, &half, sizeof half);
      }
      break;
    default: {
      const size_t size = code_size(), width = bits();
      if (width < 8) std::fill_n(bytes, x.rows * size, uint8_t{0});
      for (size_t r = 0; r < x.rows; ++r, bytes += size)
        for (size_t i = 0; i < d; ++i) {
          const float range = vdiff(i);
          const float unit = range > 0 ? (x.row(r)[i] - vmin(i)) / range : 0.f;
          const auto level = static_cast<unsigned>(levels() * std::clamp(unit, 0.f, 1.f));
          const size_t at = i * width;
          const unsigned shifted = level << at % 8;
          if (width == 8) {
            bytes[i] = static_cast<uint8_t>(level);
          } else {
            bytes[at / 8] |= static_cast<uint8_t>(shifted);
            if (shifted > 0xff) bytes[at / 8 + 1] |= static_cast<uint8_t>(shifted >> 8);
          }
        }
    }
  }
}

void ScalarQuantizer::decode(const std::byte* codes, size_t n, float* x) const {
  const auto* bytes = reinterpret_cast<const uint8_t*>(codes);
  switch (qtype) {
    case qt_fp16:
      kernels::active().widen_f16(reinterpret_cast<const uint16_t*>(codes), n * d, x);
      break;
    case qt_8bit_direct:
      std::copy_n(bytes, n * d, x);
      break;
    case qt_8bit_direct_signed:
      std::copy_n(reinterpret_cast<const int8_t*>(codes), n * d, x);
      break;
    case qt_bf16:
      for (size_t i = 0; i < n * d; ++i) {
        uint16_t half;
        std::memcpy(&half, bytes + 2 * i, sizeof half);
        x[i] = widen_bf16(half);
      }
      break;
    default: {
      const size_t size = code_size(), width = bits();
      for (size_t r = 0; r < n; ++r, bytes += size)
        for (size_t i = 0; i < d; ++i) {
          const size_t at = i * width;
          unsigned level = bytes[at / 8];
          if (at % 8 + width > 8) level |= unsigned{bytes[at / 8 + 1]} << 8;
          level = level >> at % 8 & ((1u << width) - 1);
          x[r * d + i] = vmin(i) + (static_cast<float>(level) + 0.5f) / levels() * vdiff(i);
        }
    }
  }
}

std::unique_ptr<DistanceComputer> ScalarQuantizer::distance_computer(Metric metric,
                                                                     const CodeStore& store) const {
  if (is_packed()) return std::make_unique<UnpackingComputer>(*this, metric, store);
  return RowsCodec::distance_computer(metric, store);
}

bool ScalarQuantizer::is_integral(const float* x, size_t n) const {
  const float least = qtype == qt_8bit_direct ? 0.f : -128.f;
  bool integral = true;
  for (size_t i = 0; i < n; ++i)
    integral &= x[i] >= least && x[i] <= least + 255.f && std::trunc(x[i]) == x[i];
  return integral;
}

void ScalarQuantizer::as_compared(float* q) const {
  if (qtype != qt_8bit_direct || inside_byte(q, d)) return;
  warn_wrap();
  std::transform(q, q + d, q, [](float v) { return static_cast<float>(to_byte(v)); });
}

void ScalarQuantizer::prepare(const float* q, Metric metric, PreparedQuery& out) const {
  const bool l2 = metric == Metric::l2;
  const auto& rows = kernels::active().rows;
  if (!is_direct() && qtype != qt_fp16) return prepare_ranged(q, metric, out);
  out.own.assign(q, q + d);
  as_compared(out.own.data());
  if (is_direct() && is_integral(out.own.data(), d)) {
    // The bytes take the place of the floats they come from; byte i is written after float i is
    // read.
    encode({out.own.data(), 1, d}, reinterpret_cast<std::byte*>(out.own.data()));
    return prepare_bytes(out.own.data(), metric, out);
  }
  out.use_floats();
  out.scale = l2 ? 1.f : -1.f;
  out.bias = 0;
  if (qtype == qt_fp16)
    out.kernel = rows[l2 ? kernels::l2_f16 : kernels::ip_f16];
  else if (qtype == qt_8bit_direct)
    out.kernel = rows[l2 ? kernels::l2_f32u8 : kernels::ip_f32u8];
  else
    out.kernel = rows[l2 ? kernels::l2_f32i8 : kernels::ip_f32i8];
}

// d(q, x) with x = vmin + (c + 0.5) * s, s = vdiff / 255, is a sum over the codes c themselves:
// L2: (a - s * c)^2 with a = q - vmin - s / 2; IP: q * s * c plus a constant.
void ScalarQuantizer::prepare_ranged(const float* q, Metric metric, PreparedQuery& out) const {
  const auto& rows = kernels::active().rows;
  if (metric == Metric::inner_product) {
    out.own.resize(d);
    double constant = 0;
    for (size_t i = 0; i < d; ++i) {
      const float s = vdiff(i) / 255.f;
      out.own[i] = q[i] * s;
      constant += double{q[i]} * (vmin(i) + 0.5f * s);
    }
    out.kernel = rows[kernels::ip_f32u8];
    out.scale = -1;
    out.bias = static_cast<float>(-constant);
  } else if (const float s = vdiff(0) / 255.f; qtype == qt_8bit_uniform && s > 0) {
    out.own.resize(d);
    for (size_t i = 0; i < d; ++i) out.own[i] = (q[i] - vmin(0)) / s - 0.5f;
    out.kernel = rows[kernels::l2_f32u8];
    out.scale = s * s;
    out.bias = 0;
  } else {
    out.own.resize(2 * d);
    for (size_t i = 0; i < d; ++i) {
      const float step = vdiff(i) / 255.f;
      out.own[i] = q[i] - vmin(i) - 0.5f * step;
      out.own[d + i] = step;
    }
    out.kernel = rows[kernels::l2_scaled];
    out.scale = 1;
    out.bias = 0;
  }
  out.use_floats();
}

void ScalarQuantizer::prepare_bytes(const void* q, Metric metric, PreparedQuery& out) const {
  const bool l2 = metric == Metric::l2, is_unsigned = qtype == qt_8bit_direct;
  const auto op =
      is_unsigned ? (l2 ? kernels::l2_u8 : kernels::ip_u8) : (l2 ? kernels::l2_i8 : kernels::ip_i8);
  out.kernel = kernels::active().rows[op];
  out.query = q;
  out.scale = l2 ? 1.f : -1.f;
  out.bias = 0;
}

void ScalarQuantizer::prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const {
  if (is_direct())
    prepare_bytes(code, metric, out);
  else
    RowsCodec::prepare_code(code, metric, out);
}

void ScalarQuantizer::widen(const std::byte* codes, size_t n, int16_t* out) const {
  if (qtype == qt_8bit_direct)
    std::copy_n(reinterpret_cast<const uint8_t*>(codes), n * d, out);
  else
    std::copy_n(reinterpret_cast<const int8_t*>(codes), n * d, out);
}

bool ScalarQuantizer::widen(Matrix<const float> queries, int16_t* out) const {
  const size_t n = queries.rows * queries.cols;
  if (!is_direct() || !is_integral(queries.data, n)) return false;
  std::transform(queries.data, queries.data + n, out,
                 [](float v) { return static_cast<int16_t>(v); });
  return true;
}

void ScalarQuantizer::swap_faiss_form(std::byte* codes, size_t n) const {
  if (qtype != qt_8bit_direct_signed) return;
  for (size_t i = 0; i < n * d; ++i) codes[i] ^= std::byte{0x80};
}

}  // namespace shortlist
