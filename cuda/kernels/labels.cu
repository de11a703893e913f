// Numbers sorted by their labels.
#include "kernels/labels.h"

#include <bit>
#include <cub/device/device_radix_sort.cuh>

namespace shortlist::cuda {
namespace {

constexpr unsigned kLanes = 256;

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

size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

ByLabel::ByLabel(size_t n, size_t k) : n_(n), k_(k) {
  const uint32_t* const from = nullptr;
  uint32_t* const to = nullptr;
  check(cub::DeviceRadixSort::SortPairs(nullptr, sorting_, from, to, from, to, n_),
        "asking for room to sort");
  labels_ = padded((k_ + 1) * sizeof(uint64_t));
  numbers_ = labels_ + padded(n_ * sizeof(uint32_t));
  sorted_ = numbers_ + padded(n_ * sizeof(uint32_t));
  order_ = sorted_ + padded(n_ * sizeof(uint32_t));
  temporary_ = order_ + padded(n_ * sizeof(uint32_t));
  bytes_ = temporary_ + padded(sorting_);
}

void ByLabel::sort(void* room, cudaStream_t stream) const {
  uint32_t* const sorted = at<uint32_t>(room, sorted_);
  size_t sorting = sorting_;
  if (n_) {
    const uint32_t *const given = labels(room), *const named = numbers(room);
    check(
        cub::DeviceRadixSort::SortPairs(at<unsigned char>(room, temporary_), sorting, given, sorted,
                                        named, order(room), n_, 0, std::bit_width(k_), stream),
        "sorting numbers by their labels");
  }
  starts_kernel<<<blocks_for(k_ + 1, kLanes), kLanes, 0, stream>>>(sorted, n_, k_, starts(room));
  check(cudaGetLastError(), "finding where labels begin");
}

}  // namespace shortlist::cuda
