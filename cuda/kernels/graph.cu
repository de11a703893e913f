// Graphs: a query, or a row whose links are chosen, by each block.
#include "group.h"
#include "kernels/launch.h"
#include "tiles/graph.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 128;

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kLanes) graph_kernel(const ShortlistCudaGraph job) {
  extern __shared__ Unit shared[];
  const Block group;
  GraphWalk<kKind, Block>(group, job, blockIdx.x, shared).run();
}

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kLanes) prune_kernel(const ShortlistCudaPrune job) {
  extern __shared__ Unit shared[];
  const Block group;
  prune_row<kKind>(group, job, blockIdx.x, shared);
}

}  // namespace

void graph(const ShortlistCudaGraph& job) {
  check(job);
  if (!job.queries_n) return;
  for_kind(job.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    if constexpr (kOfVectors<kKind>) {
      const size_t shared = GraphWalk<kKind, Block>::shared_bytes(job);
      allow_shared(reinterpret_cast<const void*>(graph_kernel<kKind>), shared);
      graph_kernel<kKind><<<static_cast<unsigned>(job.queries_n), kLanes, shared,
                            static_cast<cudaStream_t>(job.stream)>>>(job);
    }
  });
  check(cudaGetLastError(), "searching a graph");
}

void prune(const ShortlistCudaPrune& job) {
  check(job);
  if (!job.n) return;
  for_kind(job.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    if constexpr (kOfVectors<kKind>) {
      const size_t shared = prune_shared<kKind>(job);
      allow_shared(reinterpret_cast<const void*>(prune_kernel<kKind>), shared);
      prune_kernel<kKind>
          <<<static_cast<unsigned>(job.n), kLanes, shared, static_cast<cudaStream_t>(job.stream)>>>(
              job);
    }
  });
  check(cudaGetLastError(), "choosing links");
}

}  // namespace shortlist::cuda
