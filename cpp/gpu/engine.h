// Who does the plugin's jobs: a GPU through the plugin, or this process through the same source
// compiled for the host, which is how its kernels are tested without a GPU.
#pragma once

#include <cuda/plugin.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "gpu/plugin.h"

namespace shortlist::gpu {

class Engine {
 public:
  virtual ~Engine() = default;

  // Memory where jobs find it, of bytes 0xff at first, which are NaN; freed with the engine.
  virtual void* memory(size_t bytes) = 0;
  virtual void to(void* place, const void* host, size_t bytes) = 0;
  virtual void from(void* host, const void* place, size_t bytes) = 0;
  template <class T>
  T* put(const T* host, size_t n) {
    void* const place = memory(n * sizeof(T));
    to(place, host, n * sizeof(T));
    return static_cast<T*>(place);
  }

  // Jobs whose pointers came from memory(); done when they return.
  virtual void interleave(const void* rows, size_t n, size_t stride, size_t bytes, void* out,
                          size_t first) = 0;
  virtual void scan(ShortlistCudaScan job) = 0;  // brings `room` and the device itself
  virtual void select(const float* distances, size_t rows, size_t n, size_t k, float* least,
                      int64_t* numbers) = 0;
  virtual void rescore(ShortlistCudaRescore job) = 0;
  virtual void max_sim(ShortlistCudaMaxSim job) = 0;
  virtual void assign(ShortlistCudaAssign job) = 0;
  virtual void update(ShortlistCudaUpdate job) = 0;  // brings `room` itself
};

// `lanes` are those of a block, a power of two; `chunks` the parts of a scan; `seed` an order in
// which lanes take their steps.
std::unique_ptr<Engine> host_engine(unsigned lanes, size_t chunks, unsigned seed);
std::unique_ptr<Engine> device_engine(const Plugin& plugin, int device);

// The bytes of a query for rows of so many units, of any kind but planes.
size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row);

}  // namespace shortlist::gpu
