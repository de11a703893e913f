#include "codec/oddint/rabitq_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/floats.h"

namespace shortlist {
namespace {

// bfloat16 at most x, so that an estimate with it is no larger.
uint16_t below_bf16(float x) {
  constexpr uint16_t kNan = 0x7fc0;
  if (std::isnan(x)) return kNan;
  const uint16_t nearest = narrow_bf16(x);
  if (!(widen_bf16(nearest) > x)) return nearest;
  return static_cast<uint16_t>(x < 0 ? nearest + 1 : nearest - 1);
}

int checked_bits(int nb_bits) {
  if (nb_bits < 1 || nb_bits > 8)
    throw ArgumentError(text("nb_bits = ", nb_bits, "; it must be from 1 to 8",
                             nb_bits == 9 ? " (faiss's 9 are not available yet)" : ""));
  return nb_bits;
}

}  // namespace

void UnturnedEncoder::turn(const float* x, float* out) const {
  std::fill(std::copy_n(x, d, out), out + padded_dims(d), 0.f);
}

void UnturnedEncoder::turn_back(const float* u, float* out) const { std::copy_n(u, d, out); }

// Of one bit only the rounding of the coarse factors lies between both estimates: that of a factor
// is at most 2^-8 of it, and of <u, q'> at most sqrt(d) / 2 |q'|.
RaBitQCodec::RaBitQCodec(size_t d, int bits, Metric metric)
    : OddIntCodec(std::make_shared<UnturnedEncoder>(d), checked_bits(bits), metric) {
  if (metric == Metric::l2) least = 0;
  if (bits == 1) slack = std::sqrt(static_cast<float>(d)) * 0x1.1p-9f;
}

void RaBitQCodec::set_centres(std::vector<float> of_vectors, std::vector<float> of_queries) {
  OddIntCodec::set_centres(std::move(of_vectors), std::move(of_queries));
  centre_square_ = ordered_dot(centre.data(), centre.data(), d);
}

OddIntCodec::Fine RaBitQCodec::of_signs(const std::byte* at, float centre_square) const {
  Signs signs;
  std::memcpy(&signs, at, sizeof signs);
  const float f = 2 * signs.multiplier / std::sqrt(static_cast<float>(d));
  if (metric == Metric::l2) return {signs.square, -2 * f};
  return {(signs.square + centre_square) / 2, -f};  // -<c, r>, as |x|^2 = |r|^2 + 2 <c, r> + |c|^2
}

OddIntCodec::Fine RaBitQCodec::fine(const std::byte* at, Coarse) const {
  if (bits == 1) return of_signs(at, centre_square_);
  Fine out;
  std::memcpy(&out, at + sign_factors_size(), sizeof out);
  if (metric == Metric::inner_product) out = {-out.add, -out.rescale};  // of the product itself
  return out;
}

float RaBitQCodec::of_centroid(const float* centroid) const {
  if (bits > 1 || metric == Metric::l2) return 0;
  return ordered_dot(centroid, centroid, d) / 2;
}

// What faiss does not have: the coarse factors.
void RaBitQCodec::put_derived(std::byte* code, const float* centroid) const {
  const float square = centroid ? ordered_dot(centroid, centroid, d) : centre_square_;
  const Fine exact = of_signs(code + fine_at(), square);
  const Coarse coarse{below_bf16(exact.add), narrow_bf16(exact.rescale)};
  std::memcpy(code + coarse_at(), &coarse, sizeof coarse);
}

void RaBitQCodec::put_factors(const Encoded& v, std::byte* code) const {
  // One after the other, which gives the bits that faiss gives.
  float square = 0, whole = 0, sizes = 0;
  for (size_t i = 0; i < d; ++i) {
    square += v.r[i] * v.r[i];
    whole += v.x[i] * v.x[i];
    sizes += std::abs(v.r[i]);
  }
  const auto m = static_cast<float>(d);
  const float length = std::sqrt(square), cosine = sizes * (1 / length) * (1 / std::sqrt(m));
  Signs signs{metric == Metric::l2 ? square : square - whole,
              cosine > 0 ? 1 / cosine * length : 0.f};
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  if (!v.found) signs.square = kNan;
  std::byte* at = code + fine_at();
  std::memcpy(at, &signs, sizeof signs);
  if (bits > 1) {
    constexpr float kSpreads = 1.9f;
    // The square of the tangent between r and its signs; in a random direction it is spread evenly.
    const float tangent = std::max(square * m / (sizes * sizes) - 1, 0.f);
    const float error =
        square > 0 ? kSpreads * length * std::sqrt(tangent / std::max(m - 1, 1.f)) : 0;
    const float seen = metric == Metric::l2 ? 2 * error : error;
    std::memcpy(at + sizeof signs, &seen, sizeof seen);
    const float f = encoder->rescale(v.r, v.turned, v.u);
    Fine lower = metric == Metric::l2
                     ? Fine{square, -2 * f}
                     : Fine{ordered_dot(v.centroid ? v.centroid : centre.data(), v.r, d), f};
    if (!v.found) lower.add = kNan;
    std::memcpy(at + sign_factors_size(), &lower, sizeof lower);
  }
  put_derived(code, v.centroid);
}

size_t RaBitQCodec::faiss_size() const { return (d + 7) / 8 + fine_size() + lower_size(); }

void RaBitQCodec::to_faiss(const std::byte* code, std::byte* out) const {
  const size_t signs = (d + 7) / 8, lower = static_cast<size_t>(bits) - 1;
  const std::byte* factors = code + fine_at();
  std::memcpy(out, code, signs);
  std::memcpy(out + signs, factors, sign_factors_size());
  if (bits == 1) return;
  std::byte* at = out + signs + sign_factors_size();
  std::memset(at, 0, lower_size());
  for (size_t i = 0, to = 0; i < d; ++i)
    for (size_t b = 0; b < lower; ++b, ++to) {  // the lowest bit first, which is our last plane
      const std::byte* plane = code + (lower - b) * plane_size();
      at[to / 8] |= (plane[i / 8] >> i % 8 & std::byte{1}) << to % 8;
    }
  std::memcpy(at + lower_size(), factors + sign_factors_size(), sizeof(Fine));
}

void RaBitQCodec::from_faiss(const std::byte* in, std::byte* code, const float* centroid) const {
  const size_t signs = (d + 7) / 8, lower = static_cast<size_t>(bits) - 1;
  std::memset(code, 0, code_size());
  std::memcpy(code, in, signs);
  if (d % 8) code[d / 8] &= std::byte((1 << d % 8) - 1);
  std::memcpy(code + fine_at(), in + signs, sign_factors_size());
  if (bits > 1) {
    const std::byte* at = in + signs + sign_factors_size();
    for (size_t i = 0, from = 0; i < d; ++i)
      for (size_t b = 0; b < lower; ++b, ++from)
        code[(lower - b) * plane_size() + i / 8] |= (at[from / 8] >> from % 8 & std::byte{1})
                                                    << i % 8;
    std::memcpy(code + fine_at() + sign_factors_size(), at + lower_size(), sizeof(Fine));
  }
  put_derived(code, centroid);
}

}  // namespace shortlist
