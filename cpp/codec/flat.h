// Vectors kept as they are, in float32.
#pragma once

#include "codec/codec.h"

namespace shortlist {

class FlatCodec final : public RowsCodec {
 public:
  using RowsCodec::RowsCodec;
  std::string name() const override { return "float32"; }
  size_t code_size() const override { return d * sizeof(float); }
  bool stores(DType t) const override { return t == DType::f32; }
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  void prepare(const float* q, Metric metric, PreparedQuery& out) const override;
  void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const override;
};

}  // namespace shortlist
