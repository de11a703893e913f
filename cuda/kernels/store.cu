// Rows into the layout that is scanned.
#include "group.h"
#include "kernels/launch.h"
#include "tiles/store.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;

__global__ void __launch_bounds__(kLanes) store_kernel(const ShortlistCudaStore job, size_t all) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (i < all) store_unit(job, i);
}

__global__ void __launch_bounds__(kLanes) measure_kernel(const ShortlistCudaStore job) {
  const size_t row = size_t{blockIdx.x} * (kLanes / Warp::kLanes) + threadIdx.x / Warp::kLanes;
  if (row < job.n) measure_row(Warp(), job, row);
}

}  // namespace

void store(const ShortlistCudaStore& job) {
  check(job);
  if (!job.n) return;
  const auto stream = static_cast<cudaStream_t>(job.stream);
  const size_t all = job.n * stored_units(job), blocks = (all + kLanes - 1) / kLanes;
  require(blocks < 0x7fffffff, "too many rows in one call; split them");
  store_kernel<<<static_cast<unsigned>(blocks), kLanes, 0, stream>>>(job, all);
  if (measured(job)) {
    constexpr size_t kWarps = kLanes / Warp::kLanes;
    measure_kernel<<<static_cast<unsigned>((job.n + kWarps - 1) / kWarps), kLanes, 0, stream>>>(
        job);
  }
  check(cudaGetLastError(), "storing rows");
}

}  // namespace shortlist::cuda
