// Locality-sensitive hashing: of each vector the signs of some projections.
#pragma once

#include "codec/bits.h"
#include "codec/transform/transform.h"

namespace shortlist {

// Bit i is whether y_i >= t_i. y is R x of a random rotation R (plus a bias that faiss's files may
// have), or the first values of x; t is zero, or the medians that training finds. Codes are
// compared by how many of their bits differ.
class LshCodec final : public RowsCodec {
 public:
  // Throws DimensionError for an unusual d, ArgumentError for more bits than values to take the
  // signs of.
  LshCodec(size_t d, size_t nbits, bool rotates, bool trains);

  const size_t nbits;
  const bool rotates, trains;
  std::vector<float> rotation;    // nbits x d by rows; empty unless it rotates
  std::vector<float> bias;        // nbits values, or none
  std::vector<float> thresholds;  // nbits values; empty until trained, and unless it trains

  // Whether these have as many values as they should, for readers of saved indexes.
  bool sizes_fit() const;
  // Draws the rotation: of the rows and columns of the matrix the fewer ones are orthonormal.
  void draw_rotation();
  std::shared_ptr<RandomRotationMatrix> copy_of_rotation() const;  // untrained if there is none

  std::string name() const override { return "lsh"; }
  bool same_as(const Codec& other) const override;
  size_t code_size() const override { return (nbits + 7) / 8; }
  bool is_trained() const override { return !trains || !thresholds.empty(); }
  bool needs_training() const override { return trains; }
  void train(Matrix<const float> x) override;
  void encode(Matrix<const float> x, std::byte* codes) const override;
  // Vectors whose y is t plus or minus one; what R leaves out is zero.
  void decode(const std::byte* codes, size_t n, float* x) const override;
  void prepare(const float* q, Metric metric, PreparedQuery& out) const override;
  void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const override;
  size_t compared_values() const override { return code_size(); }
  bool is_bits() const override { return true; }

 private:
  // y_i of `count` bits from `first` on: out is x.rows by count.
  void project(Matrix<const float> x, size_t first, size_t count, float* out) const;

  const BitCodec bits_;
};

}  // namespace shortlist
