#include <cuda/group.h>
#include <cuda/tiles/assign.h>
#include <cuda/tiles/jobs.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>

#include "gpu/engine.h"

namespace shortlist::gpu {
namespace {

using namespace cuda;

class HostEngine final : public Engine {
 public:
  HostEngine(unsigned lanes, size_t chunks, unsigned seed)
      : lanes_(lanes), chunks_(chunks), seed_(seed) {}

  void* memory(size_t bytes) override {
    constexpr uint32_t kAll = 0xffffffff;
    memory_.emplace_back(bytes / kUnitBytes + 1, Unit{{kAll, kAll, kAll, kAll}});
    return memory_.back().data();
  }
  void to(void* place, const void* host, size_t bytes) override {
    if (bytes) std::memcpy(place, host, bytes);
  }
  void from(void* host, const void* place, size_t bytes) override {
    if (bytes) std::memcpy(host, place, bytes);
  }

  void interleave(const void* rows, size_t n, size_t stride, size_t bytes, void* out,
                  size_t first) override {
    const Strided source{static_cast<const unsigned char*>(rows), stride, bytes};
    const size_t units = source.units();
    for (size_t i = 0; i < n * units; ++i)
      static_cast<Unit*>(out)[Interleaved::place(first + i / units, i % units, units)] =
          source.at(i / units, i % units);
  }

  void scan(ShortlistCudaScan job) override {
    job.room = memory(job.queries_n * chunks_ * job.k * sizeof(Key));
    for_kind(job.kind, [&](auto kind) {
      constexpr ShortlistCudaKind kKind = decltype(kind)::value;
      std::vector<Unit> shared(scan_shared<kKind, HostGroup>(job, lanes_) / kUnitBytes + 1);
      for (size_t q = 0; q < job.queries_n; ++q)
        for (size_t c = 0; c < chunks_; ++c)
          scan_chunk<kKind>(group(), job, q, c, chunks_, shared.data());
    });
    std::vector<Key> shared(shared_keys(job.k));
    for (size_t q = 0; q < job.queries_n; ++q) join_chunks(group(), job, q, chunks_, shared.data());
  }

  void select(const float* distances, size_t rows, size_t n, size_t k, float* least,
              int64_t* numbers) override {
    std::vector<Key> shared(shared_keys(k));
    for (size_t row = 0; row < rows; ++row) {
      const HostGroup lanes = group();
      Nearest<HostGroup> nearest(lanes, static_cast<unsigned>(k), shared.data());
      cuda::select(lanes, distances + row * n, n, nearest);
      write_nearest(lanes, nearest, k, least + row * k, numbers + row * k);
    }
  }

  void rescore(ShortlistCudaRescore job) override {
    for_kind(job.kind, [&](auto kind) {
      constexpr ShortlistCudaKind kKind = decltype(kind)::value;
      if constexpr (kKind != SHORTLIST_CUDA_PLANES)
        for (size_t c = 0; c < job.candidates_n; ++c)
          job.distances[c] = rescore_candidate<kKind>(warp(), job, c);
    });
  }

  void max_sim(ShortlistCudaMaxSim job) override {
    for (size_t c = 0; c < job.candidates_n; ++c)
      job.scores[c] = job.kind == SHORTLIST_CUDA_IP_F32   ? max_sim_candidate<F32>(warp(), job, c)
                      : job.kind == SHORTLIST_CUDA_IP_F16 ? max_sim_candidate<F16>(warp(), job, c)
                                                          : max_sim_candidate<BF16>(warp(), job, c);
  }
  void assign(ShortlistCudaAssign job) override {
    using Tile = Assign<HostGroup>;
    Tile::Shared shared;
    for (size_t block = 0; block * Tile::kRows < job.n; ++block)
      Tile::run(HostGroup(Tile::kLanes, seed_++), job, block, shared);
  }
  void update(ShortlistCudaUpdate job) override {
    std::vector<uint32_t> order(job.n);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return job.labels[a] < job.labels[b]; });
    std::vector<uint64_t> starts(job.k + 1);
    for (size_t i = 0; i < job.n; ++i) ++starts[job.labels[i] + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    for (size_t c = 0; c < job.k; ++c)
      update_centroid(group(), job, order.data(), starts.data(), c);
  }

 private:
  HostGroup group() { return HostGroup(lanes_, seed_++); }
  HostGroup warp() { return HostGroup(32, seed_++); }
  size_t shared_keys(size_t k) const {
    return Nearest<HostGroup>::bytes(static_cast<unsigned>(k), lanes_) / sizeof(Key);
  }

  const unsigned lanes_;
  const size_t chunks_;
  unsigned seed_;
  std::deque<std::vector<Unit>> memory_;
};

}  // namespace

std::unique_ptr<Engine> host_engine(unsigned lanes, size_t chunks, unsigned seed) {
  return std::make_unique<HostEngine>(lanes, chunks, seed);
}

size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row) {
  ShortlistCudaScan job{};
  job.units_per_row = units_per_row;
  size_t out = 0;
  for_kind(kind, [&](auto k) { out = cuda::query_bytes<decltype(k)::value>(job); });
  return out;
}

}  // namespace shortlist::gpu
