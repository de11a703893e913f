#include "codec/flat.h"

#include <cstring>

namespace shortlist {

void FlatCodec::encode(Matrix<const float> x, std::byte* codes) const {
  std::memcpy(codes, x.data, x.rows * code_size());
}

void FlatCodec::decode(const std::byte* codes, size_t n, float* x) const {
  std::memcpy(x, codes, n * code_size());
}

void FlatCodec::prepare(const float* q, Metric metric, PreparedQuery& out) const {
  out.own.assign(q, q + d);
  prepare_code(reinterpret_cast<const std::byte*>(out.own.data()), metric, out);
}

void FlatCodec::prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const {
  const auto& k = kernels::active();
  out.query = code;
  out.kernel = k.rows[metric == Metric::l2 ? kernels::l2_f32 : kernels::ip_f32];
  out.scale = metric == Metric::l2 ? 1.f : -1.f;
  out.bias = 0;
}

}  // namespace shortlist
