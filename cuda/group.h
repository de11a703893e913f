// Threads that run a tile together. A tile is written in steps: `each` runs one step on all lanes
// and ends where a barrier would stand; what a lane keeps between steps is in an Own.
//
// On the device a lane is a thread and an Own its registers. On the host each step runs lane by
// lane, in an order that differs from step to step: a tile that leans on an order within a step
// gives other results there. What lanes share must be read and written within steps: the device has
// no barrier between two of them.
#pragma once

#include <deque>
#include <utility>
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
  // A step without a barrier behind it.
  template <class Step>
  __device__ void apart(const Step& step) const {
    step(threadIdx.x);
  }
  // Adds to what lanes share, within a step; returns what was there.
  __device__ unsigned add(unsigned* shared, unsigned x) const { return atomicAdd(shared, x); }
  // Puts x where `free` is; returns what was there.
  __device__ unsigned put(unsigned* shared, unsigned free, unsigned x) const {
    return atomicCAS(shared, free, x);
  }
  // Of kTeam lanes side by side, to each of them: halves are added, in the same order everywhere.
  template <unsigned kTeam, class T>
  __device__ void sum_teams(Own<T>& own) const {
    for (unsigned apart = kTeam / 2; apart; apart /= 2)
      own[0] += __shfl_xor_sync(~0u, own[0], apart);
  }

  // Copies into shared memory that go on meanwhile: `fetch` begins one (of zeros unless `there`),
  // within a step; `commit` ends a batch of them; arrived<n>() waits for all of this group's
  // batches but the last n, and makes them seen by all.
  __device__ void fetch(Unit* shared, const Unit* from, bool there) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
                 "l"(from), "r"(there ? kUnitBytes : 0)
                 : "memory");
  }
  __device__ void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <unsigned kLast>
  __device__ void arrived() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kLast) : "memory");
    __syncthreads();
  }

  // Matrix products of warps by tensor cores, added to Sums of [kM][kN][4]: kM times 16 rows of one
  // side, kN times 8 of the other, two units deep. a(m, i, row) and b(n, i, row) are where the
  // units are: of eight rows, i the half of the 16 rows plus twice the unit, or just the unit.
  template <class Tensor, unsigned kM, unsigned kN, class Sums, class A, class B>
  __device__ void products(Own<Sums>& sums, const A& a, const B& b) const {
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    uint32_t left[kM][4];
    SL_UNROLL
    for (unsigned m = 0; m < kM; ++m) matrices(left[m], a(warp, m, lane / 8, lane % 8));
    SL_UNROLL
    for (unsigned n = 0; n < kN; n += 2) {
      uint32_t right[4];
      matrices(right, b(warp, n + lane / 16, lane / 8 % 2, lane % 8));
      SL_UNROLL
      for (unsigned m = 0; m < kM; ++m) {
        Tensor::multiply(sums[0].of[m][n], left[m], right);
        Tensor::multiply(sums[0].of[m][n + 1], left[m], right + 2);
      }
    }
  }

 private:
  // Four matrices of 8 rows of 16 bytes: of each, lane l gets word l % 4 of row l / 4.
  __device__ static void matrices(uint32_t (&out)[4], const Unit* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
                 : "memory");
  }
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
  // The larger of both, where others do so too; of what is not negative, and NaN above all.
  __device__ void raise(float* place, float x) const {
    atomicMax(reinterpret_cast<int*>(place),
              __float_as_int(x != x ? __int_as_float(0x7fffffff) : x));
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
  template <class Step>
  void apart(const Step& step) const {
    each(step);
  }
  unsigned add(unsigned* shared, unsigned x) const {
    const unsigned before = *shared;
    *shared += x;
    return before;
  }
  unsigned put(unsigned* shared, unsigned free, unsigned x) const {
    const unsigned before = *shared;
    if (before == free) *shared = x;
    return before;
  }
  template <unsigned kTeam, class T>
  void sum_teams(Own<T>& own) const {
    std::vector<T> x(lanes_);
    for (unsigned apart = kTeam / 2; apart; apart /= 2) {
      for (unsigned i = 0; i < lanes_; ++i) x[i] = own[i] + own[i ^ apart];
      for (unsigned i = 0; i < lanes_; ++i) own[i] = x[i];
    }
  }
  void raise(float* place, float x) const {
    if (!(x <= *place)) *place = x;
  }

  // What was fetched is not there before it has been waited for.
  void fetch(Unit* shared, const Unit* from, bool there) const {
    fetching_.push_back({shared, there ? from : nullptr});
  }
  void commit() const {
    batches_.push_back(std::move(fetching_));
    fetching_.clear();
  }
  template <unsigned kLast>
  void arrived() const {
    for (; batches_.size() > kLast; batches_.pop_front())
      for (const auto& [to, from] : batches_.front()) *to = from ? *from : Unit{};
  }

  template <class Tensor, unsigned kM, unsigned kN, class Sums, class A, class B>
  void products(Own<Sums>& sums, const A& a, const B& b) const {
    for (unsigned warp = 0; warp < lanes_ / 32; ++warp)
      for (unsigned m = 0; m < kM; ++m)
        for (unsigned n = 0; n < kN; ++n)
          for (unsigned lane = 0; lane < 32; ++lane)
            for (unsigned c = 0; c < 4; ++c) {
              // As the PTX manual lays out the sums of mma.m16n8.
              const unsigned left = lane / 4 + 8 * (c / 2), right = 2 * (lane % 4) + c % 2;
              for (unsigned unit = 0; unit < 2; ++unit)
                for (unsigned w = 0; w < 4; ++w)
                  sums[32 * warp + lane].of[m][n][c] +=
                      Tensor::dot(a(warp, m, left / 8 + 2 * unit, left % 8)->word[w],
                                  b(warp, n, unit, right)->word[w]);
            }
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

  struct Fetch {
    Unit* to;
    const Unit* from;
  };

  const unsigned lanes_;  // a power of two
  mutable unsigned turn_;
  mutable std::vector<Fetch> fetching_;
  mutable std::deque<std::vector<Fetch> > batches_;
};

#endif

}  // namespace shortlist::cuda
