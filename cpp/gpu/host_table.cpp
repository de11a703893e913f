#include <cuda/checks.h>
#include <cuda/group.h>
#include <cuda/tiles/assign.h>
#include <cuda/tiles/certify.h>
#include <cuda/tiles/graph.h>
#include <cuda/tiles/jobs.h>
#include <cuda/tiles/lists.h>
#include <cuda/tiles/many.h>
#include <cuda/tiles/store.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "gpu/engine.h"

namespace shortlist::gpu {
namespace {

using namespace cuda;

HostGroup group() {
  HostRun& run = host_run();
  return HostGroup(run.lanes, run.seed++);
}
HostGroup group_of(unsigned lanes) { return HostGroup(lanes, host_run().seed++); }
HostGroup warp() { return group_of(32); }

// Shared memory of a block.
std::vector<Unit> shared_of(size_t bytes) { return std::vector<Unit>(bytes / kUnitBytes + 1); }
std::vector<Unit> shared_for(size_t k) {
  return shared_of(Nearest<HostGroup>::bytes(static_cast<unsigned>(k), host_run().lanes));
}

// The queries that a job is for.
template <class Call>
void for_chosen(const uint32_t* chosen, const uint32_t* chosen_n, size_t n, const Call& call) {
  for (size_t i = 0; i < n; ++i)
    if (const size_t q = chosen_query(chosen, chosen_n, n, i); q < n) call(q);
}

void store(const ShortlistCudaStore& job) {
  for (size_t i = 0; i < job.n * stored_units(job); ++i) store_unit(job, i);
  if (measured(job))
    for (size_t row = 0; row < job.n; ++row) measure_row(warp(), job, row);
}

size_t scan_room(const ShortlistCudaScan& job) {
  return job.queries_n * host_run().chunks * job.k * sizeof(Key);
}
void join(const ShortlistCudaScan& job, size_t parts) {
  std::vector<Unit> shared = shared_for(job.k);
  for_chosen(job.chosen, job.chosen_n, job.queries_n,
             [&](size_t q) { join_chunks(group(), job, q, parts, shared.data()); });
}
void scan(const ShortlistCudaScan& job) {
  const size_t chunks = host_run().chunks;
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    std::vector<Unit> shared = shared_of(scan_shared<kKind, HostGroup>(job, host_run().lanes));
    for_chosen(job.chosen, job.chosen_n, job.queries_n, [&](size_t q) {
      for (size_t c = 0; c < chunks; ++c)
        scan_chunk<kKind>(group(), job, q, c, chunks, shared.data());
    });
  });
  join(job, chunks);
}

size_t scan_many_room(const ShortlistCudaScan& job) {
  return job.k > 1 ? Waiting::bytes(job) : job.queries_n * host_run().chunks * sizeof(Key);
}
template <ShortlistCudaKind kKind>
void scan_many_of(const ShortlistCudaScan& job) {
  using Tile = Many<kKind, HostGroup>;
  const size_t chunks = host_run().chunks;
  const auto parts_of = [&](size_t tiles, const auto& call) {
    for (size_t q = 0; q * Tile::kQueries < job.queries_n; ++q)
      for (size_t c = 0; c < chunks; ++c) {
        const HostGroup lanes = group_of(Tile::kLanes);
        std::vector<Unit> shared = shared_of(Tile::shared_units(job) * kUnitBytes);
        Tile tile(lanes, job, q, shared.data());
        call(tile, static_cast<unsigned>(tiles * c / chunks),
             static_cast<unsigned>(tiles * (c + 1) / chunks), c);
      }
  };
  if (job.k == 1) {
    parts_of((job.n + Tile::kRows - 1) / Tile::kRows,
             [&](Tile& tile, unsigned begin, unsigned end, size_t c) {
               tile.keep_nearest(begin, end, c, chunks);
             });
    return join(job, chunks);
  }
  const Waiting waiting(job);
  *waiting.again_n = 0;
  std::fill_n(waiting.counts, job.queries_n, 0u);
  std::fill_n(waiting.bounds, job.queries_n, std::numeric_limits<float>::infinity());
  const size_t groups = (job.n + Interleaved::kRows - 1) / Interleaved::kRows;
  std::vector<Unit> shared = shared_for(job.k);
  const size_t first = waiting.first_step(groups);
  for (size_t step = first; step; step /= kLevelFactor) {
    const Level level(groups, step, step == first);
    parts_of((level.size + Tile::kGroups - 1) / Tile::kGroups,
             [&](Tile& tile, unsigned begin, unsigned end, size_t) {
               tile.keep_near(level, begin, end, waiting);
             });
    for_chosen(job.chosen, job.chosen_n, job.queries_n,
               [&](size_t q) { settle_level(group(), job, waiting, q, step == 1, shared.data()); });
  }
  ShortlistCudaScan again = job;
  again.chosen = waiting.again;
  again.chosen_n = waiting.again_n;
  std::vector<Unit> room = shared_of(alone_shared<kKind, HostGroup>(job, host_run().lanes));
  for_chosen(again.chosen, again.chosen_n, job.queries_n,
             [&](size_t q) { alone_chunk<kKind>(group(), again, q, 0, 1, room.data()); });
  join(again, 1);
}
void scan_many(const ShortlistCudaScan& job) {
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    if constexpr (kKind != SHORTLIST_CUDA_TABLES)
      scan_many_of<kKind>(job);
    else
      require(false, "tables are looked up by scan");
  });
}

