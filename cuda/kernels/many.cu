// Many queries by tensor cores: a block multiplies 128 queries with its share of the rows.
#include <algorithm>

#include "group.h"
#include "kernels/launch.h"
#include "tiles/certify.h"
#include "tiles/many.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;
constexpr size_t kPartsAlone = 8;  // of a query that is searched by itself

template <ShortlistCudaKind kKind>
using Tile = Many<kKind, Block>;

// Where part i of the grid's begins.
__device__ unsigned part_of(size_t tiles, unsigned i) {
  return static_cast<unsigned>(tiles * i / gridDim.y);
}

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(Tile<kKind>::kLanes)
    near_kernel(const ShortlistCudaScan job, const Level level, size_t tiles) {
  extern __shared__ Unit shared[];
  if (job.chosen && blockIdx.x * size_t{Tile<kKind>::kQueries} >= *job.chosen_n) return;
  const Block group;
  Tile<kKind> tile(group, job, blockIdx.x, shared);
  tile.keep_near(level, part_of(tiles, blockIdx.y), part_of(tiles, blockIdx.y + 1), Waiting(job));
}

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(Tile<kKind>::kLanes)
    nearest_kernel(const ShortlistCudaScan job, size_t tiles) {
  extern __shared__ Unit shared[];
  if (job.chosen && blockIdx.x * size_t{Tile<kKind>::kQueries} >= *job.chosen_n) return;
  const Block group;
  Tile<kKind> tile(group, job, blockIdx.x, shared);
  tile.keep_nearest(part_of(tiles, blockIdx.y), part_of(tiles, blockIdx.y + 1), blockIdx.y,
                    gridDim.y);
}

__global__ void __launch_bounds__(kLanes) reset_kernel(const ShortlistCudaScan job) {
  const Waiting waiting(job);
  const size_t q = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (q == 0) *waiting.again_n = 0;
  if (q >= job.queries_n) return;
  waiting.counts[q] = 0;
  waiting.bounds[q] = __int_as_float(0x7f800000);
}

__global__ void __launch_bounds__(kLanes) settle_kernel(const ShortlistCudaScan job, bool last) {
  extern __shared__ Unit shared[];
  const size_t q = chosen_query(job.chosen, job.chosen_n, job.queries_n, blockIdx.x);
  if (q == job.queries_n) return;
  const Block group;
  settle_level(group, job, Waiting(job), q, last, shared);
}

template <ShortlistCudaKind kKind>
__global__ void __launch_bounds__(kLanes) alone_kernel(const ShortlistCudaScan job) {
  extern __shared__ Unit shared[];
  const size_t q = chosen_query(job.chosen, job.chosen_n, job.queries_n, blockIdx.y);
  if (q == job.queries_n) return;
  const Block group;
  alone_chunk<kKind>(group, job, q, blockIdx.x, gridDim.x, shared);
}

__global__ void __launch_bounds__(kLanes) certify_kernel(const ShortlistCudaCertify job) {
  const size_t q = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (q < job.queries_n && !certain(job, q))
    job.chosen[atomicAdd(job.chosen_n, 1u)] = static_cast<uint32_t>(q);
}

unsigned processors(int device) {
  int out = 0;
  check(cudaDeviceGetAttribute(&out, cudaDevAttrMultiProcessorCount, device),
        "asking for the number of multiprocessors");
  return static_cast<unsigned>(out);
}

template <ShortlistCudaKind kKind>
dim3 grid_of(const ShortlistCudaScan& job, size_t tiles) {
  const size_t across = (job.queries_n + Tile<kKind>::kQueries - 1) / Tile<kKind>::kQueries;
  // Twice as many blocks as run at a time, so that the last do not wait long for one.
  const size_t parts = std::clamp<size_t>((2 * processors(job.device) + across - 1) / across, 1,
                                          std::max<size_t>(1, tiles));
  return {static_cast<unsigned>(across), static_cast<unsigned>(parts)};
}

