// Graphs: a query, or a row whose links are chosen, by each block.
#include "group.h"
#include "kernels/labels.h"
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

__global__ void __launch_bounds__(kLanes)
    links_kernel(const ShortlistCudaReverse job, uint32_t* to, uint32_t* from) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (i >= job.n * job.degree) return;
  const Link link(job, i);
  from[i] = link.from;
  to[i] = link.to;
}

__global__ void __launch_bounds__(kLanes)
    both_ways_kernel(const ShortlistCudaReverse job, const uint64_t* starts,
                     const uint32_t* sources) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (i < job.n * (job.degree + job.most)) job.candidates[i] = both_ways(job, starts, sources, i);
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

size_t reverse_room(const ShortlistCudaReverse& job) {
  check(job);
  return ByLabel(job.n * job.degree, job.n).bytes();
}

void reverse(const ShortlistCudaReverse& job) {
  check(job);
  if (!job.n) return;
  const size_t links = job.n * job.degree;
  const ByLabel by_label(links, job.n);
  const auto stream = static_cast<cudaStream_t>(job.stream);
  links_kernel<<<blocks_for(links, kLanes), kLanes, 0, stream>>>(job, by_label.labels(job.room),
                                                                 by_label.numbers(job.room));
  check(cudaGetLastError(), "listing links");
  by_label.sort(job.room, stream);
  both_ways_kernel<<<blocks_for(job.n * (job.degree + job.most), kLanes), kLanes, 0, stream>>>(
      job, by_label.starts(job.room), by_label.order(job.room));
  check(cudaGetLastError(), "turning links round");
}

}  // namespace shortlist::cuda
