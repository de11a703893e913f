// An iteration of k-means: rows to centroids, and centroids to the means of their rows.
#include "group.h"
#include "kernels/labels.h"
#include "tiles/assign.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;

__global__ void __launch_bounds__(Assign<Block>::kLanes)
    assign_kernel(const ShortlistCudaAssign job) {
  __shared__ Assign<Block>::Shared shared;
  const Block group;
  Assign<Block>::run(group, job, blockIdx.x, shared);
}

__global__ void __launch_bounds__(kLanes)
    number_kernel(const ShortlistCudaUpdate job, uint32_t* labels, uint32_t* numbers) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (i >= job.n) return;
  labels[i] = sorted_label(job, i);
  numbers[i] = static_cast<uint32_t>(i);
}

__global__ void __launch_bounds__(kLanes)
    update_kernel(const ShortlistCudaUpdate job, const uint32_t* order, const uint64_t* starts) {
  const Block group;
  update_centroid(group, job, order, starts, blockIdx.x);
}

}  // namespace

void assign(const ShortlistCudaAssign& job) {
  check(job);
  if (!job.n) return;
  using Tile = Assign<Block>;
  assign_kernel<<<blocks_for(job.n, Tile::kRows), Tile::kLanes, 0,
                  static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "assigning rows to centroids");
}

size_t update_room(const ShortlistCudaUpdate& job) {
  check(job);
  return ByLabel(job.n, job.k).bytes();
}

void update(const ShortlistCudaUpdate& job) {
  check(job);
  if (!job.k) return;
  const ByLabel by_label(job.n, job.k);
  const auto stream = static_cast<cudaStream_t>(job.stream);
  if (job.n) {
    number_kernel<<<blocks_for(job.n, kLanes), kLanes, 0, stream>>>(job, by_label.labels(job.room),
                                                                    by_label.numbers(job.room));
    check(cudaGetLastError(), "numbering rows");
  }
  by_label.sort(job.room, stream);
  update_kernel<<<blocks_for(job.k, 1), kLanes, 0, stream>>>(job, by_label.order(job.room),
                                                             by_label.starts(job.room));
  check(cudaGetLastError(), "moving centroids");
}

}  // namespace shortlist::cuda
