// Numbers in the order of their labels, and where those of each label begin.
#pragma once

#include "kernels/launch.h"

namespace shortlist::cuda {

// How a room is divided for n numbers with labels up to k, of which those below k count.
class ByLabel {
 public:
  ByLabel(size_t n, size_t k);
  size_t bytes() const { return bytes_; }

  // Places in the room: labels and numbers are brought; order and starts, k + 1, come of sort.
  uint32_t* labels(void* room) const { return at<uint32_t>(room, labels_); }
  uint32_t* numbers(void* room) const { return at<uint32_t>(room, numbers_); }
  uint32_t* order(void* room) const { return at<uint32_t>(room, order_); }
  uint64_t* starts(void* room) const { return at<uint64_t>(room, 0); }
  // Stable: numbers of a label stay in their order.
  void sort(void* room, cudaStream_t stream) const;

 private:
  template <class T>
  static T* at(void* room, size_t offset) {
    return reinterpret_cast<T*>(static_cast<unsigned char*>(room) + offset);
  }

  const size_t n_, k_;
  size_t sorting_ = 0, labels_, numbers_, sorted_, order_, temporary_, bytes_;
};

}  // namespace shortlist::cuda
