#include "codec/oddint/rabitq.h"

#include <cmath>

#include "kernels/kernels.h"

namespace shortlist {

RabitqFactors rabitq_encode(const float* r, const float* centre, size_t m, Metric metric,
                            uint8_t* bits) {
  const kernels::SignSums s = kernels::active().signs(r, centre, m, bits);
  // <r, v> ~ f * <b - 1/2, v>, exactly so for v = r.
  const float f = s.size > 0 ? 2 * s.square / s.size : 0.f;
  const float at_centre = f * s.code / 2;
  // |r| tan(angle between r and its signs), the spread of the estimate of a random unit v.
  const float excess = static_cast<float>(m) * s.square / s.size * (s.square / s.size) - s.square;
  const float error = excess > 0 ? std::sqrt(excess / static_cast<float>(m - 1)) : 0.f;
  if (metric == Metric::l2) return {s.square + 2 * at_centre, -2 * f, 2 * error};
  return {centre ? at_centre - s.dot : 0.f, -f, error};
}

}  // namespace shortlist
