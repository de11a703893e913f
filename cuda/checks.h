// What jobs of the plugin may be, and how a table tells that one is not or has failed.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <new>
#include <string>

#include "host_device.h"
#include "plugin.h"
#include "tiles/nearest.h"

namespace shortlist::cuda {

struct Failed {
  ShortlistCudaResult result;
  std::string why;
};

// Throws a Failed of a bad argument unless ok.
inline void require(bool ok, const std::string& why) {
  if (!ok) throw Failed{SHORTLIST_CUDA_BAD_ARGUMENT, why};
}

// Calls work(); what it throws becomes a result.
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

constexpr size_t kMostQueries = 65535;   // blocks along the second axis of a grid
constexpr size_t kMostWalked = 1024;     // ef of a graph's search
constexpr size_t kMostLinks = 1024;      // that it follows at a time
constexpr size_t kMostCandidates = 256;  // of a row, for its links

inline bool of_bytes(ShortlistCudaKind kind) {
  return kind == SHORTLIST_CUDA_L2_U8 || kind == SHORTLIST_CUDA_L2_I8 ||
         kind == SHORTLIST_CUDA_IP_U8 || kind == SHORTLIST_CUDA_IP_I8;
}
inline void require_kind(ShortlistCudaKind kind) {
  require(kind >= SHORTLIST_CUDA_L2_F32 && kind <= SHORTLIST_CUDA_TABLES,
          "kind " + std::to_string(kind) + " is none");
}
inline void require_k(size_t k) {
  require(k >= 1 && k <= kMostNearest,
          "k = " + std::to_string(k) + "; it must be from 1 to " + std::to_string(kMostNearest));
}
inline void require_aligned(std::initializer_list<const void*> units) {
  for (const void* p : units)
    require(reinterpret_cast<uintptr_t>(p) % kUnitBytes == 0,
            "rows, queries and room must begin at a multiple of 16 bytes");
}
inline void require_rows(ShortlistCudaKind kind, size_t n, size_t units_per_row) {
  require(n < 0xffffffffu, "more rows than 32 bits can number; split them");
  constexpr size_t kMostByteUnits = 33024 / kUnitBytes;  // whose sums fit 32 bits
  require(!of_bytes(kind) || units_per_row <= kMostByteUnits,
          "rows of more than 33,024 bytes; keep them as float16");
}

inline void check(const ShortlistCudaStore& job) {
  require(job.bytes >= 1 && (!job.stride || job.stride >= job.bytes || job.n <= 1),
          "rows lie over each other");
  const bool floats = job.conversion != SHORTLIST_CUDA_AS_THEY_ARE || job.squares || job.errors ||
                      job.most_square || job.most_error;
  require(!floats || (job.bytes % sizeof(float) == 0 && job.stride % sizeof(float) == 0),
          "what is converted or measured must be of float32");
  require_aligned({job.rows});
  if (!job.stride) require_aligned({job.from});
}

inline void check(const ShortlistCudaScan& job) {
  require_kind(job.kind);
  require_k(job.k);
  require_rows(job.kind, job.n, job.units_per_row);
  require(job.queries_n <= kMostQueries, "more than 65,535 queries in one call; split them");
  require_aligned({job.rows, job.queries, job.room});
  if (job.kind == SHORTLIST_CUDA_PLANES)
    require(job.plane >= 1 && job.plane <= 128 && job.bits >= 1 && job.bits <= 8 &&
                job.query_bits >= 1 && job.query_bits <= 9 &&
                job.units_per_row == size_t{job.plane} * job.bits,
            "planes do not fit the rows");
}

inline void require_vectors(ShortlistCudaKind kind) {
  require_kind(kind);
  require(kind != SHORTLIST_CUDA_PLANES && kind != SHORTLIST_CUDA_TABLES,
          "codes are not compared by graphs");
}
inline void require_degree(size_t degree) {
  require(degree >= 1 && degree <= 128,
          "degree = " + std::to_string(degree) + "; it must be from 1 to 128");
}

inline void check(const ShortlistCudaGraph& job) {
  require_vectors(job.kind);
  require(job.n <= size_t{1} << 31, "more rows than 31 bits can number; split them");
  require_rows(job.kind, job.n, (job.bytes + kUnitBytes - 1) / kUnitBytes);
  require_degree(job.degree);
  require(
      job.ef >= 1 && job.ef <= kMostWalked,
      "ef = " + std::to_string(job.ef) + "; it must be from 1 to " + std::to_string(kMostWalked));
  require(job.k >= 1 && job.k <= job.ef,
          "k = " + std::to_string(job.k) + "; it must be from 1 to ef = " + std::to_string(job.ef));
  require(job.width >= 1 && job.width <= kMostLinks / job.degree,
          "width = " + std::to_string(job.width) + "; width * degree must be from 1 to " +
              std::to_string(kMostLinks));
  require(job.queries_n < 0x7fffffff, "too many queries in one call; split them");
  require_aligned({job.queries});
}

inline void check(const ShortlistCudaPrune& job) {
  require_vectors(job.kind);
  require_rows(job.kind, job.rows_n, (job.bytes + kUnitBytes - 1) / kUnitBytes);
  require_degree(job.degree);
  require(job.apart >= job.degree, "links lie over each other");
  require(job.first <= job.rows_n && job.n <= job.rows_n - job.first,
          "rows whose links are asked for are not there");
  require(job.n < 0x7fffffff, "too many rows in one call; split them");
  require(job.candidates_n <= kMostCandidates,
          std::to_string(job.candidates_n) + " candidates of each row; at most " +
              std::to_string(kMostCandidates) + " are compared");
}

inline void check(const ShortlistCudaReverse& job) {
  require(job.degree >= 1, "there must be links");
  require(job.n <= 0xffffffffu / job.degree, "more links than 32 bits can number; split them");
}

inline void require_parts(size_t d, size_t m, const float* codewords) {
  require(m >= 1 && d >= 1 && d % m == 0, "codes of " + std::to_string(m) + " parts for " +
                                              std::to_string(d) +
                                              " dimensions, which must be a multiple of them");
  require_aligned({codewords});
}

inline void check(const ShortlistCudaLists& job) {
  require_kind(job.kind);
  require_k(job.k);
  require_rows(job.kind, job.n, job.units_per_row);
  require(job.kind != SHORTLIST_CUDA_PLANES, "planes are not kept in lists");
  require(job.queries_n <= kMostQueries, "more than 65,535 queries in one call; split them");
  require(job.nprobe >= 1, "nprobe must be 1 or more");
  require_aligned({job.rows, job.queries, job.room});
  if (job.kind != SHORTLIST_CUDA_TABLES) return;
  require_parts(job.d, job.m, job.codewords);
  require(job.units_per_row == (job.m + kUnitBytes - 1) / kUnitBytes, "codes do not fit the rows");
}

inline void check(const ShortlistCudaTables& job) {
  require_parts(job.d, job.m, job.codewords);
  require(job.queries_n <= kMostQueries, "more than 65,535 queries in one call; split them");
}

inline void check(const ShortlistCudaCertify& job) {
  require(job.k >= 1 && job.kept >= job.k, "fewer are kept than asked for");
}

inline void check(const ShortlistCudaRescore& job) {
  require_kind(job.kind);
  require(job.kind != SHORTLIST_CUDA_PLANES && job.kind != SHORTLIST_CUDA_TABLES,
          "codes are not compared again");
  require(job.offsets || !job.queries_n || job.candidates_n % job.queries_n == 0,
          "without offsets each query has as many candidates");
  require_aligned({job.queries});
}

inline void check(const ShortlistCudaMaxSim& job) {
  require(job.kind >= SHORTLIST_CUDA_IP_F32 && job.kind <= SHORTLIST_CUDA_IP_BF16,
          "MaxSim takes rows of float32, float16 or bfloat16");
}

inline void check(const ShortlistCudaSelect& job) {
  require_k(job.k);
  require(job.n < 0xffffffffu && job.rows_n < 0x7fffffff, "more distances than 32 bits can number");
}

inline void check(const ShortlistCudaAssign& job) {
  require(job.k >= 1 && job.k < 0xffffffffu && job.d >= 1, "there must be a centroid");
}

inline void check(const ShortlistCudaUpdate& job) {
  require(job.n < size_t{1} << 31 && job.k < size_t{1} << 31,
          "more rows or centroids than 31 bits can number; split them");
}

}  // namespace shortlist::cuda
