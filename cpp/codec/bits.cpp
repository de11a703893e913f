#include "codec/bits.h"

#include <algorithm>

namespace shortlist {

void BitCodec::encode(Matrix<const float> x, std::byte* codes) const {
  std::transform(x.data, x.data + x.rows * d, reinterpret_cast<uint8_t*>(codes),
                 [](float v) { return static_cast<uint8_t>(v > 0 ? std::min(v, 255.f) : 0.f); });
}

void BitCodec::decode(const std::byte* codes, size_t n, float* x) const {
  std::copy_n(reinterpret_cast<const uint8_t*>(codes), n * d, x);
}

void BitCodec::prepare(const float* q, Metric metric, PreparedQuery& out) const {
  out.own.resize((d + sizeof(float) - 1) / sizeof(float));
  auto* code = reinterpret_cast<std::byte*>(out.own.data());
  encode({q, 1, d}, code);
  prepare_code(code, metric, out);
}

void BitCodec::prepare_code(const std::byte* code, Metric, PreparedQuery& out) const {
  out.kernel = kernels::active().rows[kernels::hamming_bits];
  out.query = code;
  out.scale = 1;
  out.bias = 0;
}

}  // namespace shortlist
