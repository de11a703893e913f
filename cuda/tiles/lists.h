// Inverted lists: a query against the lists that it names; and tables of codes, which it is
// compared with by lookups.
#pragma once

#include "tiles/jobs.h"

namespace shortlist::cuda {

// Of each of m parts of a vector, 256 codewords of `length` numbers.
struct Codebook {
  const float* codewords;
  size_t m, length;
  bool inner_product;

  // The distance of a part of a vector, which begins at x, to codeword `number` of all.
  SL_HD float distance(const float* x, size_t number) const {
    const float* const codeword = codewords + number * length;
    float sum = 0;
    const auto add = [&](float value, float other) {
      const float apart = inner_product ? 0 : value - other;
      sum = inner_product ? multiply_add(-value, other, sum) : multiply_add(apart, apart, sum);
    };
    if (length % 4 == 0)
      for (size_t i = 0; i < length; i += 4) {
        const Unit unit = *reinterpret_cast<const Unit*>(codeword + i);
        SL_UNROLL
        for (unsigned j = 0; j < 4; ++j) add(x[i + j], bits_as<float>(unit.word[j]));
      }
    else
      for (size_t i = 0; i < length; ++i) add(x[i], codeword[i]);
    return sum;
  }
};
template <class Job>
SL_HD Codebook codebook_of(const Job& job) {
  return {job.codewords, job.m, job.d / job.m, job.inner_product != 0};
}

SL_HD size_t units_of_codes(size_t m) { return (m + kUnitBytes - 1) / kUnitBytes; }

// Tables of parts [begin, end) of a vector, zeros behind the m-th. A lane has a codeword of its
// own, so that a warp reads codewords that lie one behind the other.
template <class Group>
SL_TILE void make_tables(const Group& group, const Codebook& book, const float* vector,
                         size_t begin, size_t end, float* tables) {
  group.each([&](unsigned lane) {
    const size_t from = begin * Tables::kCodewords, to = end * Tables::kCodewords;
    for (size_t i = from + lane; i < to; i += group.lanes()) {
      const size_t part = i / Tables::kCodewords;
      tables[i] = part < book.m ? book.distance(vector + part * book.length, i) : 0;
    }
  });
}

// Part `unit` of the tables of query q: those of a unit of codes.
template <class Group>
SL_TILE void make_tables_of(const Group& group, const ShortlistCudaTables& job, size_t q,
                            size_t unit) {
  const size_t parts = units_of_codes(job.m) * kUnitBytes;
  make_tables(group, codebook_of(job), job.queries + q * job.d, unit * kUnitBytes,
              (unit + 1) * kUnitBytes, job.tables + q * parts * Tables::kCodewords);
}

// A query that is compared with rows of any list in the same way.
template <ShortlistCudaKind kKind, class Group>
class ListQuery {
 public:
  SL_HD static size_t bytes(const ShortlistCudaLists& job, unsigned) {
    return BodyOf<kKind>::query_bytes(job.units_per_row);
  }
  SL_TILE ListQuery(const Group& group, const ShortlistCudaLists& job, size_t q, void* shared) {
    const size_t units = bytes(job, group.lanes()) / kUnitBytes;
    Unit* const query = static_cast<Unit*>(shared);
    const Unit* const from = static_cast<const Unit*>(job.queries) + q * units;
    group.each([&](unsigned lane) {
      for (size_t u = lane; u < units; u += group.lanes()) query[u] = from[u];
    });
    body_.query = reinterpret_cast<decltype(body_.query)>(query);
  }
  SL_TILE BodyOf<kKind> body(size_t) const { return body_; }

 private:
  BodyOf<kKind> body_;
};

// A query that is compared with codes. By L2 what is left of it without a list's centroid has
// tables of its own: for each list, 256 d multiply-adds on d KiB of codewords out of the L2 cache,
// beside m lookups for each row. In lists of about a thousand rows it is those KiB that bound a
// scan; in much longer ones it is the lookups, as lanes meet in banks of shared memory. The tables,
// a KiB for each part, are also what bounds how many blocks a multiprocessor has: eight of 16
// parts, three of 64. Products with codewords are the same in all lists; that with the list's
// centroid is added.
template <class Group>
class ListQuery<SHORTLIST_CUDA_TABLES, Group> {
 public:
  struct Body : Tables {
    float near;
    SL_HD float distance(Sum sum, size_t) const { return near + sum; }
  };

