// Whether coarse distances can have hidden a neighbour.
#pragma once

#include <cfloat>

#include "plugin.h"

namespace shortlist::cuda {

SL_HD float root(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_ru(x);
#else
  return __builtin_sqrtf(x) * (1 + 0x1p-23f);
#endif
}

// Whether query q's k nearest of those kept are the k nearest of all.
SL_HD bool certain(const ShortlistCudaCertify& job, size_t q) {
  const float last = job.coarse[q * job.kept + job.kept - 1];
  if (last == FLT_MAX) return true;  // all there are were kept
  const float length = root(job.squares[q]), most = root(*job.most_square);
  const float product = root(job.errors[q]) * most +
                        (length + root(job.errors[q])) * root(*job.most_error) +
                        job.slack * length * most;
  // Distances are the product or twice it away from numbers that are as exact as those compared
  // with: |x|^2, and of L2 |q|^2.
  const float off =
      job.inner_product ? product : 2 * product + job.slack * (length + most) * (length + most);
  const float exact = job.exact[q * job.k + job.k - 1] - (job.inner_product ? 0 : job.squares[q]);
  return exact + off < last;
}

}  // namespace shortlist::cuda
