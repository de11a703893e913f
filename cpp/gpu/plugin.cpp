#include "gpu/plugin.h"

#include <dlfcn.h>

#include <utility>

#include "base/error.h"

namespace shortlist::gpu {

Plugin::Plugin(std::string path) : path_(std::move(path)) {
  void* const file = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!file) throw UnsupportedError(text("the CUDA plugin cannot be loaded: ", dlerror()));
  using Entry = const ShortlistCuda* (*)(uint32_t);
  const auto entry = reinterpret_cast<Entry>(dlsym(file, "shortlist_cuda"));
  table_ = entry ? entry(SHORTLIST_CUDA_ABI) : nullptr;
  if (!table_ || table_->abi != SHORTLIST_CUDA_ABI || table_->size < sizeof(ShortlistCuda))
    throw UnsupportedError(text("'", path_, "' is no CUDA plugin of version ", SHORTLIST_CUDA_ABI,
                                "; install the one that was released with this shortlist"));
}

int Plugin::devices() const {
  int out = 0;
  call_table(table_->count, &out);
  if (out < 1) throw UnsupportedError("there is no GPU that this process may use");
  return out;
}

void check(int result, const char* why) {
  switch (result) {
    case SHORTLIST_CUDA_OK:
      return;
    case SHORTLIST_CUDA_NO_DEVICE:
      throw UnsupportedError(text("no GPU can be used: ", why,
                                  "; it takes an NVIDIA GPU of compute capability 8.0 or more and "
                                  "a driver for CUDA 13 (580 or newer)"));
    case SHORTLIST_CUDA_BAD_ARGUMENT:
      throw ArgumentError(why);
    default:
      throw Error(text("the GPU failed: ", why));
  }
}

}  // namespace shortlist::gpu
