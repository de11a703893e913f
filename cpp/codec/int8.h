// Vectors as int8 on one grid for all dimensions, compared code with code, in integers: what a
// graph is walked by where its vectors are floats.
#pragma once

#include <span>
#include <vector>

#include "codec/codec.h"

namespace shortlist {

// x ~ centre + step * code. Under L2 the centre is the middle of each dimension's range and a
// query is put on the same grid; under inner product it is 0 and a query has a step of its own.
// Queries that the grid does not hold well are compared as floats.
class Int8Codec final : public RowsCodec {
 public:
  // The grid that holds ranges[0][i] <= x_i <= ranges[1][i] (d columns).
  Int8Codec(Metric metric, Matrix<const float> ranges);

  std::string name() const override { return "int8"; }
  size_t code_size() const override { return d; }
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  void prepare(const float* q, Metric metric, PreparedQuery& out) const override;
  void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const override;

  // Whether every value of the rows is within the grid.
  bool holds(Matrix<const float> x) const;
  // The standard deviation of a distance between codes (L2: not squared) or, for vectors of length
  // 1, of a product, about the true one: both are off by rounding, evenly within a step.
  float blur() const;

 private:
  std::vector<float> centre_;
  float step_ = 1;
};

}  // namespace shortlist
