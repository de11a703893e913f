// Candidates compared again: a warp for each.
#include "group.h"
#include "kernels/launch.h"
#include "tiles/jobs.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kWarps = 4;  // of a block

__device__ size_t warp_number() { return size_t{blockIdx.x} * kWarps + threadIdx.x / Warp::kLanes; }

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kWarps* Warp::kLanes)
    rescore_kernel(const ShortlistCudaRescore job) {
  const size_t c = warp_number();
  if (c >= job.candidates_n) return;
  const Warp group;
  const float distance = rescore_candidate<kKind>(group, job, c);
  group.each([&](unsigned lane) {
    if (lane == 0) job.distances[c] = distance;
  });
}

template <class Type>
__global__ void __launch_bounds__(kWarps* Warp::kLanes)
    max_sim_kernel(const ShortlistCudaMaxSim job) {
  const size_t c = warp_number();
  if (c >= job.candidates_n) return;
  const Warp group;
  const float score = max_sim_candidate<Type>(group, job, c);
  group.each([&](unsigned lane) {
    if (lane == 0) job.scores[c] = score;
  });
}

}  // namespace

void rescore(const ShortlistCudaRescore& job) {
  check(job);
  if (!job.candidates_n) return;
  const unsigned blocks = blocks_for(job.candidates_n, kWarps);
  for_kind(job.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    if constexpr (kOfVectors<kKind>)
      rescore_kernel<kKind>
          <<<blocks, kWarps * Warp::kLanes, 0, static_cast<cudaStream_t>(job.stream)>>>(job);
  });
  check(cudaGetLastError(), "comparing candidates again");
}

void max_sim(const ShortlistCudaMaxSim& job) {
  check(job);
  if (!job.candidates_n) return;
  const unsigned blocks = blocks_for(job.candidates_n, kWarps), threads = kWarps * Warp::kLanes;
  const auto stream = static_cast<cudaStream_t>(job.stream);
  if (job.kind == SHORTLIST_CUDA_IP_F32)
    max_sim_kernel<F32><<<blocks, threads, 0, stream>>>(job);
  else if (job.kind == SHORTLIST_CUDA_IP_F16)
    max_sim_kernel<F16><<<blocks, threads, 0, stream>>>(job);
  else
    max_sim_kernel<BF16><<<blocks, threads, 0, stream>>>(job);
  check(cudaGetLastError(), "scoring documents");
}

}  // namespace shortlist::cuda
