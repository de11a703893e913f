#include "codec/int8.h"

#include <algorithm>
#include <cmath>

namespace shortlist {
namespace {

constexpr float kMost = 127;
// A query whose rounding moves it by more than this part of its length is compared as floats.
constexpr float kRounded = 0.02f;

// (x - centre) / step of n values; whether int8 holds all of them.
bool to_grid(const float* x, const float* centre, float per_step, size_t n, float* out) {
  float most = 0;
  for (size_t i = 0; i < n; ++i) {
    out[i] = (x[i] - centre[i]) * per_step;
    most = std::max(most, std::abs(out[i]));
  }
  return most <= kMost + 0.5f;
}

void round(const float* x, size_t n, int8_t* codes) {
  for (size_t i = 0; i < n; ++i)
    codes[i] =
        static_cast<int8_t>(static_cast<int32_t>(std::nearbyint(std::clamp(x[i], -kMost, kMost))));
}

}  // namespace

Int8Codec::Int8Codec(Metric metric, Matrix<const float> ranges)
    : RowsCodec(ranges.cols), centre_(ranges.cols) {
  float reach = 0;
  for (size_t i = 0; i < d; ++i) {
    const float lo = ranges.row(0)[i], hi = ranges.row(1)[i];
    if (metric == Metric::l2) centre_[i] = lo + (hi - lo) / 2;
    reach = std::max({reach, hi - centre_[i], centre_[i] - lo});
  }
  if (reach > 0) step_ = reach / kMost;
}

bool Int8Codec::holds(Matrix<const float> x) const {
  std::vector<float> on_grid(d);
  for (size_t r = 0; r < x.rows; ++r)
    if (!to_grid(x.row(r), centre_.data(), 1 / step_, d, on_grid.data())) return false;
  return true;
}

float Int8Codec::blur() const { return step_ / std::sqrt(6.f); }

void Int8Codec::encode(Matrix<const float> x, std::byte* codes) const {
  std::vector<float> on_grid(d);
  for (size_t r = 0; r < x.rows; ++r) {
    to_grid(x.row(r), centre_.data(), 1 / step_, d, on_grid.data());
    round(on_grid.data(), d, reinterpret_cast<int8_t*>(codes) + r * d);
  }
}

void Int8Codec::decode(const std::byte* codes, size_t n, float* x) const {
  const auto* values = reinterpret_cast<const int8_t*>(codes);
  for (size_t r = 0; r < n; ++r)
    for (size_t i = 0; i < d; ++i) x[r * d + i] = centre_[i] + step_ * values[r * d + i];
}

void Int8Codec::prepare(const float* q, Metric metric, PreparedQuery& out) const {
  const auto& rows = kernels::active().rows;
  out.own.resize(2 * d);
  out.bias = 0;
  auto* codes = reinterpret_cast<int8_t*>(out.own.data() + d);
  bool rounded;
  if (metric == Metric::l2) {
    rounded = to_grid(q, centre_.data(), 1 / step_, d, out.own.data());
    out.scale = step_ * step_;
  } else {
    float most = 0, square = 0;
    for (size_t i = 0; i < d; ++i) {
      most = std::max(most, std::abs(q[i]));
      square += q[i] * q[i];
    }
    const float step = most > 0 ? most / kMost : 1;
    for (size_t i = 0; i < d; ++i) out.own[i] = q[i] / step;
    rounded = step * step / 12 * static_cast<float>(d) <= kRounded * kRounded * square;
    out.scale = -step_ * step;
  }
  if (rounded) round(out.own.data(), d, codes);
  out.query = rounded ? static_cast<const void*>(codes) : out.own.data();
  out.kernel = rows[metric == Metric::l2 ? (rounded ? kernels::l2_i8 : kernels::l2_f32i8)
                                         : (rounded ? kernels::ip_i8 : kernels::ip_f32i8)];
}

void Int8Codec::prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const {
  out.kernel = kernels::active().rows[metric == Metric::l2 ? kernels::l2_i8 : kernels::ip_i8];
  out.query = code;
  out.scale = metric == Metric::l2 ? step_ * step_ : -step_ * step_;
  out.bias = 0;
}

}  // namespace shortlist
