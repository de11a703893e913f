// Who does the plugin's jobs: a GPU through the plugin, or this process through the same source
// compiled for the host, which is how its kernels are tested without a GPU.
#pragma once

#include <cuda/plugin.h>

#include <cstddef>
#include <memory>

#include "gpu/plugin.h"

namespace shortlist::gpu {

// How the host runs what a GPU would: `lanes` are those of a block, a power of two; `chunks` the
// parts of a scan; `seed` an order in which lanes take their steps.
struct HostRun {
  unsigned lanes = 32;
  size_t chunks = 1;
  unsigned seed = 0;
};

// The table of the host, whose memory is this process's and whose streams are none. Its functions
// run as the calling thread's HostRun says.
const ShortlistCuda& host_table();
HostRun& host_run();

class Engine {
 public:
  explicit Engine(HostRun run) : table_(host_table()), run_(run), host_(true) {}
  Engine(std::shared_ptr<const Plugin> plugin, int device)
      : plugin_(std::move(plugin)), table_(plugin_->table()), device_(device) {}

  const ShortlistCuda& table() const { return table_; }
  int device() const { return device_; }
  bool host() const { return host_; }
  // Throws as Plugin::call.
  template <class F, class... Args>
  void call(F function, Args... args) const {
    if (host_) host_run() = {run_.lanes, run_.chunks, run_.seed++};
    call_table(function, args...);
  }

 private:
  const std::shared_ptr<const Plugin> plugin_;
  const ShortlistCuda& table_;
  const int device_ = 0;
  mutable HostRun run_;
  const bool host_ = false;
};

// Bytes that jobs of an engine can use, freed with it.
class Memory {
 public:
  Memory(std::shared_ptr<const Engine> engine, size_t bytes)
      : engine_(std::move(engine)), bytes_(bytes) {
    engine_->call(engine_->table().allocate, engine_->device(), bytes ? bytes : 1, &place_);
  }
  ~Memory() {
    char why[1];
    (void)engine_->table().release(engine_->device(), place_, why, sizeof why);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* place() const { return place_; }
  size_t bytes() const { return bytes_; }

 private:
  const std::shared_ptr<const Engine> engine_;
  const size_t bytes_;
  void* place_ = nullptr;
};

}  // namespace shortlist::gpu
