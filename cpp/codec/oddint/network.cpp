#include "codec/oddint/network.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

// out[i * outs + j] = <row i of x, row j of w>.
void multiply(const float* x, size_t n, size_t ins, const std::vector<float>& w, size_t outs,
              float* out) {
  kernels::active().dot_f32(x, ins, n, w.data(), ins, outs, ins, out, outs);
}

void apply(const NetworkEncoder::Map& map, const float* x, size_t n, size_t ins, size_t outs,
           std::vector<float>& y) {
  y.resize(n * outs);
  multiply(x, n, ins, map.skip, outs, y.data());
  std::vector<float> more(n * outs), hidden(n * map.inner_bias.size());
  if (const size_t width = map.inner_bias.size()) {
    multiply(x, n, ins, map.inner, width, hidden.data());
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < width; ++j)
        hidden[i * width + j] = std::max(hidden[i * width + j] + map.inner_bias[j], 0.f);
    multiply(hidden.data(), n, width, map.outer, outs, more.data());
  }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < outs; ++j) y[i * outs + j] += map.bias[j] + more[i * outs + j];
}

void check(size_t got, size_t want, const char* what, size_t map) {
  if (got != want)
    throw ArgumentError(text("map ", map, " of the encoder has ", got, " values in ", what,
                             "; they should be ", want));
}

// The odd integer from -most to most next to v.
float nearest_odd(float v, float most) {
  return std::clamp(2 * std::floor(v / 2) + 1, -most, most);
}

}  // namespace

NetworkEncoder::NetworkEncoder(size_t d, size_t m, int bits, int sweeps, std::vector<float> turns,
                               std::vector<Map> maps)
    : OddIntEncoder(d, m),
      bits(bits),
      sweeps(sweeps),
      turns_(std::move(turns)),
      maps_(std::move(maps)) {
  if (bits < 1 || bits > 8)
    throw ArgumentError(text("bits = ", bits, "; it must be from 1 to 8 for a dimension"));
  constexpr size_t kMostDims = size_t{1} << 14;  // products of all pairs are kept
  if (m > kMostDims)
    throw ArgumentError(
        text("the encoder has ", m, " code dimensions; at most ", kMostDims, " are possible"));
  if (sweeps < 0 || sweeps > 1000)
    throw ArgumentError(text("sweeps = ", sweeps, "; it must be from 0 to 1000"));
  if (turns_.size() != d * m)
    throw ArgumentError(
        text("the query's map has ", turns_.size(), " values; they should be ", m, " x ", d));
  if (maps_.size() != 2 * static_cast<size_t>(bits) - 1)
    throw ArgumentError(
        text("the encoder has ", maps_.size(), " maps; ", bits, " bits need ", 2 * bits - 1));
  for (size_t i = 0; i < maps_.size(); ++i) {
    const Map& map = maps_[i];
    const bool decodes = i % 2 == 1;  // B
    const size_t ins = decodes ? m : d, outs = decodes ? d : m, width = map.inner_bias.size();
    check(map.skip.size(), ins * outs, "skip", i);
    check(map.bias.size(), outs, "bias", i);
    check(map.inner.size(), width * ins, "hidden", i);
    check(map.outer.size(), width * outs, "out", i);
  }
  for (const Map& map : maps_)
    for (const auto* values : {&map.skip, &map.bias, &map.inner, &map.inner_bias, &map.outer})
      if (!finite(values->data(), values->size()))
        throw ArgumentError("the encoder has weights that are NaN or Inf");
  if (!finite(turns_.data(), turns_.size()))
    throw ArgumentError("the query's map has values that are NaN or Inf");
  products_.resize(m * m);
  multiply(turns_.data(), m, d, turns_, m, products_.data());
  for (const float x : turns_) scale_ = std::max(scale_, std::abs(x));
  if (!(scale_ > 0)) scale_ = 1;
  std::vector<float> scaled(turns_);
  for (float& x : scaled) x /= scale_;
  halves_.resize(scaled.size());
  kernels::active().narrow_f16(scaled.data(), scaled.size(), halves_.data());
}

