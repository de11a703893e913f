// The k least of each row of distances.
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

}  // namespace

void select(const ShortlistCudaSelect& job) {
  check(job);
  if (!job.rows_n) return;
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(job.k), kLanes);
  select_kernel<<<static_cast<unsigned>(job.rows_n), kLanes, shared,
                  static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "selecting the least");
}

}  // namespace shortlist::cuda
