// Graphs of fixed degree: best-first search by one block, and the choice of a row's links.
#pragma once

#include "tiles/jobs.h"

namespace shortlist::cuda {

constexpr unsigned kTeam = 8;  // lanes that compare one row, 128 bytes at a time
constexpr uint32_t kNoRow = 0xffffffffu;

// Distances to n rows, a team for each: told(i, distance) by one lane of it, within a step. row(i)
// may be kNoRow, of which nothing is told.
template <class Group, class Body, class Row, class Tell>
SL_TILE void compare(const Group& group, const Body& body, const Strided& rows, unsigned n,
                     const Row& row, const Tell& tell) {
  const unsigned teams = group.lanes() / kTeam;
  for (unsigned first = 0; first < n; first += teams) {
    typename Group::template Own<typename Body::Sum> sum(group);
    typename Group::template Own<uint32_t> mine(group);
    group.apart([&](unsigned lane) {
      const unsigned i = first + lane / kTeam;
      mine[lane] = i < n ? row(i) : kNoRow;
      if (mine[lane] == kNoRow) return;
      for (size_t u = lane % kTeam; u < rows.units(); u += kTeam)
        body.add(sum[lane], u, rows.at(mine[lane], u));
    });
    group.template sum_teams<kTeam>(sum);
    group.apart([&](unsigned lane) {
      if (lane % kTeam == 0 && mine[lane] != kNoRow)
        tell(first + lane / kTeam, body.distance(sum[lane], mine[lane]));
    });
  }
  group.each([](unsigned) {});
}

// Where in n sorted keys the first is that is not before `key`.
SL_HD unsigned place_of(const Key* keys, unsigned n, Key key) {
  unsigned low = 0;
  while (n) {
    const unsigned half = n / 2;
    if (keys[low + half] < key) {
      low += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return low;
}

// How a search divides its shared memory.
struct WalkRoom {
  SL_HD WalkRoom(const ShortlistCudaGraph& job, size_t query_bytes)
      : query(query_bytes),
        near(power_of_two_from(static_cast<unsigned>(job.ef))),
        found(job.allowed ? power_of_two_from(static_cast<unsigned>(job.k)) : 0),
        fresh(power_of_two_from(static_cast<unsigned>(job.width * job.degree))),
        met(power_of_two_from(static_cast<unsigned>(job.ef * job.degree))) {
    constexpr unsigned kMostMet = 8192;
    if (met > kMostMet) met = kMostMet;
    if (met < 2 * fresh) met = 2 * fresh;
  }
  SL_HD size_t keys() const { return near + found + fresh + (found ? fresh : 0); }
  SL_HD size_t numbers() const { return size_t{met} + 2 * fresh + 3; }
  SL_HD size_t bytes() const { return query + keys() * sizeof(Key) + numbers() * sizeof(unsigned); }

  size_t query;
  unsigned near, found, fresh, met;
};

// The search for query q. Keys have a mark behind the number: set once a row's links were followed.
//
// Rows that were met are kept in a table, which is emptied when it is half full: what is forgotten
// may be compared again, but was either kept and is found there, or is too far once more. So the
// table saves work and has no part in what is found.
template <ShortlistCudaKind kKind, class Group>
class GraphWalk {
 public:
  SL_TILE GraphWalk(const Group& group, const ShortlistCudaGraph& job, size_t q, void* shared)
      : group_(group),
        job_(job),
        q_(q),
        room_(job, query_bytes(job)),
        rows_{static_cast<const unsigned char*>(job.rows), job.stride, job.bytes},
        query_(static_cast<Unit*>(shared)),
        near_(reinterpret_cast<Key*>(query_ + room_.query / kUnitBytes)),
        found_(near_ + room_.near),
        fresh_(found_ + room_.found),
        admitted_(fresh_ + room_.fresh),
        met_(reinterpret_cast<unsigned*>(near_ + room_.keys())),
        numbers_(met_ + room_.met),
        parents_(numbers_ + room_.fresh),
        parents_n_(parents_ + room_.fresh),
        numbers_n_(parents_n_ + 1),
        cursor_(numbers_n_ + 1) {}

  SL_HD static size_t shared_bytes(const ShortlistCudaGraph& job) {
    return WalkRoom(job, query_bytes(job)).bytes();
  }

  SL_TILE void run() {
    begin();
    for (size_t first = 0; first < job_.entries_n; first += room_.fresh) {
      const size_t left = job_.entries_n - first;
      meet(left < room_.fresh ? static_cast<unsigned>(left) : room_.fresh,
           [&](unsigned i) { return job_.entries[first + i]; });
    }
    for (size_t left = job_.steps; left;) {
      const unsigned n = choose(left < job_.width ? left : job_.width);
      if (!n) break;
      left -= n;
      const unsigned degree = static_cast<unsigned>(job_.degree);
      meet(n * degree,
           [&](unsigned i) { return job_.links[parents_[i / degree] * job_.degree + i % degree]; });
    }
    write_keys(group_, room_.found ? found_ : near_, job_, job_.distances + q_ * job_.k,
               job_.numbers + q_ * job_.k,
               [](uint32_t number) { return static_cast<int64_t>(number >> 1); });
  }

 private:
  SL_HD static size_t query_bytes(const ShortlistCudaGraph& job) {
    return BodyOf<kKind>::query_bytes((job.bytes + kUnitBytes - 1) / kUnitBytes);
  }

  SL_TILE void begin() {
    const Unit* const from =
        static_cast<const Unit*>(job_.queries) + q_ * (room_.query / kUnitBytes);
    group_.each([&](unsigned lane) {
      for (size_t u = lane; u < room_.query / kUnitBytes; u += group_.lanes()) query_[u] = from[u];
      for (unsigned i = lane; i < room_.near + room_.found; i += group_.lanes()) near_[i] = kNone;
      if (lane == 0) *numbers_n_ = *cursor_ = 0;
    });
    forget();
  }
  SL_TILE void forget() {
    group_.each([&](unsigned lane) {
      for (unsigned i = lane; i < room_.met; i += group_.lanes()) met_[i] = kNoRow;
    });
    met_n_ = 0;
  }

  // Marks the nearest rows without a mark, `most` at most, as parents; returns how many.
  SL_TILE unsigned choose(size_t most) {
    group_.each([&](unsigned lane) {
      if (lane) return;
      unsigned n = 0, at = *cursor_;  // those before it have marks
      for (; at < job_.ef && n < most && near_[at] != kNone; ++at) {
        if (near_[at] & 1) continue;
        near_[at] |= 1;
        parents_[n++] = number_of(near_[at]) >> 1;
      }
      *cursor_ = at;
      *parents_n_ = n;
    });
    return told(parents_n_);
  }

  // Takes in those of n rows that were not met before.
  template <class Number>
  SL_TILE void meet(unsigned n, const Number& number) {
    if (met_n_ + n > room_.met / 2) forget();
    group_.each([&](unsigned lane) {
      for (unsigned i = lane; i < n; i += group_.lanes()) {
        const uint32_t row = number(i);
        if (row < job_.n && !was_met(row)) numbers_[group_.add(numbers_n_, 1)] = row;
      }
    });
    const unsigned fresh = told(numbers_n_);
    if (!fresh) return;
    met_n_ += fresh;
    const unsigned size = power_of_two_from(fresh);
    group_.each([&](unsigned lane) {
      for (unsigned i = fresh + lane; i < size; i += group_.lanes()) {
        fresh_[i] = kNone;
        if (room_.found) admitted_[i] = kNone;
      }
    });
    BodyOf<kKind> body;
    body.query = reinterpret_cast<decltype(body.query)>(query_);
    compare(
        group_, body, rows_, fresh, [&](unsigned i) { return numbers_[i]; },
        [&](unsigned i, float distance) {
          const uint32_t row = numbers_[i];
          const Key key = key_of(distance, row << 1);
          fresh_[i] = is_new(near_, room_.near, job_.ef, key) ? key : kNone;
          if (room_.found)
            admitted_[i] =
                job_.allowed[row / 32] >> row % 32 & 1 && is_new(found_, room_.found, job_.k, key)
                    ? key
                    : kNone;
        });
    sort(group_, fresh_, size);
    group_.each([&](unsigned lane) {
      if (lane) return;
      const unsigned first = place_of(near_, room_.near, fresh_[0]);
      if (first < *cursor_) *cursor_ = first;
      *numbers_n_ = 0;
    });
    merge(group_, near_, room_.near, fresh_, size);
    if (!room_.found) return;
    sort(group_, admitted_, size);
    merge(group_, found_, room_.found, admitted_, size);
  }
  // Whether `key` is before the last of `kept` that count, and not there.
  SL_TILE static bool is_new(const Key* keys, unsigned n, size_t kept, Key key) {
    if (key >= keys[kept - 1]) return false;
    const unsigned at = place_of(keys, n, key);
    return (keys[at] & ~Key{1}) != key;
  }
  SL_TILE bool was_met(uint32_t row) {
    for (unsigned at = row * 0x9e3779b1u >> 7;; ++at) {
      const unsigned before = group_.put(&met_[at & (room_.met - 1)], kNoRow, row);
      if (before == row) return true;
      if (before == kNoRow) return false;
    }
  }

  // What lanes share, to all of them.
  SL_TILE unsigned told(const unsigned* shared) {
    typename Group::template Own<unsigned> own(group_);
    group_.each([&](unsigned lane) { own[lane] = *shared; });
    return own[0];
  }

  const Group& group_;
  const ShortlistCudaGraph& job_;
  const size_t q_;
  const WalkRoom room_;
  const Strided rows_;
  unsigned met_n_ = 0;
  Unit* const query_;
  Key *const near_, *const found_, *const fresh_, *const admitted_;
  unsigned *const met_, *const numbers_, *const parents_, *const parents_n_, *const numbers_n_,
                                                                                 *const cursor_;
};

// The i-th of all links, those that are first among their row's before those that are second: the
// row it comes from, and where it leads to, or n.
struct Link {
  SL_HD Link(const ShortlistCudaReverse& job, size_t i) : from(static_cast<uint32_t>(i % job.n)) {
    const uint32_t number = job.links[size_t{from} * job.degree + i / job.n];
    to = number < job.n ? number : static_cast<uint32_t>(job.n);
  }
  uint32_t from, to;
};

// Candidate i of all, where the rows that link to row r are sources[starts[r]] and on.
SL_HD int64_t both_ways(const ShortlistCudaReverse& job, const uint64_t* starts,
                        const uint32_t* sources, size_t i) {
  const size_t width = job.degree + job.most, row = i / width, at = i % width;
  if (at < job.degree) {
    const uint32_t to = job.links[row * job.degree + at];
    return to < job.n ? static_cast<int64_t>(to) : -1;
  }
  const uint64_t place = starts[row] + (at - job.degree);
  return place < starts[row + 1] ? static_cast<int64_t>(sources[place]) : -1;
}

// Of candidates for links.
enum class Choice : unsigned char {
  open,
  tied,    // as near to one that was taken
  nearer,  // to one that was taken: it may fill what is left
  gone
};

// Shared memory: a row as a query, and what becomes of each candidate.
template <ShortlistCudaKind kKind>
SL_HD size_t prune_shared(const ShortlistCudaPrune& job) {
  return BodyOf<kKind>::query_bytes((job.bytes + kUnitBytes - 1) / kUnitBytes) + job.candidates_n;
}

// Links of the i-th row that is asked for. Each candidate that is taken is compared with all that
// are still open behind it.
template <ShortlistCudaKind kKind, class Group>
SL_TILE void prune_row(const Group& group, const ShortlistCudaPrune& job, size_t i, void* shared) {
  const Strided rows{static_cast<const unsigned char*>(job.rows), job.stride, job.bytes};
  const size_t row = job.first + i, units = rows.units();
  const unsigned n = static_cast<unsigned>(job.candidates_n),
                 most = static_cast<unsigned>(job.degree);
  const int64_t* const numbers = job.candidates + i * n;
  const float* const distances = job.distances + i * n;
  uint32_t* const links = job.links + row * job.apart;
  using Query = std::remove_const_t<std::remove_pointer_t<decltype(BodyOf<kKind>::query)>>;
  BodyOf<kKind> body;
  auto* const query = static_cast<Query*>(shared);
  body.query = query;
  Choice* const choices = reinterpret_cast<Choice*>(static_cast<unsigned char*>(shared) +
                                                    BodyOf<kKind>::query_bytes(units));
  group.each([&](unsigned lane) {
    for (unsigned c = lane; c < n; c += group.lanes()) {
      const int64_t x = numbers[c];
      const bool there = x >= 0 && static_cast<size_t>(x) < job.rows_n &&
                         static_cast<size_t>(x) != row && !(c && numbers[c - 1] == x);
      choices[c] = there ? Choice::open : Choice::gone;
    }
  });
  unsigned taken = 0;
  for (unsigned next = 0, ties = 0; taken < most; ++next) {
    struct At {
      unsigned place;
      bool tied;
    };
    typename Group::template Own<At> at(group);
    group.each([&](unsigned lane) {
      unsigned c = next;
      while (c < n && choices[c] != Choice::open && choices[c] != Choice::tied) ++c;
      at[lane] = {c, c < n && choices[c] == Choice::tied};
    });
    next = at[0].place;
    if (next == n) break;
    const bool take = !at[0].tied || ++ties <= most / 2;
    const size_t number = static_cast<size_t>(numbers[next]);
    group.each([&](unsigned lane) {
      if (lane == 0) choices[next] = take ? Choice::gone : Choice::nearer;
      if (!take) return;
      if (lane == 0) links[taken] = static_cast<uint32_t>(number);
      for (size_t u = lane; u < units; u += group.lanes())
        BodyOf<kKind>::ask_for(query, u, rows.at(number, u));
    });
    if (!take) continue;
    ++taken;
    const unsigned first = next + 1;
    compare(
        group, body, rows, n - first,
        [&](unsigned j) {
          const Choice c = choices[first + j];
          return c == Choice::open || c == Choice::tied ? static_cast<uint32_t>(numbers[first + j])
                                                        : kNoRow;
        },
        [&](unsigned j, float between) {
          const float own = distances[first + j];
          if (between < own)
            choices[first + j] = Choice::nearer;
          else if (between == own)
            choices[first + j] = Choice::tied;
        });
  }
  group.each([&](unsigned lane) {
    if (lane) return;
    for (unsigned c = 0; c < n && taken < most; ++c)
      if (choices[c] == Choice::nearer) links[taken++] = static_cast<uint32_t>(numbers[c]);
    while (taken < most) links[taken++] = kNoRow;
  });
}

}  // namespace shortlist::cuda
