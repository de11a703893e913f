// The table of plugin.h: exceptions become results, and nothing touches a device until it is asked
// for.
#include "plugin.h"

#include <cstdio>
#include <cstring>
#include <new>

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

void require(bool ok, const std::string& why) {
  if (!ok) throw Failed{SHORTLIST_CUDA_BAD_ARGUMENT, why};
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
              std::to_string(most) + " are there; ask for fewer neighbours");
  // The most there is: what one thread asks for must not be less than what another needs.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "asking for shared memory");
}

namespace {

template <class Work>
int guarded(char* why, size_t room, const Work& work) {
  const auto told = [&](ShortlistCudaResult result, const char* what) {
    if (why && room) std::snprintf(why, room, "%s", what);
    return result;
  };
  try {
    work();
    return SHORTLIST_CUDA_OK;
  } catch (const Failed& failed) {
    return told(failed.result, failed.why.c_str());
  } catch (const std::bad_alloc&) {
    return told(SHORTLIST_CUDA_NO_MEMORY, "out of memory");
  } catch (...) {
    return told(SHORTLIST_CUDA_FAILED, "an unknown error");
  }
}

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

int put_interleaved(int device, void* stream, const void* from, size_t n, size_t stride,
                    size_t bytes, void* rows, size_t first, char* why, size_t room) {
  return on_device(device, why, room, [&] {
    interleave(static_cast<cudaStream_t>(stream), from, n, stride, bytes, rows, first);
  });
}

int room_of_scan(const ShortlistCudaScan* job, size_t* bytes, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { *bytes = scan_room(*job); });
}

int run_scan(const ShortlistCudaScan* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { scan(*job); });
}

int run_select(int device, void* stream, const float* distances, size_t rows_n, size_t n, size_t k,
               float* least, int64_t* numbers, char* why, size_t room) {
  return on_device(device, why, room, [&] {
    select(static_cast<cudaStream_t>(stream), distances, rows_n, n, k, least, numbers);
  });
}

int run_rescore(const ShortlistCudaRescore* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { rescore(*job); });
}

int run_max_sim(const ShortlistCudaMaxSim* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { max_sim(*job); });
}

int run_assign(const ShortlistCudaAssign* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { assign(*job); });
}

int room_of_update(const ShortlistCudaUpdate* job, size_t* bytes, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { *bytes = update_room(*job); });
}

int run_update(const ShortlistCudaUpdate* job, char* why, size_t room) {
  return on_device(job->device, why, room, [&] { update(*job); });
}

// What a version of the ABI means: with another layout, SHORTLIST_CUDA_ABI must be another.
static_assert(SHORTLIST_CUDA_ABI == 1 && SHORTLIST_CUDA_PLANES == 11);
static_assert(sizeof(ShortlistCudaDevice) == 160 && sizeof(ShortlistCudaScan) == 168 &&
              sizeof(ShortlistCudaRescore) == 104 && sizeof(ShortlistCudaMaxSim) == 128 &&
              sizeof(ShortlistCudaAssign) == 80 && sizeof(ShortlistCudaUpdate) == 80 &&
              sizeof(ShortlistCuda) == 144);

constexpr ShortlistCuda kTable{SHORTLIST_CUDA_ABI,
                               sizeof(ShortlistCuda),
                               count,
                               versions,
                               describe,
                               allocate,
                               release,
                               copy,
                               synchronize,
                               query_bytes,
                               put_interleaved,
                               room_of_scan,
                               run_scan,
                               run_select,
                               run_rescore,
                               run_max_sim,
                               run_assign,
                               room_of_update,
                               run_update};

}  // namespace
}  // namespace shortlist::cuda

extern "C" __attribute__((visibility("default"))) const ShortlistCuda* shortlist_cuda(
    uint32_t abi) {
  return abi == SHORTLIST_CUDA_ABI ? &shortlist::cuda::kTable : nullptr;
}
