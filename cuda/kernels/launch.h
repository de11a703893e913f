// Kernels as functions of the host. Each checks what it is given, puts its work on the stream and
// throws Failed where the runtime says no.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "plugin.h"

namespace shortlist::cuda {

struct Failed {
  ShortlistCudaResult result;
  std::string why;
};

// Of what the runtime returns.
void check(cudaError_t error, const char* doing);
// Throws a Failed of a bad argument unless ok.
void require(bool ok, const std::string& why);
// What a block of `kernel` may take of shared memory, beyond what it has without asking.
void allow_shared(const void* kernel, size_t bytes);

size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row);
void interleave(cudaStream_t stream, const void* from, size_t n, size_t stride, size_t bytes,
                void* rows, size_t first);
size_t scan_room(const ShortlistCudaScan& scan);
void scan(const ShortlistCudaScan& scan);
void select(cudaStream_t stream, const float* distances, size_t rows_n, size_t n, size_t k,
            float* least, int64_t* numbers);
void rescore(const ShortlistCudaRescore& job);
void max_sim(const ShortlistCudaMaxSim& job);
void assign(const ShortlistCudaAssign& job);
size_t update_room(const ShortlistCudaUpdate& job);
void update(const ShortlistCudaUpdate& job);

}  // namespace shortlist::cuda
