// Many queries against many rows by tensor cores: a block multiplies 128 queries with 256 rows at a
// time, so that each row that is read serves all of them, and never writes a matrix of products.
//
// The k nearest are found in levels. The first looks at a sample of the rows; the k-th of it bounds
// what the next, of eight times as many, has to keep, and so on to all rows: about 8 k of each
// level are kept. A query for which more come than there is room for is searched again by itself.
#pragma once

#include "bodies/tensors.h"
#include "tiles/jobs.h"

namespace shortlist::cuda {

template <ShortlistCudaKind kKind>
struct TensorOf;
template <>
struct TensorOf<SHORTLIST_CUDA_L2_F32> : TensorTF32 {};
template <>
struct TensorOf<SHORTLIST_CUDA_IP_F32> : TensorTF32 {};
template <>
struct TensorOf<SHORTLIST_CUDA_L2_F16> : TensorF16 {};
template <>
struct TensorOf<SHORTLIST_CUDA_IP_F16> : TensorF16 {};
template <>
struct TensorOf<SHORTLIST_CUDA_L2_BF16> : TensorBF16 {};
template <>
struct TensorOf<SHORTLIST_CUDA_IP_BF16> : TensorBF16 {};
template <>
struct TensorOf<SHORTLIST_CUDA_L2_U8> : TensorU8 {};
template <>
struct TensorOf<SHORTLIST_CUDA_IP_U8> : TensorU8 {};
template <>
struct TensorOf<SHORTLIST_CUDA_L2_I8> : TensorI8 {};
template <>
struct TensorOf<SHORTLIST_CUDA_IP_I8> : TensorI8 {};
template <>
struct TensorOf<SHORTLIST_CUDA_HAMMING> : TensorI8U8 {};
template <>
struct TensorOf<SHORTLIST_CUDA_PLANES> : TensorI8U8 {};

// Rows of bits are made bytes where they are multiplied: 128 values, one of each plane's units,
// become 8 units.
template <ShortlistCudaKind kKind>
constexpr bool kOfBits = kKind == SHORTLIST_CUDA_HAMMING || kKind == SHORTLIST_CUDA_PLANES;

// Word j of the 8 that 32 values of `bits` planes become: of each plane the word at `planes`,
// `apart` units apart.
SL_HD uint32_t widened_bits(const Unit* planes, size_t apart, unsigned bits, unsigned w,
                            unsigned j) {
  uint32_t out = 0;
  for (unsigned p = 0; p < bits; ++p)
    out = 2 * out + (planes[p * apart].word[w] >> j & 0x01010101u);
  return out;
}

// What a query's products with rows mean.
template <ShortlistCudaKind kKind>
struct Meaning {
  const ShortlistCudaScan& job;

  SL_HD unsigned bits() const { return kKind == SHORTLIST_CUDA_PLANES ? job.bits : 1; }
  // Of rows of bits, the units of a plane; else those of a row.
  SL_HD size_t length() const {
    return kKind == SHORTLIST_CUDA_PLANES ? job.plane : job.units_per_row;
  }
  SL_HD size_t query_units() const { return kOfBits<kKind> ? 8 * length() : length(); }

  // What does not depend on the query.
  struct OfRow {
    float add, rescale;
  };
  SL_HD OfRow of_row(size_t row) const {
    if constexpr (kKind == SHORTLIST_CUDA_PLANES)
      return {job.add[row], job.rescale[row]};
    else
      return {job.bias ? job.bias[row] : 0.0f, 0.0f};
  }
  template <class Sum>
  SL_HD float distance(Sum sum, size_t q, const OfRow& row) const {
    if constexpr (kKind == SHORTLIST_CUDA_PLANES) {
      const float value = 0.5f * static_cast<float>(2 * int64_t{sum} - job.offset[q]);
      const float told = job.near[q] + row.add + row.rescale * job.scale[q] * value;
      return told < job.least ? job.least : told;
    } else if constexpr (kKind == SHORTLIST_CUDA_HAMMING) {
      return job.near[q] + static_cast<float>(sum);
    } else {
      constexpr float kFactor = kKind <= SHORTLIST_CUDA_L2_I8 ? -2.0f : -1.0f;
      return multiply_add(kFactor, static_cast<float>(sum), row.add);
    }
  }
};

constexpr unsigned kLevelFactor = 8;

// Which groups of 32 rows a level is of: every step-th, but for those that the level before it, of
// every (kLevelFactor * step)-th, had.
struct Level {
  unsigned step, size;
  bool first;

