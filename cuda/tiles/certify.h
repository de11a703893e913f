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
  const float length = root(job.squares[q]), most = root(*job.most_square);
  const float off_query = root(job.errors[q]),
              off_row = job.most_error ? root(*job.most_error) : job.row_error * most;
  const float product = off_query * most + (length + off_query) * off_row;
  // Both distances are sums too: of products, or of squares of up to |q| + |x|.
  const float off = job.inner_product
                        ? product + 2 * job.slack * length * most
                        : 2 * product + 2 * job.slack * (length + most) * (length + most);
  if (last == FLT_MAX) return off < FLT_MAX;  // all there are were kept, unless they overflowed
  const float kth = job.exact[q * job.k + job.k - 1];
  const float exact = (job.negate ? -kth : kth) - (job.inner_product ? 0 : job.squares[q]);
  return exact + off < last;
}

}  // namespace shortlist::cuda
