// Vectors of bits, kept as they are and compared by how many of them differ.
#pragma once

#include "codec/codec.h"

namespace shortlist {

// A vector is d bytes, values 0 to 255 where floats stand for it; each holds 8 bits. Their squared
// L2 distance, bit by bit, is the Hamming distance, so the metric is L2; there is no other. Floats
// hold the distances exactly: d is at most 2^20.
class BitCodec final : public RowsCodec {
 public:
  using RowsCodec::RowsCodec;
  std::string name() const override { return "bits"; }
  size_t code_size() const override { return d; }
  bool stores(DType t) const override { return t == DType::u8; }
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  void prepare(const float* q, Metric metric, PreparedQuery& out) const override;
  void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const override;
  bool is_bits() const override { return true; }
};

}  // namespace shortlist
