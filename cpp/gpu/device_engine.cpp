#include "gpu/engine.h"

namespace shortlist::gpu {
namespace {

// On the default stream.
class DeviceEngine final : public Engine {
 public:
  DeviceEngine(const Plugin& plugin, int device) : plugin_(plugin), device_(device) {}
  ~DeviceEngine() override {
    char why[1];
    for (void* place : memory_) (void)table().release(device_, place, why, sizeof why);
  }

  void* memory(size_t bytes) override {
    void* out = nullptr;
    const size_t whole = bytes ? bytes : 1;
    memory_.reserve(memory_.size() + 1);
    plugin_.call(table().allocate, device_, whole, &out);
    memory_.push_back(out);
    const std::vector<std::byte> filled(whole, std::byte{0xff});
    to(out, filled.data(), whole);
    return out;
  }
  void to(void* place, const void* host, size_t bytes) override { copy(place, host, bytes); }
  void from(void* host, const void* place, size_t bytes) override { copy(host, place, bytes); }

  void interleave(const void* rows, size_t n, size_t stride, size_t bytes, void* out,
                  size_t first) override {
    plugin_.call(table().interleave, device_, nullptr, rows, n, stride, bytes, out, first);
    wait();
  }
  void scan(ShortlistCudaScan job) override {
    job.device = device_;
    size_t bytes = 0;
    plugin_.call(table().scan_room, &job, &bytes);
    job.room = memory(bytes);
    plugin_.call(table().scan, &job);
    wait();
  }
  void select(const float* distances, size_t rows, size_t n, size_t k, float* least,
              int64_t* numbers) override {
    plugin_.call(table().select, device_, nullptr, distances, rows, n, k, least, numbers);
    wait();
  }
  void rescore(ShortlistCudaRescore job) override {
    job.device = device_;
    plugin_.call(table().rescore, &job);
    wait();
  }
  void max_sim(ShortlistCudaMaxSim job) override {
    job.device = device_;
    plugin_.call(table().max_sim, &job);
    wait();
  }
  void assign(ShortlistCudaAssign job) override {
    job.device = device_;
    plugin_.call(table().assign, &job);
    wait();
  }
  void update(ShortlistCudaUpdate job) override {
    job.device = device_;
    size_t bytes = 0;
    plugin_.call(table().update_room, &job, &bytes);
    job.room = memory(bytes);
    plugin_.call(table().update, &job);
    wait();
  }

 private:
  const ShortlistCuda& table() const { return plugin_.table(); }
  void copy(void* to, const void* from, size_t bytes) {
    if (!bytes) return;
    plugin_.call(table().copy, device_, to, from, bytes, nullptr);
    wait();
  }
  void wait() { plugin_.call(table().synchronize, device_, nullptr); }

  const Plugin& plugin_;
  const int device_;
  std::vector<void*> memory_;
};

}  // namespace

std::unique_ptr<Engine> device_engine(const Plugin& plugin, int device) {
  return std::make_unique<DeviceEngine>(plugin, device);
}

}  // namespace shortlist::gpu
