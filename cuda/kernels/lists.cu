// Blocks share out the lists of a query; then what they found is joined. And tables of codes.
#include <algorithm>

#include "group.h"
#include "kernels/launch.h"
#include "tiles/lists.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;
constexpr size_t kLeastRows = 2 * kLanes;  // of a part of a list, and eight times k
// Several times what a multiprocessor has under way, as lists are not of one length.
constexpr size_t kBlocksPerProcessor = 32;

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kLanes) scan_lists_kernel(const ShortlistCudaLists job) {
  extern __shared__ Unit shared[];
  const Block group;
  scan_lists_block<kKind>(group, job, blockIdx.y, blockIdx.x, gridDim.x, shared);
}

__global__ void __launch_bounds__(kLanes)
    join_lists_kernel(const ShortlistCudaLists job, size_t blocks) {
  extern __shared__ Unit shared[];
  const Block group;
  join_lists(group, job, blockIdx.x, blocks, shared);
}

__global__ void __launch_bounds__(Tables::kCodewords) tables_kernel(const ShortlistCudaTables job) {
  const Block group;
  make_tables_of(group, job, blockIdx.y, blockIdx.x);
}

// How long lists are is known on the device alone: parts are for those of the mean length.
size_t blocks_of(const ShortlistCudaLists& job) {
  int processors = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, job.device),
        "asking for the number of multiprocessors");
  const size_t wanted = kBlocksPerProcessor * static_cast<size_t>(processors);
  const size_t by_queries = (wanted + job.queries_n - 1) / job.queries_n;
  const size_t mean = job.n / std::max<size_t>(1, job.lists_n);
  const size_t parts = std::max<size_t>(1, mean / std::max(kLeastRows, 8 * job.k));
  return std::clamp<size_t>(by_queries, 1, job.nprobe * parts);
}

}  // namespace

size_t scan_lists_room(const ShortlistCudaLists& job) {
  check(job);
  return job.queries_n ? job.queries_n * blocks_of(job) * job.k * sizeof(Key) : 0;
}

void scan_lists(const ShortlistCudaLists& job) {
  check(job);
  if (!job.queries_n) return;
  const size_t blocks = blocks_of(job);
  const auto stream = static_cast<cudaStream_t>(job.stream);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(job.queries_n));
  for_kind(job.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    if constexpr (kKind != SHORTLIST_CUDA_PLANES) {
      const size_t shared = lists_shared<kKind, Block>(job, kLanes);
      allow_shared(reinterpret_cast<const void*>(scan_lists_kernel<kKind>), shared);
      scan_lists_kernel<kKind><<<grid, kLanes, shared, stream>>>(job);
    }
  });
  check(cudaGetLastError(), "starting a scan of lists");
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(job.k), kLanes);
  join_lists_kernel<<<static_cast<unsigned>(job.queries_n), kLanes, shared, stream>>>(job, blocks);
  check(cudaGetLastError(), "joining what was found in lists");
}

void tables(const ShortlistCudaTables& job) {
  check(job);
  if (!job.queries_n) return;
  const dim3 grid(static_cast<unsigned>(units_of_codes(job.m)),
                  static_cast<unsigned>(job.queries_n));
  tables_kernel<<<grid, Tables::kCodewords, 0, static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "making tables");
}

}  // namespace shortlist::cuda