  SL_HD Level(size_t groups, size_t step, bool first)
      : step(static_cast<unsigned>(step)), first(first) {
    const size_t before = first ? 0 : (groups + kLevelFactor * step - 1) / (kLevelFactor * step);
    size = static_cast<unsigned>((groups + step - 1) / step - before);
  }
  SL_HD unsigned group(unsigned i) const {
    return step * (first ? i : i + i / (kLevelFactor - 1) + 1);
  }
};

// The room of a job: keys that are waiting, of each query `capacity`, and what is known of it.
struct Waiting {
  size_t capacity;
  Key* keys;
  unsigned* counts;
  float* bounds;
  uint32_t *again, *again_n;  // queries for which there was no room

  SL_HD static size_t capacity_for(size_t k) { return 16 * k > 2048 ? 16 * k : 2048; }
  SL_HD static size_t bytes(const ShortlistCudaScan& job) {
    return job.queries_n * (capacity_for(job.k) * sizeof(Key) + 3 * sizeof(uint32_t)) + sizeof(Key);
  }
  SL_HD explicit Waiting(const ShortlistCudaScan& job)
      : capacity(capacity_for(job.k)),
        keys(static_cast<Key*>(job.room)),
        counts(reinterpret_cast<unsigned*>(keys + job.queries_n * capacity)),
        bounds(reinterpret_cast<float*>(counts + job.queries_n)),
        again(reinterpret_cast<uint32_t*>(bounds + job.queries_n)),
        again_n(again + job.queries_n) {}
  // The first level's step: as many groups as there is room for the rows of.
  SL_HD size_t first_step(size_t groups) const {
    size_t step = 1;
    while ((groups + step - 1) / step * 32 > capacity) step *= kLevelFactor;
    return step;
  }
};

template <ShortlistCudaKind kKind, class Group>
class Many {
 public:
  using Tensor = TensorOf<kKind>;
  using Sum = typename Tensor::Sum;
  static constexpr unsigned kQueries = 128, kRows = 256, kLanes = 256;
  static constexpr unsigned kGroup = Interleaved::kRows;
  static constexpr unsigned kGroups = kRows / kGroup;
  static constexpr unsigned kUnits = 8;  // that a step multiplies
  static constexpr unsigned kStages = kOfBits<kKind> ? 2 : 3;

  SL_HD static size_t shared_units(const ShortlistCudaScan& job) {
    const size_t rows = kOfBits<kKind> ? Meaning<kKind>{job}.bits() : kUnits;
    return kStages * (kUnits * kQueries + rows * kRows) + (kOfBits<kKind> ? kUnits * kRows : 0);
  }

  SL_TILE Many(const Group& group, const ShortlistCudaScan& job, size_t tile, Unit* shared)
      : group_(group),
        job_(job),
        meaning_{job},
        first_(tile * kQueries),
        steps_(static_cast<unsigned>(kOfBits<kKind> ? meaning_.length()
                                                    : (meaning_.length() + kUnits - 1) / kUnits)),
        queries_(shared),
        rows_(queries_ + kStages * kUnits * kQueries),
        wide_(rows_ + kStages * raw() * kRows) {}

  // Keeps of the level's tiles [begin, end) what the bounds leave.
  SL_TILE void keep_near(const Level& level, unsigned begin, unsigned end, const Waiting& waiting) {
    Own<Bounds> bounds(group_);
    group_.apart([&](unsigned lane) {
      for (unsigned i = 0; i < 8; ++i) {
        const size_t q = number(query_of(lane, i));
        bounds[lane].of[i] = q < job_.queries_n ? waiting.bounds[q] : bits_as<float>(0x7fc00000u);
      }
    });
    go(level, begin, end, [&](unsigned tile, Own<Sums>& sums) {
      group_.apart([&](unsigned lane) {
        for_each(
            level, tile, lane, sums[lane],
            [&](unsigned i, float distance) { return distance <= bounds[lane].of[i]; },
            [&](unsigned, size_t q, uint32_t row, float distance) {
              const unsigned place = group_.add(waiting.counts + q, 1);
              if (place < waiting.capacity)
                waiting.keys[q * waiting.capacity + place] = key_of(distance, row);
            });
      });
    });
  }

