// Kernels as functions of the host. Each checks what it is given, puts its work on the stream and
// throws Failed where the runtime says no.
#pragma once

#include <cuda_runtime.h>

#include "checks.h"
#include "plugin.h"

namespace shortlist::cuda {

// Of what the runtime returns.
void check(cudaError_t error, const char* doing);
// What a block of `kernel` may take of shared memory, beyond what it has without asking.
void allow_shared(const void* kernel, size_t bytes);

// How many blocks n things take, `each` of them to one.
unsigned blocks_for(size_t n, size_t each);

size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row);
void store(const ShortlistCudaStore& job);
size_t scan_room(const ShortlistCudaScan& job);
void scan(const ShortlistCudaScan& job);
// The nearest of `parts` parts of the rows, k keys each in the room.
void join(const ShortlistCudaScan& job, size_t parts);
size_t scan_many_room(const ShortlistCudaScan& job);
void scan_many(const ShortlistCudaScan& job);
size_t scan_lists_room(const ShortlistCudaLists& job);
void scan_lists(const ShortlistCudaLists& job);
void tables(const ShortlistCudaTables& job);
void graph(const ShortlistCudaGraph& job);
void prune(const ShortlistCudaPrune& job);
size_t reverse_room(const ShortlistCudaReverse& job);
void reverse(const ShortlistCudaReverse& job);
void certify(const ShortlistCudaCertify& job);
void select(const ShortlistCudaSelect& job);
void rescore(const ShortlistCudaRescore& job);
void max_sim(const ShortlistCudaMaxSim& job);
void assign(const ShortlistCudaAssign& job);
size_t update_room(const ShortlistCudaUpdate& job);
void update(const ShortlistCudaUpdate& job);

}  // namespace shortlist::cuda
