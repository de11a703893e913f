// The nearest of many centroids for each of many rows: a block of rows against all centroids, a
// tile of both at a time, so that each number that is loaded is used 64 times.
#pragma once

#include "plugin.h"
#include "tiles/nearest.h"

namespace shortlist::cuda {

template <class Group>
class Assign {
 public:
  static constexpr unsigned kRows = 64, kCentroids = 64, kDepth = 16;  // of a tile
  static constexpr unsigned kEach = 4;  // rows and centroids of a lane
  static constexpr unsigned kAcross = kCentroids / kEach;
  static constexpr unsigned kLanes = kRows / kEach * kAcross;
  struct Shared {
    // Padded, so that a column is written to different banks.
    float rows[kDepth][kRows + 4], centroids[kDepth][kCentroids + 4];
    Key best[kRows][kAcross];
  };

  // The rows from kRows * block on.
  SL_TILE static void run(const Group& group, const ShortlistCudaAssign& job, size_t block,
                          Shared& shared) {
    const size_t first = block * kRows;
    Own<Best> best(group);
    group.each([&](unsigned lane) {
      for (Key& key : best[lane].of) key = kNone;
    });
    for (size_t from = 0; from < job.k; from += kCentroids) {
      Own<Sums> sums(group);
      group.each([&](unsigned lane) { sums[lane] = Sums{}; });
      for (size_t depth = 0; depth < job.d; depth += kDepth) {
        group.each([&](unsigned lane) {
          load(job.rows, job.n, job.d, first, depth, lane, shared.rows);
          load(job.centroids, job.k, job.d, from, depth, lane, shared.centroids);
        });
        group.each([&](unsigned lane) { multiply(shared, lane, sums[lane]); });
      }
      group.each([&](unsigned lane) { keep(job, from, lane, sums[lane], best[lane]); });
    }
    group.each([&](unsigned lane) {
      for (unsigned i = 0; i < kEach; ++i)
        shared.best[row_of(lane) + i][lane % kAcross] = best[lane].of[i];
    });
    group.each([&](unsigned lane) {
      if (lane >= kRows || first + lane >= job.n) return;
      Key least = shared.best[lane][0];
      for (unsigned i = 1; i < kAcross; ++i)
        if (shared.best[lane][i] < least) least = shared.best[lane][i];
      // A row with NaN is nearest to none: it goes to the first.
      job.labels[first + lane] = least == kNone ? 0 : number_of(least);
      job.scores[first + lane] = least == kNone ? bits_as<float>(0x7fc00000u) : distance_of(least);
    });
  }

 private:
  template <class T>
  using Own = typename Group::template Own<T>;
  struct Sums {
    float of[kEach][kEach];
  };
  struct Best {
    Key of[kEach];
  };

  SL_TILE static unsigned row_of(unsigned lane) { return lane / kAcross * kEach; }
  SL_TILE static unsigned centroid_of(unsigned lane) { return lane % kAcross * kEach; }

  // Zeros where there is nothing. Neighbouring lanes read neighbouring numbers of a row.
  template <unsigned kPadded>
  SL_TILE static void load(const float* from, size_t n, size_t d, size_t first, size_t depth,
                           unsigned lane, float (&to)[kDepth][kPadded]) {
    for (unsigned i = lane; i < kDepth * kRows; i += kLanes) {
      const size_t row = first + i / kDepth, t = depth + i % kDepth;
      to[i % kDepth][i / kDepth] = row < n && t < d ? from[row * d + t] : 0;
    }
  }

  SL_TILE static void multiply(const Shared& shared, unsigned lane, Sums& sums) {
    SL_UNROLL
    for (unsigned t = 0; t < kDepth; ++t) {
      float a[kEach], b[kEach];
      SL_UNROLL
      for (unsigned i = 0; i < kEach; ++i) {
        a[i] = shared.rows[t][row_of(lane) + i];
        b[i] = shared.centroids[t][centroid_of(lane) + i];
      }
      SL_UNROLL
      for (unsigned i = 0; i < kEach; ++i) {
        SL_UNROLL
        for (unsigned j = 0; j < kEach; ++j)
          sums.of[i][j] = multiply_add(a[i], b[j], sums.of[i][j]);
      }
    }
  }

  SL_TILE static void keep(const ShortlistCudaAssign& job, size_t from, unsigned lane,
                           const Sums& sums, Best& best) {
    SL_UNROLL
    for (unsigned j = 0; j < kEach; ++j) {
      const size_t c = from + centroid_of(lane) + j;
      if (c >= job.k) break;
      SL_UNROLL
      for (unsigned i = 0; i < kEach; ++i) {
        const Key key = key_of(job.bias[c] - sums.of[i][j], static_cast<uint32_t>(c));
        if (key < best.of[i]) best.of[i] = key;
      }
    }
  }
};

// What a row is sorted by: its label, or k where that is no centroid.
SL_HD uint32_t sorted_label(const ShortlistCudaUpdate& job, size_t i) {
  const auto label = static_cast<uint64_t>(job.labels[i]);
  return static_cast<uint32_t>(label < job.k ? label : job.k);
}

// Centroid c as the mean of the rows order[starts[c]] to order[starts[c + 1]]; without rows it
// stays. Each lane sums dimensions of its own, in that order: the same bits each time.
template <class Group>
SL_TILE void update_centroid(const Group& group, const ShortlistCudaUpdate& job,
                             const uint32_t* order, const uint64_t* starts, size_t c) {
  const uint64_t begin = starts[c], end = starts[c + 1];
  group.each([&](unsigned lane) {
    double total = static_cast<double>(end - begin);
    if (job.weights) {
      total = 0;
      for (uint64_t i = begin; i < end; ++i) total += double{job.weights[order[i]]};
    }
    if (lane == 0) {
      job.counts[c] = end - begin;
      if (job.totals) job.totals[c] = total;
    }
    for (size_t t = lane; total > 0 && t < job.d; t += group.lanes()) {
      double sum = 0;
      for (uint64_t i = begin; i < end; ++i) {
        const double weight = job.weights ? double{job.weights[order[i]]} : 1.0;
        sum += weight * double{job.rows[size_t{order[i]} * job.d + t]};
      }
      job.centroids[c * job.d + t] = static_cast<float>(sum / total);
    }
  });
}

}  // namespace shortlist::cuda