  // The nearest alone, of tiles [begin, end): part `part` of `parts`, to the room.
  SL_TILE void keep_nearest(unsigned begin, unsigned end, size_t part, size_t parts) {
    Own<Best> best(group_);
    group_.each([&](unsigned lane) {
      for (Key& key : best[lane].of) key = kNone;
    });
    const Level all((job_.n + kGroup - 1) / kGroup, 1, true);
    go(all, begin, end, [&](unsigned tile, Own<Sums>& sums) {
      group_.apart([&](unsigned lane) {
        for_each(
            all, tile, lane, sums[lane],
            [&](unsigned i, float distance) { return key_of(distance, 0) < best[lane].of[i]; },
            [&](unsigned i, size_t, uint32_t row, float distance) {
              const Key key = key_of(distance, row);
              if (key < best[lane].of[i]) best[lane].of[i] = key;
            });
      });
    });
    // Each query is with 16 lanes: 4 of each of 4 warps.
    Key* const keys = reinterpret_cast<Key*>(queries_);
    group_.each([&](unsigned lane) {
      for (unsigned i = 0; i < 8; ++i)
        keys[query_of(lane, i) * 16 + lane / 32 % 4 * 4 + lane % 4] = best[lane].of[i];
    });
    group_.each([&](unsigned lane) {
      const size_t q = number(lane);
      if (lane >= kQueries || q == job_.queries_n) return;
      Key least = keys[lane * 16];
      for (unsigned i = 1; i < 16; ++i)
        if (keys[lane * 16 + i] < least) least = keys[lane * 16 + i];
      static_cast<Key*>(job_.room)[q * parts + part] = least;
    });
  }

 private:
  template <class T>
  using Own = typename Group::template Own<T>;
  struct Sums {
    Sum of[4][8][4];
  };
  struct Best {
    Key of[8];
  };
  struct Bounds {
    float of[8];
  };

  // Units of a row that a step reads.
  SL_TILE unsigned raw() const {
    if constexpr (kOfBits<kKind>) return meaning_.bits();
    return kUnits;
  }
  SL_TILE size_t number(size_t i) const {
    return chosen_query(job_.chosen, job_.chosen_n, job_.queries_n, first_ + i);
  }
  // The i-th of the 8 queries of a lane, in the tile.
  SL_TILE static unsigned query_of(unsigned lane, unsigned i) {
    return lane / 128 * 64 + i / 2 * 16 + i % 2 * 8 + lane % 32 / 4;
  }

  // Steps one after the other, of tiles one after the other.
  struct Cursor {
    unsigned tile, step = 0, stage = 0;

    SL_TILE void next(unsigned steps) {
      if (++step == steps) ++tile, step = 0;
      if (++stage == kStages) stage = 0;
    }
  };

  // Multiplies tiles [begin, end) of a level, one after the other; use(tile, sums) after each.
  // What the next steps multiply is on its way meanwhile.
  template <class Use>
  SL_TILE void go(const Level& level, unsigned begin, unsigned end, const Use& use) {
    Cursor ahead{begin};
    for (unsigned s = 0; s + 1 < kStages; ++s) fetch(level, end, ahead);
    Own<Sums> sums(group_);
    for (Cursor at{begin}; at.tile < end; at.next(steps_)) {
      group_.template arrived<kStages - 2>();
      fetch(level, end, ahead);
      const Unit* const queries = queries_ + at.stage * kUnits * kQueries;
      const Unit* rows = rows_ + at.stage * raw() * kRows;
      if constexpr (kOfBits<kKind>) {
        group_.each([&](unsigned lane) {
          for (unsigned i = lane; i < kRows * kUnits; i += kLanes) {
            const unsigned row = i % kRows, u = i / kRows;
            Unit& to = wide_[u * kRows + row];
            SL_UNROLL
            for (unsigned j = 0; j < 4; ++j)
              to.word[j] = widened_bits(rows + row, kRows, raw(), u / 2, u % 2 * 4 + j);
          }
        });
        rows = wide_;
      }
      if (at.step == 0) group_.apart([&](unsigned lane) { sums[lane] = Sums{}; });
      SL_UNROLL
      for (unsigned u = 0; u < kUnits; u += 2)
        group_.template products<Tensor, 4, 8>(
            sums,
            [&](unsigned warp, unsigned m, unsigned i, unsigned row) {
              return queries + (u + i / 2) * kQueries + warp / 4 * 64 + m * 16 + i % 2 * 8 + row;
            },
            [&](unsigned warp, unsigned n, unsigned i, unsigned row) {
              return rows + (u + i) * kRows + warp % 4 * 64 + n * 8 + row;
            });
      if (at.step == steps_ - 1) use(at.tile, sums);
    }
    group_.template arrived<0>();
  }