// Of tiles that compare rows by teams.
unsigned lanes_in_teams() { return std::max(host_run().lanes, kTeam); }

void graph(const ShortlistCudaGraph& job) {
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    if constexpr (kOfVectors<kKind>) {
      using Walk = GraphWalk<kKind, HostGroup>;
      std::vector<Unit> shared = shared_of(Walk::shared_bytes(job));
      for (size_t q = 0; q < job.queries_n; ++q) {
        const HostGroup lanes = group_of(lanes_in_teams());
        Walk(lanes, job, q, shared.data()).run();
      }
    }
  });
}
void prune(const ShortlistCudaPrune& job) {
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    if constexpr (kOfVectors<kKind>) {
      std::vector<Unit> shared = shared_of(prune_shared<kKind>(job));
      for (size_t i = 0; i < job.n; ++i)
        prune_row<kKind>(group_of(lanes_in_teams()), job, i, shared.data());
    }
  });
}

size_t scan_lists_room(const ShortlistCudaLists& job) {
  return job.queries_n * host_run().chunks * job.k * sizeof(Key);
}
void scan_lists(const ShortlistCudaLists& job) {
  const size_t blocks = host_run().chunks;
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    if constexpr (kKind != SHORTLIST_CUDA_PLANES) {
      std::vector<Unit> shared = shared_of(lists_shared<kKind, HostGroup>(job, host_run().lanes));
      for (size_t q = 0; q < job.queries_n; ++q)
        for (size_t block = 0; block < blocks; ++block)
          scan_lists_block<kKind>(group(), job, q, block, blocks, shared.data());
    }
  });
  std::vector<Unit> shared = shared_for(job.k);
  for (size_t q = 0; q < job.queries_n; ++q) join_lists(group(), job, q, blocks, shared.data());
}

void tables(const ShortlistCudaTables& job) {
  for (size_t q = 0; q < job.queries_n; ++q)
    for (size_t unit = 0; unit < units_of_codes(job.m); ++unit)
      make_tables_of(group(), job, q, unit);
}

void certify(const ShortlistCudaCertify& job) {
  *job.chosen_n = 0;
  for (size_t q = 0; q < job.queries_n; ++q)
    if (!certain(job, q)) job.chosen[(*job.chosen_n)++] = static_cast<uint32_t>(q);
}

void select(const ShortlistCudaSelect& job) {
  std::vector<Unit> shared = shared_for(job.k);
  for_chosen(job.chosen, job.chosen_n, job.rows_n,
             [&](size_t row) { select_row(group(), job, row, shared.data()); });
}

void rescore(const ShortlistCudaRescore& job) {
  for_kind(job.kind, [&](auto kind) {
    constexpr ShortlistCudaKind kKind = decltype(kind)::value;
    if constexpr (kOfVectors<kKind>)
      for (size_t c = 0; c < job.candidates_n; ++c)
        job.distances[c] = rescore_candidate<kKind>(warp(), job, c);
  });
}

void max_sim(const ShortlistCudaMaxSim& job) {
  for (size_t c = 0; c < job.candidates_n; ++c)
    job.scores[c] = job.kind == SHORTLIST_CUDA_IP_F32   ? max_sim_candidate<F32>(warp(), job, c)
                    : job.kind == SHORTLIST_CUDA_IP_F16 ? max_sim_candidate<F16>(warp(), job, c)
                                                        : max_sim_candidate<BF16>(warp(), job, c);
}

