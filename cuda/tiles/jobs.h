// What one block or warp does of a job of the plugin, on the device as on the host.
#pragma once

#include <cfloat>
#include <type_traits>

#include "bodies/bits.h"
#include "bodies/tables.h"
#include "bodies/vectors.h"
#include "plugin.h"
#include "tiles/rescore.h"
#include "tiles/scan.h"

namespace shortlist::cuda {

template <ShortlistCudaKind kKind>
struct BodyOf;
template <>
struct BodyOf<SHORTLIST_CUDA_L2_F32> : Floats<F32, Measure::l2> {};
template <>
struct BodyOf<SHORTLIST_CUDA_L2_F16> : Floats<F16, Measure::l2> {};
template <>
struct BodyOf<SHORTLIST_CUDA_L2_BF16> : Floats<BF16, Measure::l2> {};
template <>
struct BodyOf<SHORTLIST_CUDA_L2_U8> : Bytes<uint32_t, Measure::l2> {};
template <>
struct BodyOf<SHORTLIST_CUDA_L2_I8> : Bytes<int32_t, Measure::l2> {};
template <>
struct BodyOf<SHORTLIST_CUDA_IP_F32> : Floats<F32, Measure::ip> {};
template <>
struct BodyOf<SHORTLIST_CUDA_IP_F16> : Floats<F16, Measure::ip> {};
template <>
struct BodyOf<SHORTLIST_CUDA_IP_BF16> : Floats<BF16, Measure::ip> {};
template <>
struct BodyOf<SHORTLIST_CUDA_IP_U8> : Bytes<uint32_t, Measure::ip> {};
template <>
struct BodyOf<SHORTLIST_CUDA_IP_I8> : Bytes<int32_t, Measure::ip> {};
template <>
struct BodyOf<SHORTLIST_CUDA_HAMMING> : Hamming {};
template <>
struct BodyOf<SHORTLIST_CUDA_PLANES> : Planes {};
template <>
struct BodyOf<SHORTLIST_CUDA_TABLES> : Tables {};

// Kinds whose rows can be compared by themselves: not codes.
template <ShortlistCudaKind kKind>
constexpr bool kOfVectors = kKind != SHORTLIST_CUDA_PLANES && kKind != SHORTLIST_CUDA_TABLES;

template <ShortlistCudaKind kKind>
using Kind = std::integral_constant<ShortlistCudaKind, kKind>;

// Calls call(Kind<kind>{}) for every kind; false for what is none.
template <class Call>
bool for_kind(ShortlistCudaKind kind, const Call& call) {
  switch (kind) {
#define SL_KIND(kind)   \
  case kind:            \
    call(Kind<kind>{}); \
    return true;
    SL_KIND(SHORTLIST_CUDA_L2_F32)
    SL_KIND(SHORTLIST_CUDA_L2_F16)
    SL_KIND(SHORTLIST_CUDA_L2_BF16)
    SL_KIND(SHORTLIST_CUDA_L2_U8)
    SL_KIND(SHORTLIST_CUDA_L2_I8)
    SL_KIND(SHORTLIST_CUDA_IP_F32)
    SL_KIND(SHORTLIST_CUDA_IP_F16)
    SL_KIND(SHORTLIST_CUDA_IP_BF16)
    SL_KIND(SHORTLIST_CUDA_IP_U8)
    SL_KIND(SHORTLIST_CUDA_IP_I8)
    SL_KIND(SHORTLIST_CUDA_HAMMING)
    SL_KIND(SHORTLIST_CUDA_PLANES)
    SL_KIND(SHORTLIST_CUDA_TABLES)
#undef SL_KIND
  }
  return false;
}

template <ShortlistCudaKind kKind>
SL_HD size_t query_bytes(const ShortlistCudaScan& scan) {
  if constexpr (kKind == SHORTLIST_CUDA_PLANES)
    return size_t{scan.query_bits} * scan.plane * kUnitBytes;
  else
    return BodyOf<kKind>::query_bytes(scan.units_per_row);
}

// The body of query q, whose units are at `query`.
template <ShortlistCudaKind kKind>
SL_HD BodyOf<kKind> body_of(const ShortlistCudaScan& scan, size_t q, const void* query) {
  BodyOf<kKind> body;
  body.query = static_cast<decltype(body.query)>(query);
  if constexpr (kKind == SHORTLIST_CUDA_PLANES) {
    body.plane = scan.plane;
    body.bits = scan.bits;
    body.query_bits = scan.query_bits;
    body.add_of = scan.add;
    body.rescale_of = scan.rescale;
    body.near = scan.near[q];
    body.scale = scan.scale[q];
    body.offset = scan.offset[q];
    body.least = scan.least;
  }
  return body;
}

// Shared memory: the query, then what Nearest needs.
template <ShortlistCudaKind kKind, class Group>
SL_HD size_t scan_shared(const ShortlistCudaScan& scan, unsigned lanes) {
  return query_bytes<kKind>(scan) + Nearest<Group>::bytes(static_cast<unsigned>(scan.k), lanes);
}

// Keeps what was found for the one who joins it.
template <class Group>
SL_TILE void keep_nearest(const Group& group, Nearest<Group>& nearest, size_t k, Key* out) {
  const Key* const best = nearest.finish();
  group.each([&](unsigned lane) {
    for (size_t i = lane; i < k; i += group.lanes()) out[i] = best[i];
  });
}

// Part `chunk` of `chunks` of the rows, for query q: its k nearest to scan.room.
template <class Group, class Body>
SL_TILE void scan_part(const Group& group, const ShortlistCudaScan& scan, const Body& body,
                       size_t q, size_t chunk, size_t chunks, void* shared) {
  Nearest<Group> nearest(group, static_cast<unsigned>(scan.k), shared);
  // Parts begin where 32 rows do.
  const size_t blocks = (scan.n + Interleaved::kRows - 1) / Interleaved::kRows;
  const size_t begin = blocks * chunk / chunks * Interleaved::kRows;
  const size_t end = blocks * (chunk + 1) / chunks * Interleaved::kRows;
  const Interleaved rows{static_cast<const Unit*>(scan.rows), scan.units_per_row};
  cuda::scan(group, body, rows, begin, end < scan.n ? end : scan.n, scan.allowed, nearest);
  keep_nearest(group, nearest, scan.k,
               static_cast<Key*>(scan.room) + (q * chunks + chunk) * scan.k);
}

template <ShortlistCudaKind kKind, class Group>
SL_TILE void scan_chunk(const Group& group, const ShortlistCudaScan& scan, size_t q, size_t chunk,
                        size_t chunks, void* shared) {
  const size_t bytes = query_bytes<kKind>(scan), units = bytes / kUnitBytes;
  Unit* const query = static_cast<Unit*>(shared);
  const Unit* const from = static_cast<const Unit*>(scan.queries) + q * units;
  group.each([&](unsigned lane) {
    for (size_t u = lane; u < units; u += group.lanes()) query[u] = from[u];
  });
  scan_part(group, scan, body_of<kKind>(scan, q, query), q, chunk, chunks, query + units);
}

// Writes keys of a job in faiss's shape, by what name(number) makes of their numbers.
template <class Group, class Job, class Name>
SL_TILE void write_keys(const Group& group, const Key* best, const Job& job, float* distances,
                        int64_t* numbers, const Name& name) {
  group.each([&](unsigned lane) {
    for (size_t i = lane; i < job.k; i += group.lanes()) {
      const float distance = best[i] == kNone ? FLT_MAX : distance_of(best[i]);
      distances[i] = job.negate ? -distance : distance;
      numbers[i] = best[i] == kNone ? -1 : name(number_of(best[i]));
    }
  });
}
template <class Group, class Job>
SL_TILE void write_nearest(const Group& group, Nearest<Group>& nearest, const Job& job,
                           float* distances, int64_t* numbers, const int64_t* names = nullptr) {
  write_keys(group, nearest.finish(), job, distances, numbers,
             [&](uint32_t number) { return names ? names[number] : static_cast<int64_t>(number); });
}

// The nearest of all chunks of query q.
template <class Group>
SL_TILE void join_chunks(const Group& group, const ShortlistCudaScan& scan, size_t q, size_t chunks,
                         void* shared) {
  Nearest<Group> nearest(group, static_cast<unsigned>(scan.k), shared);
  const size_t n = chunks * scan.k;
  select(group, static_cast<const Key*>(scan.room) + q * n, n, nearest);
  write_nearest(group, nearest, scan, scan.distances + q * scan.k, scan.numbers + q * scan.k);
}

template <class Group>
SL_TILE void select_row(const Group& group, const ShortlistCudaSelect& job, size_t row,
                        void* shared) {
  Nearest<Group> nearest(group, static_cast<unsigned>(job.k), shared);
  const size_t first = row * job.n;
  select(group, job.distances + first, job.names ? job.names + first : nullptr, job.n, nearest);
  write_nearest(group, nearest, job, job.least + row * job.k, job.numbers + row * job.k);
}

// The i-th query of a job that is done, or queries_n behind the last.
SL_HD size_t chosen_query(const uint32_t* chosen, const uint32_t* chosen_n, size_t queries_n,
                          size_t i) {
  if (!chosen) return i < queries_n ? i : queries_n;
  return i < *chosen_n ? chosen[i] : queries_n;
}

// Which query candidate c is of: the last whose candidates begin at or before it.
SL_HD size_t query_of(const int64_t* offsets, size_t queries, size_t c) {
  size_t low = 0, high = queries;
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    (static_cast<size_t>(offsets[middle]) <= c ? low : high) = middle;
  }
  return low;
}