  // What a step multiplies begins to be copied.
  SL_TILE void fetch(const Level& level, unsigned end, Cursor& at) {
    if (at.tile < end)
      group_.apart([&](unsigned lane) {
        const Interleaved queries{static_cast<const Unit*>(job_.queries), meaning_.query_units()};
        for (unsigned i = lane; i < kUnits * kQueries; i += kLanes) {
          const unsigned r = i / (kGroup * kUnits) * kGroup + i % kGroup, u = i / kGroup % kUnits;
          const size_t q = number(r), unit = at.step * kUnits + u;
          const bool there = q < job_.queries_n && unit < queries.per_row;
          group_.fetch(queries_ + (at.stage * kUnits + u) * kQueries + r,
                       there ? &queries.at(q, unit) : queries.units, there);
        }
        const Interleaved rows{static_cast<const Unit*>(job_.rows), job_.units_per_row};
        for (unsigned i = lane; i < raw() * kRows; i += kLanes) {
          const unsigned g = i / (kGroup * raw()), r = i % kGroup, u = i / kGroup % raw();
          const unsigned group = at.tile * kGroups + g;
          const size_t unit =
              kOfBits<kKind> ? u * meaning_.length() + at.step : at.step * kUnits + u;
          const bool there = group < level.size && unit < rows.per_row;
          group_.fetch(rows_ + (at.stage * raw() + u) * kRows + g * kGroup + r,
                       there ? &rows.at(size_t{level.group(group)} * kGroup + r, unit) : rows.units,
                       there);
        }
      });
    at.next(steps_);
    group_.commit();
  }

  // call(i, query, row, distance) of a lane's i-th query for all rows for which wanted(i,
  // distance), which is seldom: of 16 distances at a time it is asked first whether there is one.
  template <class Wanted, class Call>
  SL_TILE void for_each(const Level& level, unsigned tile, unsigned lane, const Sums& sums,
                        const Wanted& wanted, const Call& call) const {
    uint32_t queries[8];
    SL_UNROLL
    for (unsigned i = 0; i < 8; ++i) {
      const size_t q = number(query_of(lane, i));
      queries[i] = q < job_.queries_n ? static_cast<uint32_t>(q) : 0;
    }
    const auto n_rows = static_cast<uint32_t>(job_.n);
    SL_UNROLL
    for (unsigned n = 0; n < 8; ++n) {
      uint32_t rows[2];
      float distances[2][8];
      bool any = false;
      SL_UNROLL
      for (unsigned c = 0; c < 2; ++c) {
        const unsigned r = lane / 32 % 4 * 64 + n * 8 + 2 * (lane % 4) + c;
        const unsigned group = tile * kGroups + r / kGroup;
        rows[c] = group < level.size ? level.group(group) * kGroup + r % kGroup : n_rows;
        if (rows[c] < n_rows && job_.allowed && !(job_.allowed[rows[c] / 32] >> rows[c] % 32 & 1))
          rows[c] = n_rows;
        const auto terms = meaning_.of_row(rows[c] < n_rows ? rows[c] : 0);
        SL_UNROLL
        for (unsigned i = 0; i < 8; ++i) {
          distances[c][i] = meaning_.distance(sums.of[i / 2][n][i % 2 * 2 + c], queries[i], terms);
          any |= wanted(i, distances[c][i]);
        }
      }
      if (!any) continue;
      SL_UNROLL
      for (unsigned c = 0; c < 2; ++c) {
        SL_UNROLL
        for (unsigned i = 0; i < 8; ++i)
          if (rows[c] < n_rows && wanted(i, distances[c][i]))
            call(i, queries[i], rows[c], distances[c][i]);
      }
    }
  }

