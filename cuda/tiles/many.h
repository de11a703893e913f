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

  template <class Sum>
  SL_HD float distance(Sum sum, size_t q, size_t row) const {
    if constexpr (kKind == SHORTLIST_CUDA_PLANES) {
      const float value = 0.5f * static_cast<float>(2 * int64_t{sum} - job.offset[q]);
      const float told = job.near[q] + job.add[row] + job.rescale[row] * job.scale[q] * value;
      return told < job.least ? job.least : told;
    } else if constexpr (kKind == SHORTLIST_CUDA_HAMMING) {
      return job.near[q] + static_cast<float>(sum);
    } else {
      constexpr float kFactor = kKind <= SHORTLIST_CUDA_L2_I8 ? -2.0f : -1.0f;
      return multiply_add(kFactor, static_cast<float>(sum), job.bias ? job.bias[row] : 0.0f);
    }
  }
};

// Which groups of 32 rows a level is of: multiples of `step` that are no multiples of the level's
// before it, whose step is `before` (0: there was none).
struct Level {
  size_t step, before;

  SL_HD size_t size(size_t groups) const {
    const size_t all = (groups + step - 1) / step;
    return before ? all - (groups + before - 1) / before : all;
  }
  SL_HD size_t group(size_t i) const {
    return before ? step * (i + i / (before / step - 1) + 1) : step * i;
  }
};
constexpr size_t kLevelFactor = 8;

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
        groups_((job.n + kGroup - 1) / kGroup),
        raw_(kOfBits<kKind> ? meaning_.bits() : kUnits),
        steps_(static_cast<unsigned>(kOfBits<kKind> ? meaning_.length()
                                                    : (meaning_.length() + kUnits - 1) / kUnits)),
        queries_(shared),
        rows_(queries_ + kStages * kUnits * kQueries),
        wide_(rows_ + kStages * raw_ * kRows) {}

  // Keeps of the level's tiles [begin, end) what the bounds leave.
  SL_TILE void keep_near(const Level& level, size_t begin, size_t end, const Waiting& waiting) {
    go(level, begin, end, [&](size_t tile, Own<Sums>& sums) {
      group_.apart([&](unsigned lane) {
        for_each(level, tile, lane, sums[lane], [&](unsigned, size_t q, size_t row, Sum sum) {
          const float distance = meaning_.distance(sum, q, row);
          if (!(distance <= waiting.bounds[q])) return;
          const unsigned place = group_.add(waiting.counts + q, 1);
          if (place < waiting.capacity)
            waiting.keys[q * waiting.capacity + place] =
                key_of(distance, static_cast<uint32_t>(row));
        });
      });
    });
  }

  // The nearest alone, of tiles [begin, end): part `part` of `parts`, to the room.
  SL_TILE void keep_nearest(size_t begin, size_t end, size_t part, size_t parts) {
    Own<Best> best(group_);
    group_.each([&](unsigned lane) {
      for (Key& key : best[lane].of) key = kNone;
    });
    const Level all{1, 0};
    go(all, begin, end, [&](size_t tile, Own<Sums>& sums) {
      group_.apart([&](unsigned lane) {
        for_each(all, tile, lane, sums[lane], [&](unsigned i, size_t q, size_t row, Sum sum) {
          const Key key = key_of(meaning_.distance(sum, q, row), static_cast<uint32_t>(row));
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

  SL_TILE size_t number(size_t i) const {
    return chosen_query(job_.chosen, job_.chosen_n, job_.queries_n, first_ + i);
  }
  // The i-th of the 8 queries of a lane, in the tile.
  SL_TILE static unsigned query_of(unsigned lane, unsigned i) {
    return lane / 128 * 64 + i / 2 * 16 + i % 2 * 8 + lane % 32 / 4;
  }

  // Multiplies tiles [begin, end) of a level, one after the other; use(tile, sums) after each.
  // What the next steps multiply is on its way meanwhile.
  template <class Use>
  SL_TILE void go(const Level& level, size_t begin, size_t end, const Use& use) {
    const size_t all = end > begin ? (end - begin) * steps_ : 0;
    for (unsigned s = 0; s + 1 < kStages; ++s) fetch(level, begin, s, all);
    Own<Sums> sums(group_);
    for (size_t s = 0; s < all; ++s) {
      group_.template arrived<kStages - 2>();
      fetch(level, begin, s + kStages - 1, all);
      const unsigned stage = static_cast<unsigned>(s % kStages);
      const Unit* const queries = queries_ + stage * kUnits * kQueries;
      const Unit* rows = rows_ + stage * raw_ * kRows;
      if constexpr (kOfBits<kKind>) {
        group_.each([&](unsigned lane) {
          for (unsigned i = lane; i < kRows * kUnits; i += kLanes) {
            const unsigned row = i % kRows, u = i / kRows;
            Unit& to = wide_[u * kRows + row];
            SL_UNROLL
            for (unsigned j = 0; j < 4; ++j)
              to.word[j] = widened_bits(rows + row, kRows, raw_, u / 2, u % 2 * 4 + j);
          }
        });
        rows = wide_;
      }
      if (s % steps_ == 0) group_.apart([&](unsigned lane) { sums[lane] = Sums{}; });
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
      if (s % steps_ == steps_ - 1) use(begin + s / steps_, sums);
    }
    group_.template arrived<0>();
  }

  // Step s of all of them: what it multiplies begins to be copied.
  SL_TILE void fetch(const Level& level, size_t begin, size_t s, size_t all) {
    if (s < all) {
      const size_t tile = begin + s / steps_;
      const size_t step = s % steps_;
      const unsigned stage = static_cast<unsigned>(s % kStages);
      group_.apart([&](unsigned lane) {
        const Interleaved queries{static_cast<const Unit*>(job_.queries), meaning_.query_units()};
        for (unsigned i = lane; i < kUnits * kQueries; i += kLanes) {
          const unsigned r = i / (kGroup * kUnits) * kGroup + i % kGroup, u = i / kGroup % kUnits;
          const size_t q = number(r), unit = step * kUnits + u;
          const bool there = q < job_.queries_n && unit < queries.per_row;
          group_.fetch(queries_ + (stage * kUnits + u) * kQueries + r,
                       there ? &queries.at(q, unit) : queries.units, there);
        }
        const Interleaved rows{static_cast<const Unit*>(job_.rows), job_.units_per_row};
        for (unsigned i = lane; i < raw_ * kRows; i += kLanes) {
          const unsigned g = i / (kGroup * raw_), r = i % kGroup, u = i / kGroup % raw_;
          const size_t at = tile * kGroups + g;
          const size_t group = at < level.size(groups_) ? level.group(at) : groups_;
          const size_t unit = kOfBits<kKind> ? u * meaning_.length() + step : step * kUnits + u;
          const bool there = group < groups_ && unit < rows.per_row;
          group_.fetch(rows_ + (stage * raw_ + u) * kRows + g * kGroup + r,
                       there ? &rows.at(group * kGroup + r, unit) : rows.units, there);
        }
      });
    }
    group_.commit();
  }

  // call(i, query, row, sum) of all that there are among a lane's sums, of its i-th query.
  template <class Call>
  SL_TILE void for_each(const Level& level, size_t tile, unsigned lane, const Sums& sums,
                        const Call& call) const {
    size_t queries[8];
    SL_UNROLL
    for (unsigned i = 0; i < 8; ++i) queries[i] = number(query_of(lane, i));
    SL_UNROLL
    for (unsigned n = 0; n < 8; ++n) {
      SL_UNROLL
      for (unsigned c = 0; c < 2; ++c) {
        const unsigned r = lane / 32 % 4 * 64 + n * 8 + 2 * (lane % 4) + c;
        const size_t at = tile * kGroups + r / kGroup;
        if (at >= level.size(groups_)) continue;
        const size_t row = level.group(at) * kGroup + r % kGroup;
        if (row >= job_.n || (job_.allowed && !(job_.allowed[row / 32] >> row % 32 & 1))) continue;
        SL_UNROLL
        for (unsigned i = 0; i < 8; ++i)
          if (queries[i] < job_.queries_n)
            call(i, queries[i], row, sums.of[i / 2][n][i % 2 * 2 + c]);
      }
    }
  }

  const Group& group_;
  const ShortlistCudaScan& job_;
  const Meaning<kKind> meaning_;
  const size_t first_, groups_;
  const unsigned raw_, steps_;
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
    write_nearest(group, nearest, job.k, job.distances + q * job.k, job.numbers + q * job.k);
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
  SL_HD float distance(Sum sum, size_t row) const { return meaning.distance(sum, q, row); }
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
