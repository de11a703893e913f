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
  const Block group;
  scan_chunk<kKind>(group, scan, blockIdx.y, blockIdx.x, gridDim.x, shared);
}

__global__ void __launch_bounds__(kLanes) join_kernel(const ShortlistCudaScan scan, size_t chunks) {
  extern __shared__ Unit shared[];
  const Block group;
  join_chunks(group, scan, blockIdx.x, chunks, shared);
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

void check_scan(const ShortlistCudaScan& scan) {
  require(scan.k >= 1 && scan.k <= Nearest<Block>::kMost,
          "k = " + std::to_string(scan.k) + "; it must be from 1 to 2048");
  require(scan.n < 0xffffffffu, "more rows than 32 bits can number; split them");
  require(scan.queries_n < 65536, "more than 65,535 queries in one call; split them");
  const auto aligned = [](const void* p, size_t to) {
    return reinterpret_cast<uintptr_t>(p) % to == 0;
  };
  require(aligned(scan.rows, kUnitBytes) && aligned(scan.queries, kUnitBytes) &&
              aligned(scan.room, sizeof(Key)),
          "rows and queries must begin at a multiple of 16 bytes, the room at one of 8");
  constexpr size_t kMostByteUnits = 33024 / kUnitBytes;  // whose sums fit 32 bits
  const bool bytes = scan.kind == SHORTLIST_CUDA_L2_U8 || scan.kind == SHORTLIST_CUDA_L2_I8 ||
                     scan.kind == SHORTLIST_CUDA_IP_U8 || scan.kind == SHORTLIST_CUDA_IP_I8;
  require(!bytes || scan.units_per_row <= kMostByteUnits,
          "rows of more than 33,024 bytes; keep them as float16");
  if (scan.kind == SHORTLIST_CUDA_PLANES)
    require(scan.plane >= 1 && scan.plane <= 128 && scan.bits >= 1 && scan.bits <= 8 &&
                scan.query_bits >= 1 && scan.query_bits <= 9 &&
                scan.units_per_row == size_t{scan.plane} * scan.bits,
            "planes do not fit the rows");
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
  if (!scan.queries_n) return 0;
  check_scan(scan);
  return scan.queries_n * chunks_of(scan) * scan.k * sizeof(Key);
}

void scan(const ShortlistCudaScan& scan) {
  if (!scan.queries_n) return;
  check_scan(scan);
  const auto stream = static_cast<cudaStream_t>(scan.stream);
  const size_t chunks = chunks_of(scan);
  const dim3 grid(static_cast<unsigned>(chunks), static_cast<unsigned>(scan.queries_n));
  const bool known = for_kind(scan.kind, [&](auto k) {
    constexpr ShortlistCudaKind kKind = decltype(k)::value;
    const size_t shared = scan_shared<kKind, Block>(scan, kLanes);
    allow_shared(reinterpret_cast<const void*>(scan_kernel<kKind>), shared);
    scan_kernel<kKind><<<grid, kLanes, shared, stream>>>(scan);
  });
  require(known, "kind " + std::to_string(scan.kind) + " is none");
  check(cudaGetLastError(), "starting a scan");
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(scan.k), kLanes);
  join_kernel<<<static_cast<unsigned>(scan.queries_n), kLanes, shared, stream>>>(scan, chunks);
  check(cudaGetLastError(), "joining the parts of a scan");
}

}  // namespace shortlist::cuda
