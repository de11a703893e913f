// The table of plugin.h: exceptions become results, and nothing touches a device until it is asked
// for.
#include "plugin.h"

#include <cstring>

#include "kernels/launch.h"

namespace shortlist::cuda {

void check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // the next call must not report it again
  ShortlistCudaResult result = SHORTLIST_CUDA_FAILED;
  switch (error) {
    case cudaErrorMemoryAllocation:
      result = SHORTLIST_CUDA_NO_MEMORY;
      break;
    case cudaErrorInvalidDevice:
    case cudaErrorInvalidValue:
      result = SHORTLIST_CUDA_BAD_ARGUMENT;
      break;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInitializationError:
    case cudaErrorStubLibrary:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      result = SHORTLIST_CUDA_NO_DEVICE;
      break;
    default:
      break;
  }
  throw Failed{result, std::string(doing) + ": " + cudaGetErrorString(error)};
}

void allow_shared(const void* kernel, size_t bytes) {
  constexpr size_t kWithoutAsking = 48 << 10;
  if (bytes <= kWithoutAsking) return;
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "asking for the device");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "asking for the shared memory");
  require(bytes <= static_cast<size_t>(most),
          "k and the dimensions need " + std::to_string(bytes) + " bytes of shared memory, " +
              std::to_string(most) +
              " are there; ask for fewer neighbours, or make codes of fewer parts");
  // The most there is: what one thread asks for must not be less than what another needs.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "asking for shared memory");
}

unsigned blocks_for(size_t n, size_t each) {
  const size_t blocks = (n + each - 1) / each;
  require(blocks < 0x7fffffff, "too much for one call; split it");
  return static_cast<unsigned>(blocks);
}

namespace {

constexpr int kLeastMajor = 8;  // of the compute capability that kernels are compiled for

// Calls of the runtime go to the device of the thread.
template <class Work>
int on_device(int device, char* why, size_t room, const Work& work) {
  return guarded(why, room, [&] {
    int before = 0;
    check(cudaGetDevice(&before), "asking for the device");
    if (before == device) return work();
    check(cudaSetDevice(device), "choosing the device");
    const struct Back {
      ~Back() {
        if (cudaSetDevice(to) != cudaSuccess) cudaGetLastError();
      }
      int to;
    } back{before};
    work();
  });
}

int count(int* devices, char* why, size_t room) {
  return guarded(why, room, [&] {
    *devices = 0;
    int all = 0;
    check(cudaGetDeviceCount(&all), "looking for a GPU");
    // Numbers must not shift, so those before one that can be used count too.
    for (int device = 0; device < all; ++device) {
      int major = 0;
      check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
            "asking for the compute capability");
      if (major >= kLeastMajor) *devices = device + 1;
    }
    if (all && !*devices) throw Failed{SHORTLIST_CUDA_NO_DEVICE, "every GPU here is too old"};
  });
}

int versions(int* runtime, int* driver, char* why, size_t room) {
  return guarded(why, room, [&] {
    check(cudaRuntimeGetVersion(runtime), "asking for the runtime's version");
    check(cudaDriverGetVersion(driver), "asking for the driver's version");
  });
}

int describe(int device, ShortlistCudaDevice* out, char* why, size_t room) {
  return on_device(device, why, room, [&] {
    cudaDeviceProp found{};
    check(cudaGetDeviceProperties(&found, device), "describing the device");
    *out = {};
    std::memcpy(out->name, found.name, sizeof out->name - 1);
    out->major = found.major;
    out->minor = found.minor;
    out->multiprocessors = found.multiProcessorCount;
    check(cudaMemGetInfo(&out->free, &out->memory), "asking for the device's memory");
  });
}

int allocate(int device, size_t bytes, void** out, char* why, size_t room) {
  return on_device(device, why, room, [&] {
    *out = nullptr;
    const std::string doing = "allocating " + std::to_string(bytes) + " bytes on the GPU";
    check(cudaMalloc(out, bytes), doing.c_str());
  });
}

int release(int device, void* memory, char* why, size_t room) {
  return on_device(device, why, room, [&] { check(cudaFree(memory), "freeing memory"); });
}

int copy(int device, void* to, const void* from, size_t bytes, void* stream, char* why,
         size_t room) {
  return on_device(device, why, room, [&] {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)),
          "copying");
  });
}

int synchronize(int device, void* stream, char* why, size_t room) {
  return on_device(device, why, room, [&] {
    check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "waiting for the GPU");
  });
}

// A function of the table from one of launch.h.
template <class Job, void (*kRun)(const Job&)>
int run(const Job* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { kRun(*job); });
}
template <class Job, size_t (*kRoom)(const Job&)>
int room_of(const Job* job, size_t* bytes, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { *bytes = kRoom(*job); });
}

// What a version of the ABI means: with another layout, SHORTLIST_CUDA_ABI must be another.
static_assert(SHORTLIST_CUDA_ABI == 1 && SHORTLIST_CUDA_TABLES == 12);

constexpr ShortlistCuda kTable{.abi = SHORTLIST_CUDA_ABI,
                               .size = sizeof(ShortlistCuda),
                               .count = count,
                               .versions = versions,
                               .describe = describe,
                               .allocate = allocate,
                               .release = release,
                               .copy = copy,
                               .synchronize = synchronize,
                               .query_bytes = query_bytes,
                               .store = run<ShortlistCudaStore, store>,
                               .scan_room = room_of<ShortlistCudaScan, scan_room>,
                               .scan = run<ShortlistCudaScan, scan>,
                               .scan_many_room = room_of<ShortlistCudaScan, scan_many_room>,
                               .scan_many = run<ShortlistCudaScan, scan_many>,
                               .scan_lists_room = room_of<ShortlistCudaLists, scan_lists_room>,
                               .scan_lists = run<ShortlistCudaLists, scan_lists>,
                               .tables = run<ShortlistCudaTables, tables>,
                               .graph = run<ShortlistCudaGraph, graph>,
                               .prune = run<ShortlistCudaPrune, prune>,
                               .reverse_room = room_of<ShortlistCudaReverse, reverse_room>,
                               .reverse = run<ShortlistCudaReverse, reverse>,
                               .certify = run<ShortlistCudaCertify, certify>,
                               .select = run<ShortlistCudaSelect, select>,
                               .rescore = run<ShortlistCudaRescore, rescore>,
                               .max_sim = run<ShortlistCudaMaxSim, max_sim>,
                               .assign = run<ShortlistCudaAssign, assign>,
                               .update_room = room_of<ShortlistCudaUpdate, update_room>,
                               .update = run<ShortlistCudaUpdate, update>};

}  // namespace
}  // namespace shortlist::cuda

extern "C" __attribute__((visibility("default"))) const ShortlistCuda* shortlist_cuda(
    uint32_t abi) {
  return abi == SHORTLIST_CUDA_ABI ? &shortlist::cuda::kTable : nullptr;
}