  const Group& group_;
  const ShortlistCudaScan& job_;
  const Meaning<kKind> meaning_;
  const size_t first_;
  const unsigned steps_;
  Unit *const queries_, *const rows_, *const wide_;
};

// What was kept for query q: the k nearest stay, and bound what the next level keeps. After the
// last level they are written, unless there was no room for all.
template <class Group>
SL_TILE void settle_level(const Group& group, const ShortlistCudaScan& job, const Waiting& waiting,
                          size_t q, bool last, void* shared) {
  Nearest<Group> nearest(group, static_cast<unsigned>(job.k), shared);
  Key* const keys = waiting.keys + q * waiting.capacity;
  const unsigned count = waiting.counts[q];
  const bool fits = count <= waiting.capacity;
  select(group, keys, fits ? count : waiting.capacity, nearest);
  if (last && fits) {
    write_nearest(group, nearest, job, job.distances + q * job.k, job.numbers + q * job.k);
    return;
  }
  const Key* const best = nearest.finish();
  group.each([&](unsigned lane) {
    for (size_t i = lane; i < job.k; i += group.lanes()) keys[i] = best[i];
    if (lane) return;
    const Key kth = best[job.k - 1];
    if (kth != kNone) waiting.bounds[q] = distance_of(kth);
    // Once without room, nothing that comes later changes that.
    if (!fits) {
      waiting.counts[q] = static_cast<unsigned>(waiting.capacity) + 1;
      if (last) waiting.again[group.add(waiting.again_n, 1)] = static_cast<uint32_t>(q);
      return;
    }
    const size_t k = count < job.k ? count : job.k;
    waiting.counts[q] = static_cast<unsigned>(k);
  });
}

// A query of scan_many by itself, as `scan` takes it: the same distances but for the order in which
// floats are added.
template <ShortlistCudaKind kKind>
struct Alone {
  using Tensor = TensorOf<kKind>;
  using Sum = typename Tensor::Sum;
  Meaning<kKind> meaning;
  const Unit* query;
  size_t q;

  SL_HD void add(Sum& sum, size_t u, const Unit& x) const {
    if constexpr (kOfBits<kKind>) {
      const size_t length = meaning.length();
      const auto shift = static_cast<unsigned>(meaning.bits() - 1 - u / length);
      const Unit* const values = query + 8 * (u % length);
      Sum part = 0;
      for (unsigned w = 0; w < 4; ++w)
        for (unsigned j = 0; j < 8; ++j)
          part += Tensor::dot(values[2 * w + j / 4].word[j % 4], x.word[w] >> j & 0x01010101u);
      sum += part * (Sum{1} << shift);
    } else {
      SL_UNROLL
      for (unsigned w = 0; w < 4; ++w) sum += Tensor::dot(query[u].word[w], x.word[w]);
    }
  }
  SL_HD float distance(Sum sum, size_t row) const {
    return meaning.distance(sum, q, meaning.of_row(row));
  }
};

template <ShortlistCudaKind kKind, class Group>
SL_HD size_t alone_shared(const ShortlistCudaScan& job, unsigned lanes) {
  return Meaning<kKind>{job}.query_units() * kUnitBytes +
         Nearest<Group>::bytes(static_cast<unsigned>(job.k), lanes);
}

template <ShortlistCudaKind kKind, class Group>
SL_TILE void alone_chunk(const Group& group, const ShortlistCudaScan& job, size_t q, size_t chunk,
                         size_t chunks, void* shared) {
  const Meaning<kKind> meaning{job};
  const size_t units = meaning.query_units();
  Unit* const query = static_cast<Unit*>(shared);
  const Interleaved from{static_cast<const Unit*>(job.queries), units};
  group.each([&](unsigned lane) {
    for (size_t u = lane; u < units; u += group.lanes()) query[u] = from.at(q, u);
  });
  scan_part(group, job, Alone<kKind>{meaning, query, q}, q, chunk, chunks, query + units);
}

}  // namespace shortlist::cuda