bool NetworkEncoder::same_as(const OddIntEncoder& other) const {
  const auto* that = dynamic_cast<const NetworkEncoder*>(&other);
  const auto equal = [](const Map& a, const Map& b) {
    return a.skip == b.skip && a.bias == b.bias && a.inner == b.inner &&
           a.inner_bias == b.inner_bias && a.outer == b.outer;
  };
  return that && that->bits == bits && that->sweeps == sweeps && that->turns_ == turns_ &&
         std::equal(maps_.begin(), maps_.end(), that->maps_.begin(), that->maps_.end(), equal);
}

void NetworkEncoder::turn(const float* x, float* out) const {
  multiply(x, 1, d, turns_, m, out);
  std::fill(out + m, out + padded_dims(m), 0.f);
}

void NetworkEncoder::turn_query(const float* q, float* out) const {
  kernels::active().rows[kernels::ip_f16](q, reinterpret_cast<const std::byte*>(halves_.data()),
                                          d * sizeof(uint16_t), nullptr, m, d, out);
  for (size_t j = 0; j < m; ++j) out[j] *= scale_;
  std::fill(out + m, out + padded_dims(m), 0.f);
}

void NetworkEncoder::turn_back(const float* u, float* out) const {
  std::fill_n(out, d, 0.f);
  for (size_t j = 0; j < m; ++j) {
    const float* row = turns_.data() + j * d;
    for (size_t i = 0; i < d; ++i) out[i] += u[j] * row[i];
  }
}

void NetworkEncoder::code(const float* x, const float* turned, size_t n, int, uint8_t* c) const {
  std::vector<float> signs, b, decoded, left(n * d);
  apply(maps_[0], x, n, d, m, signs);
  const auto sign = [](float v) { return v >= 0 ? 1.f : -1.f; };
  b.resize(n * m);
  for (size_t i = 0; i < n * m; ++i) b[i] = sign(signs[i]);
  float weight = 1;
  for (size_t u = 1; u < maps_.size(); u += 2) {
    apply(maps_[u], b.data(), n, m, d, decoded);
    for (size_t i = 0; i < n * d; ++i) left[i] = x[i] - decoded[i];
    apply(maps_[u + 1], left.data(), n, d, m, signs);
    weight /= 2;
    for (size_t i = 0; i < n * m; ++i) b[i] += weight * sign(signs[i]);
  }
  const auto half = static_cast<float>(1 << (bits - 1));
  for (size_t i = 0; i < n; ++i) {
    float* o = b.data() + i * m;
    for (size_t j = 0; j < m; ++j) o[j] *= half;
    descend(turned + i * padded_dims(m), o);
    for (size_t j = 0; j < m; ++j) c[i * m + j] = static_cast<uint8_t>((o[j] + 2 * half - 1) / 2);
  }
}

void NetworkEncoder::descend(const float* turned, float* o) const {
  if (sweeps == 0) return;
  const auto most = static_cast<float>((1 << bits) - 1);
  std::vector<float> slope(m);
  multiply(o, 1, m, products_, m, slope.data());
  for (size_t j = 0; j < m; ++j) slope[j] = turned[j] - slope[j];
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (size_t j = 0; j < m; ++j) {
      const float* row = products_.data() + j * m;
      if (!(row[j] > 0)) continue;
      const float better = nearest_odd(o[j] + slope[j] / row[j], most), change = better - o[j];
      if (change == 0) continue;
      for (size_t k = 0; k < m; ++k) slope[k] -= change * row[k];
      o[j] = better;
    }
}

float NetworkEncoder::rescale(const float* x, const float*, const float* u) const {
  std::vector<float> back(d);
  turn_back(u, back.data());
  const float size = ordered_dot(back.data(), back.data(), d);
  return size > 0 ? std::sqrt(ordered_dot(x, x, d) / size) : 0.f;
}

}  // namespace shortlist