template <ShortlistCudaKind kKind>
size_t room_of(const ShortlistCudaScan& job) {
  if (job.k > 1) return Waiting::bytes(job);
  const size_t tiles = (job.n + Tile<kKind>::kRows - 1) / Tile<kKind>::kRows;
  return job.queries_n * grid_of<kKind>(job, tiles).y * sizeof(Key);
}

template <ShortlistCudaKind kKind>
void run(const ShortlistCudaScan& job) {
  const auto stream = static_cast<cudaStream_t>(job.stream);
  const size_t shared = Tile<kKind>::shared_units(job) * kUnitBytes;
  const auto queries = static_cast<unsigned>(job.queries_n);
  if (job.k == 1) {
    const size_t tiles = (job.n + Tile<kKind>::kRows - 1) / Tile<kKind>::kRows;
    allow_shared(reinterpret_cast<const void*>(nearest_kernel<kKind>), shared);
    const dim3 grid = grid_of<kKind>(job, tiles);
    nearest_kernel<kKind><<<grid, Tile<kKind>::kLanes, shared, stream>>>(job, tiles);
    check(cudaGetLastError(), "looking for the nearest");
    join(job, grid.y);
    return;
  }
  const Waiting waiting(job);
  const size_t room = Nearest<Block>::bytes(static_cast<unsigned>(job.k), kLanes);
  reset_kernel<<<(queries + kLanes - 1) / kLanes, kLanes, 0, stream>>>(job);
  allow_shared(reinterpret_cast<const void*>(near_kernel<kKind>), shared);
  const size_t groups = (job.n + Interleaved::kRows - 1) / Interleaved::kRows;
  const size_t first = waiting.first_step(groups);
  for (size_t step = first; step; step /= kLevelFactor) {
    const Level level(groups, step, step == first);
    const size_t tiles = (level.size + Tile<kKind>::kGroups - 1) / Tile<kKind>::kGroups;
    if (tiles)
      near_kernel<kKind>
          <<<grid_of<kKind>(job, tiles), Tile<kKind>::kLanes, shared, stream>>>(job, level, tiles);
    settle_kernel<<<queries, kLanes, room, stream>>>(job, step == 1);
    check(cudaGetLastError(), "looking at a level of the rows");
  }
  ShortlistCudaScan again = job;
  again.chosen = waiting.again;
  again.chosen_n = waiting.again_n;
  const size_t alone = alone_shared<kKind, Block>(job, kLanes);
  allow_shared(reinterpret_cast<const void*>(alone_kernel<kKind>), alone);
  alone_kernel<kKind><<<dim3(kPartsAlone, queries), kLanes, alone, stream>>>(again);
  check(cudaGetLastError(), "searching for queries again");
  join(again, kPartsAlone);
}

template <class Call>
void for_tensors(const ShortlistCudaScan& job, const Call& call) {
  check(job);
  for_kind(job.kind, [&](auto k) {
    if constexpr (decltype(k)::value != SHORTLIST_CUDA_TABLES)
      call(k);
    else
      require(false, "tables are looked up by scan");
  });
}

}  // namespace

size_t scan_many_room(const ShortlistCudaScan& job) {
  size_t out = 0;
  for_tensors(job, [&](auto k) { out = room_of<decltype(k)::value>(job); });
  return out;
}

void scan_many(const ShortlistCudaScan& job) {
  for_tensors(job, [&](auto k) {
    if (job.queries_n) run<decltype(k)::value>(job);
  });
}

void certify(const ShortlistCudaCertify& job) {
  check(job);
  const auto stream = static_cast<cudaStream_t>(job.stream);
  check(cudaMemsetAsync(job.chosen_n, 0, sizeof *job.chosen_n, stream), "clearing a count");
  if (!job.queries_n) return;
  const size_t blocks = (job.queries_n + kLanes - 1) / kLanes;
  certify_kernel<<<static_cast<unsigned>(blocks), kLanes, 0, stream>>>(job);
  check(cudaGetLastError(), "certifying neighbours");
}

}  // namespace shortlist::cuda
