// The k least of each row of distances, and the layout of rows that are scanned.
#include <algorithm>

#include "group.h"
#include "kernels/launch.h"
#include "tiles/jobs.h"

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;

__global__ void __launch_bounds__(kLanes)
    select_kernel(const float* distances, size_t n, size_t k, float* least, int64_t* numbers) {
  extern __shared__ Unit shared[];
  const Block group;
  const size_t row = blockIdx.x;
  Nearest<Block> nearest(group, static_cast<unsigned>(k), shared);
  select(group, distances + row * n, n, nearest);
  write_nearest(group, nearest, k, least + row * k, numbers + row * k);
}

__global__ void __launch_bounds__(kLanes)
    interleave_kernel(const Strided from, size_t n, Unit* to, size_t first) {
  const size_t i = size_t{blockIdx.x} * kLanes + threadIdx.x, units = from.units();
  if (i >= n * units) return;
  to[Interleaved::place(first + i / units, i % units, units)] = from.at(i / units, i % units);
}

}  // namespace

void interleave(cudaStream_t stream, const void* from, size_t n, size_t stride, size_t bytes,
                void* rows, size_t first) {
  if (!n || !bytes) return;
  const Strided source{static_cast<const unsigned char*>(from), stride, bytes};
  const size_t blocks = (n * source.units() + kLanes - 1) / kLanes;
  require(blocks < 0x7fffffff, "too many rows in one call; split them");
  interleave_kernel<<<static_cast<unsigned>(blocks), kLanes, 0, stream>>>(
      source, n, static_cast<Unit*>(rows), first);
  check(cudaGetLastError(), "copying rows");
}

void select(cudaStream_t stream, const float* distances, size_t rows_n, size_t n, size_t k,
            float* least, int64_t* numbers) {
  require(k >= 1 && k <= Nearest<Block>::kMost,
          "k = " + std::to_string(k) + "; it must be from 1 to 2048");
  require(n < 0xffffffffu && rows_n < 0x7fffffff, "more distances than 32 bits can number");
  if (!rows_n) return;
  const size_t shared = Nearest<Block>::bytes(static_cast<unsigned>(k), kLanes);
  select_kernel<<<static_cast<unsigned>(rows_n), kLanes, shared, stream>>>(distances, n, k, least,
                                                                           numbers);
  check(cudaGetLastError(), "selecting the least");
}

}  // namespace shortlist::cuda
