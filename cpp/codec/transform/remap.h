// faiss's RemapDimensionsTransform: dimensions chosen, repeated, or added as zeros.
#pragma once

#include "codec/transform/transform.h"

namespace shortlist {

// Value i of what comes out is value map[i] of the vector, or zero where that is -1.
class RemapDimensionsTransform final : public VectorTransform {
 public:
  // uniform: dimensions are dropped, or zeros put in, at even distances; else at the end.
  RemapDimensionsTransform(size_t d_in, size_t d_out, bool uniform);
  // Throws ArgumentError unless the map has d_out values from -1 to d_in - 1.
  RemapDimensionsTransform(size_t d_in, size_t d_out, std::vector<int32_t> map);
  std::string class_name() const override { return "RemapDimensionsTransform"; }
  const std::vector<int32_t> map;
  size_t memory() const override { return map.size() * sizeof(int32_t); }

 protected:
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform& other) const override;
};

}  // namespace shortlist
