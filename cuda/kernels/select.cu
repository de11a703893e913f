// The k least of each row of distances, and the sign of distances.
#include "group.h"
#include "kernels/launch.h"
#include "tiles/jobs.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;

__global__ void __launch_bounds__(kLanes) select_kernel(const ShortlistCudaSelect job) {
  extern __shared__ Unit shared[];
  const size_t row = chosen_query(job.chosen, job.chosen_n, job.rows_n, blockIdx.x);
  if (row == job.rows_n) return;
  const Block group;
  select_row(group, job, row, shared);
}

__global__ void __launch_bounds__(kLanes) negate_kernel(float* distances, size_t n) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (i < n) distances[i] = -distances[i];
}

}  // namespace

void negate(cudaStream_t stream, float* distances, size_t n) {
  if (!n) return;
  const size_t blocks = (n + kLanes - 1) / kLanes;
  require(blocks < 0x7fffffff, "too many distances in one call; split them");
  negate_kernel<<<static_cast<unsigned>(blocks), kLanes, 0, stream>>>(distances, n);
  check(cudaGetLastError(), "negating distances");
}

void select(const ShortlistCudaSelect& job) {
  check(job);
  if (!job.rows_n) return;
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(job.k), kLanes);
  select_kernel<<<static_cast<unsigned>(job.rows_n), kLanes, shared,
                  static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "selecting the least");
}

}  // namespace shortlist::cuda
