// Candidates gathered and compared again: one row by a warp, and late interaction of many rows.
#pragma once

#include "bodies/vectors.h"
#include "host_device.h"

namespace shortlist::cuda {

// Rows one after the other, as arrays hold them, `stride` bytes apart.
struct Strided {
  const unsigned char* data;
  size_t stride, bytes;  // bytes: of a row

  SL_HD size_t units() const { return (bytes + kUnitBytes - 1) / kUnitBytes; }
  // In one load where the address allows it; past the row's end are zeros.
  SL_HD Unit at(size_t row, size_t u) const {
    const unsigned char* from = data + row * stride + u * kUnitBytes;
    const size_t left = bytes - u * kUnitBytes;
    if (left >= kUnitBytes && reinterpret_cast<uintptr_t>(from) % kUnitBytes == 0)
      return *reinterpret_cast<const Unit*>(from);
    Unit out{};
    for (unsigned i = 0; i < kUnitBytes && i < left; ++i)
      out.word[i / 4] |= static_cast<uint32_t>(from[i]) << 8 * (i % 4);
    return out;
  }
};

// The distance to one row: lane l takes units l, l + 32, ..., whose sums are added by halves.
template <class Group, class Body, class Rows>
SL_TILE float rescore(const Group& group, const Body& body, const Rows& rows, size_t row,
                      size_t units) {
  typename Group::template Own<typename Body::Sum> sum(group);
  group.each([&](unsigned lane) {
    for (size_t u = lane; u < units; u += group.lanes()) body.add(sum[lane], u, rows.at(row, u));
  });
  return body.distance(group.sum(sum), row);
}

// MaxSim (ColBERT: Khattab and Zaharia 2020, arXiv 2004.12832): of each token of the query the
// largest product with a token of the document, summed. `queries` has kNumbers floats for each unit
// of each token. Each lane has tokens of the document of its own. 0 for a document without tokens.
template <class Type, class Group>
SL_TILE float max_sim(const Group& group, const float* queries, size_t query_tokens,
                      const Strided& rows, size_t begin, size_t end) {
  constexpr unsigned kTogether =
      8;  // tokens of the query for each one of the document that is read
  struct Best {
    float of[kTogether];
  };
  using Body = Floats<Type, Measure::ip>;
  if (begin >= end) return 0;
  const size_t length = rows.units() * Type::kNumbers;
  float total = 0;
  for (size_t first = 0; first < query_tokens; first += kTogether) {
    const size_t n = query_tokens - first < kTogether ? query_tokens - first : kTogether;
    typename Group::template Own<Best> best(group);
    group.each([&](unsigned lane) {
      for (float& b : best[lane].of) b = -__builtin_inff();
      for (size_t token = begin + lane; token < end; token += group.lanes()) {
        float sums[kTogether] = {};
        for (size_t u = 0; u < rows.units(); ++u) {
          const Unit x = rows.at(token, u);
          SL_UNROLL
          for (unsigned j = 0; j < kTogether; ++j)
            if (j < n) Body{queries + (first + j) * length}.add(sums[j], u, x);
        }
        SL_UNROLL
        for (unsigned j = 0; j < kTogether; ++j)
          if (sums[j] > best[lane].of[j]) best[lane].of[j] = sums[j];
      }
    });
    SL_UNROLL
    for (unsigned j = 0; j < kTogether; ++j) {
      typename Group::template Own<float> one(group);
      group.each([&](unsigned lane) { one[lane] = best[lane].of[j]; });
      const float most = group.most(one);
      if (j < n) total += most;
    }
  }
  return total;
}

}  // namespace shortlist::cuda
