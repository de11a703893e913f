#include "codec/lsh.h"

#include <algorithm>

#include "base/error.h"
#include "codec/transform/rotation.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr uint64_t kSeed = 5;

float median(std::vector<float>& x) {
  const auto middle = x.begin() + static_cast<ptrdiff_t>(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  if (x.size() % 2) return *middle;
  return (*middle + *std::max_element(x.begin(), middle)) / 2;
}

}  // namespace

LshCodec::LshCodec(size_t d, size_t nbits, bool rotates, bool trains)
    : RowsCodec(d), nbits(nbits), rotates(rotates), trains(trains), bits_((nbits + 7) / 8) {
  if (d < 1 || d > kMaxDimension)
    throw DimensionError(
        text("dimension d = ", d, " is out of range; choose 1 to ", kMaxDimension));
  if (nbits < 1 || nbits > kMaxDimension)
    throw ArgumentError(text("nbits = ", nbits, "; it must be from 1 to ", kMaxDimension));
  if (!rotates && nbits > d)
    throw ArgumentError(text("nbits = ", nbits, " but vectors have only d = ", d,
                             " values to take the signs of; pass at most d, or rotate_data=True"));
  if (rotates && nbits > kMostMatrix / d)
    throw ArgumentError(text("a rotation of d = ", d, " values to ", nbits,
                             " takes more than a GiB; pass fewer bits, or rotate_data=False"));
}

void LshCodec::draw_rotation() { rotation = random_rotation(d, nbits, kSeed); }

std::shared_ptr<RandomRotationMatrix> LshCodec::copy_of_rotation() const {
  auto copy = std::make_shared<RandomRotationMatrix>(d, nbits);
  copy->have_bias = !bias.empty();
  copy->A = rotation;
  copy->b = bias;
  copy->set_trained(rotates);
  return copy;
}

bool LshCodec::sizes_fit() const {
  const auto fits = [](const std::vector<float>& x, size_t n, bool or_none) {
    return x.size() == n || (or_none && x.empty());
  };
  return fits(rotation, rotates ? nbits * d : 0, false) && fits(bias, rotates ? nbits : 0, true) &&
         fits(thresholds, trains ? nbits : 0, true);
}

bool LshCodec::same_as(const Codec& other) const {
  const auto* that = dynamic_cast<const LshCodec*>(&other);
  return that && that->d == d && that->nbits == nbits && that->rotates == rotates &&
         that->trains == trains && that->rotation == rotation && that->bias == bias &&
         that->thresholds == thresholds;
}

void LshCodec::project(Matrix<const float> x, size_t first, size_t count, float* out) const {
  if (rotates)
    kernels::active().dot_f32(x.data, d, x.rows, rotation.data() + first * d, d, count, d, out,
                              count);
  for (size_t r = 0; r < x.rows; ++r, out += count) {
    if (!rotates) std::copy_n(x.row(r) + first, count, out);
    if (!bias.empty())
      for (size_t i = 0; i < count; ++i) out[i] += bias[first + i];
  }
}

// A few bits of all vectors at a time.
void LshCodec::train(Matrix<const float> x) {
  if (!trains) return;
  if (x.rows == 0) throw ArgumentError("there are no vectors to train on");
  constexpr size_t kBits = 16;
  std::vector<float> found(nbits), y(x.rows * kBits), column(x.rows);
  for (size_t first = 0; first < nbits; first += kBits) {
    poll_interrupt();
    const size_t count = std::min(kBits, nbits - first);
    project(x, first, count, y.data());
    for (size_t i = 0; i < count; ++i) {
      for (size_t r = 0; r < x.rows; ++r) column[r] = y[r * count + i];
      found[first + i] = median(column);
    }
  }
  thresholds = std::move(found);
}

void LshCodec::encode(Matrix<const float> x, std::byte* codes) const {
  constexpr size_t kValues = size_t{1} << 16;  // at a time
  const size_t most = std::max<size_t>(1, kValues / nbits);
  std::vector<float> y(std::min(most, x.rows) * nbits);
  std::fill_n(codes, x.rows * code_size(), std::byte{0});
  for (size_t r = 0; r < x.rows; ++r, codes += code_size()) {
    if (r % most == 0) project(x.slice(r, std::min(r + most, x.rows)), 0, nbits, y.data());
    const float* values = y.data() + r % most * nbits;
    for (size_t i = 0; i < nbits; ++i)
      codes[i / 8] |= std::byte(values[i] >= (trains ? thresholds[i] : 0.f)) << i % 8;
  }
}

void LshCodec::decode(const std::byte* codes, size_t n, float* x) const {
  std::vector<float> y(nbits);
  for (size_t r = 0; r < n; ++r, codes += code_size(), x += d) {
    for (size_t i = 0; i < nbits; ++i) {
      y[i] = static_cast<int>(codes[i / 8]) >> i % 8 & 1 ? 1.f : -1.f;
      if (trains) y[i] += thresholds[i];
      if (!bias.empty()) y[i] -= bias[i];
    }
    std::fill_n(x, d, 0.f);
    if (!rotates) std::copy(y.begin(), y.end(), x);
    for (size_t i = 0; rotates && i < nbits; ++i)
      for (size_t k = 0; k < d; ++k) x[k] += y[i] * rotation[i * d + k];
  }
}

void LshCodec::prepare(const float* q, Metric metric, PreparedQuery& out) const {
  out.own.resize((code_size() + sizeof(float) - 1) / sizeof(float));
  auto* code = reinterpret_cast<std::byte*>(out.own.data());
  encode({q, 1, d}, code);
  prepare_code(code, metric, out);
}

void LshCodec::prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const {
  bits_.prepare_code(code, metric, out);
}

}  // namespace shortlist
