// An iteration of k-means: rows to centroids, and centroids to the means of their rows.
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "group.h"
#include "kernels/launch.h"
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

// starts[c]: how many labels, which ascend, are below c.
__global__ void __launch_bounds__(kLanes)
    starts_kernel(const uint32_t* labels, size_t n, size_t k, uint64_t* starts) {
  const size_t c = size_t{blockIdx.x} * kLanes + threadIdx.x;
  if (c > k) return;
  size_t low = 0, high = n;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (labels[middle] < c)
      low = middle + 1;
    else
      high = middle;
  }
  starts[c] = low;
}

__global__ void __launch_bounds__(kLanes)
    update_kernel(const ShortlistCudaUpdate job, const uint32_t* order, const uint64_t* starts) {
  const Block group;
  update_centroid(group, job, order, starts, blockIdx.x);
}

unsigned blocks_for(size_t n, size_t each) {
  const size_t blocks = (n + each - 1) / each;
  require(blocks < 0x7fffffff, "too many rows or centroids in one call; split them");
  return static_cast<unsigned>(blocks);
}

// How an update divides its room: bytes from its beginning, where the starts are.
struct Room {
  explicit Room(const ShortlistCudaUpdate& job) {
    cuda::check(job);
    check(cub::DeviceRadixSort::SortPairs(nullptr, sorting, static_cast<const uint32_t*>(nullptr),
                                          static_cast<uint32_t*>(nullptr),
                                          static_cast<const uint32_t*>(nullptr),
                                          static_cast<uint32_t*>(nullptr), static_cast<int>(job.n)),
          "asking for room to sort");
    numbers = padded((job.k + 1) * sizeof(uint64_t));
    given = numbers + padded(job.n * sizeof(uint32_t));
    labels = given + padded(job.n * sizeof(uint32_t));
    order = labels + padded(job.n * sizeof(uint32_t));
    temporary = order + padded(job.n * sizeof(uint32_t));
    bytes = temporary + sorting;
  }
  static size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }

  size_t sorting = 0, numbers, given, labels, order, temporary, bytes;
};

}  // namespace

void assign(const ShortlistCudaAssign& job) {
  check(job);
  if (!job.n) return;
  using Tile = Assign<Block>;
  assign_kernel<<<blocks_for(job.n, Tile::kRows), Tile::kLanes, 0,
                  static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "assigning rows to centroids");
}

size_t update_room(const ShortlistCudaUpdate& job) { return Room(job).bytes; }

void update(const ShortlistCudaUpdate& job) {
  if (!job.k) return;
  Room room(job);
  const auto stream = static_cast<cudaStream_t>(job.stream);
  auto* const base = static_cast<unsigned char*>(job.room);
  auto* const starts = reinterpret_cast<uint64_t*>(base);
  auto* const numbers = reinterpret_cast<uint32_t*>(base + room.numbers);
  auto* const given = reinterpret_cast<uint32_t*>(base + room.given);
  auto* const labels = reinterpret_cast<uint32_t*>(base + room.labels);
  auto* const order = reinterpret_cast<uint32_t*>(base + room.order);
  if (job.n) {
    number_kernel<<<blocks_for(job.n, kLanes), kLanes, 0, stream>>>(job, given, numbers);
    check(cudaGetLastError(), "numbering rows");
    // Stable: rows of a label stay in their order.
    check(cub::DeviceRadixSort::SortPairs(base + room.temporary, room.sorting, given, labels,
                                          numbers, order, static_cast<int>(job.n), 0,
                                          std::bit_width(job.k), stream),
          "sorting rows by their labels");
  }
  starts_kernel<<<blocks_for(job.k + 1, kLanes), kLanes, 0, stream>>>(labels, job.n, job.k, starts);
  update_kernel<<<blocks_for(job.k, 1), kLanes, 0, stream>>>(job, order, starts);
  check(cudaGetLastError(), "moving centroids");
}

}  // namespace shortlist::cuda
