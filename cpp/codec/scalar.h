// Scalar quantisation, with faiss's types, formulas and field names.
#pragma once

#include <vector>

#include "codec/codec.h"

namespace shortlist {

// One number per dimension. The values are faiss's, which its files store:
//   qt_8bit           x ~ vmin_i + (c + 0.5) / 255 * vdiff_i, a range per dimension
//   qt_8bit_uniform   the same with one range for all dimensions; both clip to the trained range
//   qt_6bit, qt_4bit, qt_4bit_uniform   the same with 63 and 15, numbers packed from the lowest bit
//   qt_fp16, qt_bf16  IEEE half; the upper half of a float
//   qt_8bit_direct    the value itself, 0..255; floats are truncated, and wrap modulo 256 as in
//   faiss qt_8bit_direct_signed  the value itself, -128..127 (faiss's bytes are these + 128)
enum class QuantizerType : int {
  qt_8bit = 0,
  qt_4bit = 1,
  qt_8bit_uniform = 2,
  qt_4bit_uniform = 3,
  qt_fp16 = 4,
  qt_8bit_direct = 5,
  qt_6bit = 6,
  qt_bf16 = 7,
  qt_8bit_direct_signed = 8,
};
std::string name_of(QuantizerType t);

// How the range is found from the training values (faiss's RangeStat).
enum class RangeStat : int { minmax = 0, meanstd = 1, quantiles = 2, optim = 3 };

class ScalarQuantizer final : public RowsCodec {
 public:
  ScalarQuantizer(size_t d, QuantizerType qtype);  // throws UnsupportedError for unknown types

  const QuantizerType qtype;
  RangeStat rangestat = RangeStat::minmax;
  float rangestat_arg = 0;
  // faiss's layout: vmin then vdiff, of 1 or d values each; empty for types without a range.
  std::vector<float> trained;

  std::string name() const override { return name_of(qtype); }
  bool same_as(const Codec& other) const override;
  size_t code_size() const override { return (d * bits() + 7) / 8; }
  bool needs_training() const override { return ranges() > 0; }
  bool is_trained() const override { return trained.size() == 2 * ranges(); }
  void train(Matrix<const float> x) override;
  bool stores(DType t) const override;
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  void as_compared(float* q) const override;
  std::unique_ptr<DistanceComputer> distance_computer(Metric metric,
                                                      const CodeStore& store) const override;
  void prepare(const float* q, Metric metric, PreparedQuery& out) const override;
  void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const override;
  void widen(const std::byte* codes, size_t n, int16_t* out) const override;
  bool widen(Matrix<const float> queries, int16_t* out) const override;
  void swap_faiss_form(std::byte* codes, size_t n) const override;

 private:
  size_t bits() const;  // of a value
  // Whether codes have to be unpacked before they can be compared.
  bool is_packed() const { return bits() < 8 || qtype == QuantizerType::qt_bf16; }
  float levels() const { return static_cast<float>((1 << bits()) - 1); }
  // Whether every one of n values is itself a code of this direct type.
  bool is_integral(const float* x, size_t n) const;
  bool is_direct() const {
    return qtype == QuantizerType::qt_8bit_direct || qtype == QuantizerType::qt_8bit_direct_signed;
  }
  size_t ranges() const;
  void prepare_bytes(const void* q, Metric metric, PreparedQuery& out) const;
  void prepare_ranged(const float* q, Metric metric, PreparedQuery& out) const;
  float vmin(size_t i) const { return trained[trained.size() == 2 ? 0 : i]; }
  float vdiff(size_t i) const { return trained[trained.size() == 2 ? 1 : d + i]; }
};

// The quantiser type whose codes are rows of `t` (f16, u8, i8).
QuantizerType quantizer_for(DType t);

}  // namespace shortlist
