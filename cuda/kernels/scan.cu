// One query a block, over a part of the rows; then the parts of each query are joined.
#include <algorithm>

#include "group.h"
#include "kernels/launch.h"
#include "tiles/jobs.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;
constexpr size_t kLeastRows = 8 * kLanes;  // of a part, and so many times k
constexpr size_t kBlocksPerProcessor = 8;  // that a multiprocessor has under way

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kLanes) scan_kernel(const ShortlistCudaScan scan) {
  extern __shared__ Unit shared[];
  const size_t q = chosen_query(scan.chosen, scan.chosen_n, scan.queries_n, blockIdx.y);
  if (q == scan.queries_n) return;
  const Block group;
  scan_chunk<kKind>(group, scan, q, blockIdx.x, gridDim.x, shared);
}

__global__ void __launch_bounds__(kLanes) join_kernel(const ShortlistCudaScan scan, size_t chunks) {
  extern __shared__ Unit shared[];
  const size_t q = chosen_query(scan.chosen, scan.chosen_n, scan.queries_n, blockIdx.x);
  if (q == scan.queries_n) return;
  const Block group;
  join_chunks(group, scan, q, chunks, shared);
}

size_t chunks_of(const ShortlistCudaScan& scan) {
  int processors = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, scan.device),
        "asking for the number of multiprocessors");
  const size_t wanted = kBlocksPerProcessor * static_cast<size_t>(processors);
  const size_t by_queries = (wanted + scan.queries_n - 1) / scan.queries_n;
  return std::clamp<size_t>(by_queries, 1,
                            std::max<size_t>(1, scan.n / std::max(kLeastRows, 8 * scan.k)));
}

}  // namespace

size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row) {
  ShortlistCudaScan scan{};
  scan.units_per_row = units_per_row;
  size_t out = 0;
  for_kind(kind, [&](auto k) { out = query_bytes<decltype(k)::value>(scan); });
  return out;
}

size_t scan_room(const ShortlistCudaScan& scan) {
  check(scan);
  return scan.queries_n ? scan.queries_n * chunks_of(scan) * scan.k * sizeof(Key) : 0;
}

void join(const ShortlistCudaScan& scan, size_t parts) {
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(scan.k), kLanes);
  join_kernel<<<static_cast<unsigned>(scan.queries_n), kLanes, shared,
                static_cast<cudaStream_t>(scan.stream)>>>(scan, parts);
  check(cudaGetLastError(), "joining the parts of a scan");
}

void scan(const ShortlistCudaScan& scan) {
  check(scan);
  if (!scan.queries_n) return;
  const size_t chunks = chunks_of(scan);
  const dim3 grid(static_cast<unsigned>(chunks), static_cast<unsigned>(scan.queries_n));
  for_kind(scan.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    const size_t shared = scan_shared<kKind, Block>(scan, kLanes);
    allow_shared(reinterpret_cast<const void*>(scan_kernel<kKind>), shared);
    scan_kernel<kKind><<<grid, kLanes, shared, static_cast<cudaStream_t>(scan.stream)>>>(scan);
  });
  check(cudaGetLastError(), "starting a scan");
  join(scan, chunks);
}

}  // namespace shortlist::cuda
