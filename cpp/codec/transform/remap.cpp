#include "codec/transform/remap.h"

#include <algorithm>

#include "base/error.h"

namespace shortlist {
namespace {

std::vector<int32_t> made(size_t d_in, size_t d_out, bool uniform) {
  std::vector<int32_t> map(std::min(d_out, kMaxDimension), -1);
  for (size_t i = 0; i < std::min(d_in, map.size()); ++i) {
    const size_t to = uniform && d_in < d_out ? i * d_out / d_in : i;
    map[to] = static_cast<int32_t>(uniform && d_out < d_in ? i * d_in / d_out : i);
  }
  return map;
}

}  // namespace

RemapDimensionsTransform::RemapDimensionsTransform(size_t d_in, size_t d_out, bool uniform)
    : RemapDimensionsTransform(d_in, d_out, made(d_in, d_out, uniform)) {}

RemapDimensionsTransform::RemapDimensionsTransform(size_t d_in, size_t d_out,
                                                   std::vector<int32_t> map_)
    : VectorTransform(d_in, d_out), map(std::move(map_)) {
  if (map.size() != d_out)
    throw DimensionError(
        text("the map has ", map.size(), " values; it must have one for each of d_out = ", d_out));
  for (const int32_t from : map)
    if (from < -1 || from >= static_cast<int32_t>(d_in))
      throw ArgumentError(text("the map names dimension ", from,
                               "; they are 0 to d_in - 1 = ", d_in - 1, ", or -1 for zeros"));
}

void RemapDimensionsTransform::do_apply(Matrix<const float> x, float* out) const {
  for (size_t i = 0; i < x.rows; ++i)
    for (const int32_t from : map) *out++ = from < 0 ? 0.f : x.row(i)[from];
}

void RemapDimensionsTransform::do_reverse(Matrix<const float> y, float* out) const {
  std::fill_n(out, y.rows * d_in, 0.f);
  for (size_t i = 0; i < y.rows; ++i)
    for (size_t j = 0; j < d_out; ++j)
      if (map[j] >= 0) out[i * d_in + static_cast<size_t>(map[j])] = y.row(i)[j];
}

bool RemapDimensionsTransform::same_values(const VectorTransform& other) const {
  return dynamic_cast<const RemapDimensionsTransform&>(other).map == map;
}

}  // namespace shortlist
