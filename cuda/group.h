// Threads that run a tile together. A tile is written in steps: `each` runs one step on all lanes
// and ends where a barrier would stand; what a lane keeps between steps is in an Own.
//
// On the device a lane is a thread and an Own its registers. On the host each step runs lane by
// lane, in an order that differs from step to step: a tile that leans on an order within a step
// gives other results there. What lanes share must be read and written within steps: the device has
// no barrier between two of them.
#pragma once

#include <vector>

#include "host_device.h"

namespace shortlist::cuda {

#ifdef __CUDACC__

// The threads of a block.
class Block {
 public:
  template <class T>
  class Own {
   public:
    template <class Group>
    __device__ explicit Own(const Group&) {}
    __device__ T& operator[](unsigned) { return value_; }

   private:
    T value_{};
  };

  __device__ unsigned lanes() const { return blockDim.x; }
  template <class Step>
  __device__ void each(const Step& step) const {
    step(threadIdx.x);
    __syncthreads();
  }
  // Adds to what lanes share, within a step; returns what was there.
  __device__ unsigned add(unsigned* shared, unsigned x) const { return atomicAdd(shared, x); }
};

// The threads of a warp, of which a block may have several.
class Warp {
 public:
  template <class T>
  using Own = Block::Own<T>;

  static constexpr unsigned kLanes = 32;
  __device__ unsigned lanes() const { return kLanes; }
  template <class Step>
  __device__ void each(const Step& step) const {
    step(threadIdx.x % kLanes);
    __syncwarp();
  }
  // Of all lanes, to all of them: halves are added, in the same order everywhere.
  template <class T>
  __device__ T sum(Own<T>& own) const {
    T x = own[0];
    for (unsigned apart = kLanes / 2; apart; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
    return x;
  }
  template <class T>
  __device__ T most(Own<T>& own) const {
    T x = own[0];
    for (unsigned apart = kLanes / 2; apart; apart /= 2) {
      const T other = __shfl_xor_sync(~0u, x, apart);
      x = other > x ? other : x;
    }
    return x;
  }
};

#else

class HostGroup {
 public:
  template <class T>
  class Own {
   public:
    explicit Own(const HostGroup& group) : values_(group.lanes_) {}
    T& operator[](unsigned lane) { return values_[lane]; }

   private:
    std::vector<T> values_;
  };

  explicit HostGroup(unsigned lanes, unsigned seed = 0) : lanes_(lanes), turn_(seed) {}
  unsigned lanes() const { return lanes_; }
  template <class Step>
  void each(const Step& step) const {
    // Odd strides go through all lanes, as there are a power of two.
    const unsigned first = turn_ * 7u, stride = 2 * (turn_ % 16) + 1;
    ++turn_;
    for (unsigned i = 0; i < lanes_; ++i) step((first + i * stride) % lanes_);
  }
  unsigned add(unsigned* shared, unsigned x) const {
    const unsigned before = *shared;
    *shared += x;
    return before;
  }
  template <class T>
  T sum(Own<T>& own) const {
    return halved(own, [](T a, T b) { return a + b; });
  }
  template <class T>
  T most(Own<T>& own) const {
    return halved(own, [](T a, T b) { return b > a ? b : a; });
  }

 private:
  template <class T, class Join>
  T halved(Own<T>& own, const Join& join) const {
    std::vector<T> x(lanes_), next(lanes_);
    for (unsigned i = 0; i < lanes_; ++i) x[i] = own[i];
    for (unsigned apart = lanes_ / 2; apart; apart /= 2) {
      for (unsigned i = 0; i < lanes_; ++i) next[i] = join(x[i], x[i ^ apart]);
      x.swap(next);
    }
    return x[0];
  }

  const unsigned lanes_;  // a power of two
  mutable unsigned turn_;
};

#endif

}  // namespace shortlist::cuda