  // Shared memory: the tables; what they are of; a number for each lane.
  SL_HD static size_t bytes(const ShortlistCudaLists& job, unsigned lanes) {
    const size_t numbers = (job.d + lanes) * sizeof(float);
    return Tables::query_bytes(job.units_per_row) +
           (numbers + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
  }
  SL_TILE ListQuery(const Group& group, const ShortlistCudaLists& job, size_t q, void* shared)
      : group_(group),
        job_(job),
        query_(static_cast<const float*>(job.queries) + q * ((job.d + 3) / 4 * 4)),
        tables_(static_cast<float*>(shared)),
        vector_(tables_ + parts() * Tables::kCodewords),
        sums_(vector_ + job.d) {
    if (!job.centroids || job.inner_product) make(nullptr);
  }
  SL_TILE Body body(size_t list) const {
    const float* const centroid = job_.centroids ? job_.centroids + list * job_.d : nullptr;
    if (centroid && !job_.inner_product) make(centroid);
    return {{tables_}, centroid && job_.inner_product ? product(centroid) : 0};
  }

 private:
  SL_HD size_t parts() const { return job_.units_per_row * kUnitBytes; }
  SL_TILE void make(const float* centroid) const {
    group_.each([&](unsigned lane) {
      for (size_t i = lane; i < job_.d; i += group_.lanes())
        vector_[i] = centroid ? query_[i] - centroid[i] : query_[i];
    });
    make_tables(group_, codebook_of(job_), vector_, 0, parts(), tables_);
  }
  // Less the product of the query with a centroid; halves of the lanes' sums are added.
  SL_TILE float product(const float* centroid) const {
    group_.each([&](unsigned lane) {
      sums_[lane] = 0;
      for (size_t i = lane; i < job_.d; i += group_.lanes())
        sums_[lane] = multiply_add(-vector_[i], centroid[i], sums_[lane]);
    });
    for (unsigned apart = group_.lanes() / 2; apart; apart /= 2)
      group_.each([&](unsigned lane) {
        if (lane < apart) sums_[lane] += sums_[lane + apart];
      });
    return sums_[0];
  }

  const Group& group_;
  const ShortlistCudaLists& job_;
  const float* const query_;
  float *const tables_, *const vector_, *const sums_;
};

// Of how many parts a list is where each query has `blocks`.
SL_HD size_t parts_of_list(const ShortlistCudaLists& job, size_t blocks) {
  return (blocks + job.nprobe - 1) / job.nprobe;
}

template <ShortlistCudaKind kKind, class Group>
SL_HD size_t lists_shared(const ShortlistCudaLists& job, unsigned lanes) {
  return ListQuery<kKind, Group>::bytes(job, lanes) +
         Nearest<Group>::bytes(static_cast<unsigned>(job.k), lanes);
}

// Every `blocks`-th part of the lists of query q, from the `block`-th on: their k nearest to the
// room.
template <ShortlistCudaKind kKind, class Group>
SL_TILE void scan_lists_block(const Group& group, const ShortlistCudaLists& job, size_t q,
                              size_t block, size_t blocks, void* shared) {
  const ListQuery<kKind, Group> query(group, job, q, shared);
  Nearest<Group> nearest(
      group, static_cast<unsigned>(job.k),
      static_cast<unsigned char*>(shared) + ListQuery<kKind, Group>::bytes(job, group.lanes()));
  const Interleaved rows{static_cast<const Unit*>(job.rows), job.units_per_row};
  const size_t parts = parts_of_list(job, blocks);
  for (size_t i = block; i < job.nprobe * parts; i += blocks) {
    const int64_t list = job.probes[q * job.nprobe + i / parts];
    if (list < 0 || static_cast<size_t>(list) >= job.lists_n) continue;
    const size_t first = job.starts[list], size = job.sizes[list];
    const size_t groups = (size + Interleaved::kRows - 1) / Interleaved::kRows;
    const size_t begin = groups * (i % parts) / parts * Interleaved::kRows;
    const size_t end = groups * (i % parts + 1) / parts * Interleaved::kRows;
    if (begin < end)
      cuda::scan(group, query.body(static_cast<size_t>(list)), rows, first + begin,
                 first + (end < size ? end : size), job.allowed, nearest);
  }
  keep_nearest(group, nearest, job.k, static_cast<Key*>(job.room) + (q * blocks + block) * job.k);
}

// The nearest of all blocks of query q, by their ids.
template <class Group>
SL_TILE void join_lists(const Group& group, const ShortlistCudaLists& job, size_t q, size_t blocks,
                        void* shared) {
  Nearest<Group> nearest(group, static_cast<unsigned>(job.k), shared);
  const size_t n = blocks * job.k;
  select(group, static_cast<const Key*>(job.room) + q * n, n, nearest);
  write_nearest(group, nearest, job, job.distances + q * job.k, job.numbers + q * job.k, job.ids);
}

}  // namespace shortlist::cuda