void assign(const ShortlistCudaAssign& job) {
  using Tile = Assign<HostGroup>;
  Tile::Shared shared;
  for (size_t block = 0; block * Tile::kRows < job.n; ++block)
    Tile::run(group_of(Tile::kLanes), job, block, shared);
}

// Numbers 0 to n - 1 in the order of their labels below k, others left out; and where each label's
// begin.
struct ByLabel {
  template <class Label>
  ByLabel(size_t n, size_t k, const Label& label) : starts(k + 1) {
    for (size_t i = 0; i < n; ++i)
      if (label(i) < k) ++starts[label(i) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    order.resize(starts[k]);
    std::vector<uint64_t> next(starts);
    for (size_t i = 0; i < n; ++i)
      if (label(i) < k) order[next[label(i)]++] = static_cast<uint32_t>(i);
  }
  std::vector<uint32_t> order;
  std::vector<uint64_t> starts;
};

size_t reverse_room(const ShortlistCudaReverse&) { return 0; }
void reverse(const ShortlistCudaReverse& job) {
  ByLabel by(job.n * job.degree, job.n, [&](size_t i) { return Link(job, i).to; });
  for (uint32_t& link : by.order) link = Link(job, link).from;
  for (size_t i = 0; i < job.n * (job.degree + job.most); ++i)
    job.candidates[i] = both_ways(job, by.starts.data(), by.order.data(), i);
}

size_t update_room(const ShortlistCudaUpdate&) { return 0; }
void update(const ShortlistCudaUpdate& job) {
  const ByLabel by(job.n, job.k, [&](size_t i) { return sorted_label(job, i); });
  for (size_t c = 0; c < job.k; ++c)
    update_centroid(group(), job, by.order.data(), by.starts.data(), c);
}

// Functions of the table from those above.
template <class Job, void (*kRun)(const Job&)>
int run(const Job* job, char* why, size_t room) {
  return guarded(why, room, [&] {
    cuda::check(*job);
    kRun(*job);
  });
}
template <class Job, size_t (*kRoom)(const Job&)>
int room_of(const Job* job, size_t* bytes, char* why, size_t room) {
  return guarded(why, room, [&] {
    cuda::check(*job);
    *bytes = kRoom(*job);
  });
}

int count(int* devices, char*, size_t) {
  *devices = 1;
  return SHORTLIST_CUDA_OK;
}
int versions(int* runtime, int* driver, char*, size_t) {
  *runtime = *driver = 0;
  return SHORTLIST_CUDA_OK;
}
int describe(int, ShortlistCudaDevice* out, char*, size_t) {
  *out = {};
  std::strcpy(out->name, "the host");
  return SHORTLIST_CUDA_OK;
}
// Bytes of 0xff, which are NaN, so that what is read before it is written shows.
int allocate(int, size_t bytes, void** out, char* why, size_t room) {
  return guarded(why, room, [&] {
    const size_t whole = (bytes / kUnitBytes + 1) * kUnitBytes;
    *out = ::operator new(whole, std::align_val_t{kUnitBytes});
    std::memset(*out, 0xff, whole);
  });
}
int release(int, void* memory, char*, size_t) {
  ::operator delete(memory, std::align_val_t{kUnitBytes});
  return SHORTLIST_CUDA_OK;
}
int copy(int, void* to, const void* from, size_t bytes, void*, char*, size_t) {
  if (bytes) std::memcpy(to, from, bytes);
  return SHORTLIST_CUDA_OK;
}
int synchronize(int, void*, char*, size_t) { return SHORTLIST_CUDA_OK; }

size_t query_bytes(ShortlistCudaKind kind, size_t units_per_row) {
  ShortlistCudaScan job{};
  job.units_per_row = units_per_row;
  size_t out = 0;
  for_kind(kind, [&](auto k) { out = cuda::query_bytes<decltype(k)::value>(job); });
  return out;
}

}  // namespace

HostRun& host_run() {
  thread_local HostRun run;
  return run;
}

const ShortlistCuda& host_table() {
  static constexpr ShortlistCuda kTable{
      .abi = SHORTLIST_CUDA_ABI,
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
  return kTable;
}

}  // namespace shortlist::gpu
