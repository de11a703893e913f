// The one-bit code of RaBitQ: Gao and Long 2024, arXiv 2405.12497.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace shortlist {

// A vector o near a centre c is kept as the signs b of r = R(o - c), R a rotation, and these. With
// q' = Rq, t = <b - 1/2, q'>, and near = |q - c|^2 for L2, -<q, c> for inner products:
//   distance(q, o) ~ near + add + rescale * t
// is unbiased over R, and its spread is at most error * |q - c|.
struct RabitqFactors {
  float add, rescale, error;
};

// The paper's bound is this many spreads. The errors are about normal: of 100 vectors 3 are nearer
// than the estimate less the bound, and 3 farther than the estimate plus it.
inline constexpr float kRabitqEpsilon = 1.9f;

// Encodes r, m floats with m a multiple of 64, as m / 8 bytes: bit i of byte k is dimension 8k + i.
// `centre` is Rc. Without it (null) c is taken for zero; inner products may leave it out for any c,
// and have add = 0 and a spread of error * |q|.
RabitqFactors rabitq_encode(const float* r, const float* centre, size_t m, Metric metric,
                            uint8_t* bits);

}  // namespace shortlist