template <ShortlistCudaKind kKind, class Group>
SL_TILE float rescore_candidate(const Group& group, const ShortlistCudaRescore& job, size_t c) {
  const size_t units = (job.bytes + kUnitBytes - 1) / kUnitBytes;
  const size_t q = job.offsets ? query_of(job.offsets, job.queries_n, c)
                               : c / (job.candidates_n / job.queries_n);
  const int64_t row = job.candidates[c];
  if (row < 0 || static_cast<size_t>(row) >= job.n) return FLT_MAX;
  BodyOf<kKind> body;
  body.query = reinterpret_cast<decltype(body.query)>(
      static_cast<const unsigned char*>(job.queries) + q * BodyOf<kKind>::query_bytes(units));
  if (!job.stride)
    return rescore(group, body, Interleaved{static_cast<const Unit*>(job.rows), units},
                   static_cast<size_t>(row), units);
  const Strided rows{static_cast<const unsigned char*>(job.rows), job.stride, job.bytes};
  return rescore(group, body, rows, static_cast<size_t>(row), units);
}

template <class Type, class Group>
SL_TILE float max_sim_candidate(const Group& group, const ShortlistCudaMaxSim& job, size_t c) {
  const Strided rows{static_cast<const unsigned char*>(job.rows), job.stride, job.bytes};
  const size_t q = query_of(job.offsets, job.queries_n, c);
  const int64_t document = job.candidates[c];
  if (document < 0 || static_cast<size_t>(document) >= job.documents_n) return 0;
  const float* tokens = static_cast<const float*>(job.queries) +
                        static_cast<size_t>(job.tokens[q]) * rows.units() * Type::kNumbers;
  return max_sim<Type>(group, tokens, static_cast<size_t>(job.tokens[q + 1] - job.tokens[q]), rows,
                       static_cast<size_t>(job.documents[document]),
                       static_cast<size_t>(job.documents[document + 1]));
}

}  // namespace shortlist::cuda
