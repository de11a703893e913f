// Bits that differ or are common, over the vectors V of one ISA, which also offer differing(x, y)
// and common(x, y) of two Bytes, and ones(x), how many are set in each lane of Ints.
#pragma once

#include <iterator>

#include "kernels/rows.h"

namespace shortlist::kernels::hamming {
namespace {

template <class Isa>
struct Bits : ByteRows<Isa> {
  using V = Isa;
  static typename V::Ints step(typename V::Ints acc, typename V::Bytes q, typename V::Bytes x) {
    return V::add(acc, V::ones(V::differing(q, x)));
  }
};

// near_bits of rows of any size.
template <class V>
void near_any(const std::byte* query, const std::byte* base, size_t n, size_t bytes, uint32_t limit,
              uint64_t* out) {
  const auto most = static_cast<float>(limit);
  for (size_t i = 0; i < n; i += 4) {
    const std::byte* rows[4];
    for (size_t r = 0; r < 4; ++r) rows[r] = base + (i + r < n ? i + r : i) * bytes;
    float counts[4];
    some_rows<Bits<V>, 4>(query, rows, bytes, counts);
    uint64_t near = 0;
    for (size_t r = 0; r < 4; ++r) near |= uint64_t{i + r < n && counts[r] < most} << r;
    out[i / 64] = (i % 64 ? out[i / 64] : 0) | near << i % 64;
  }
}

// Of rows of a size that Rows is made for: near(rows) says which of kTogether are near. The query's
// vectors stay in registers, and a row costs no call.
template <class V, class Rows>
void near_rows(const std::byte* query, const std::byte* base, size_t n, size_t bytes,
               uint32_t limit, uint64_t* out) {
  const Rows kernel(query, bytes, limit);
  const size_t whole = n / 64 * 64;
  for (size_t at = 0; at < whole; at += 64) {
    uint64_t near = 0;
    for (size_t i = 0; i < 64; i += Rows::kTogether)
      near |= kernel.near(base + (at + i) * bytes) << i;
    out[at / 64] = near;
  }
  if (whole < n)
    near_any<V>(query, base + whole * bytes, n - whole, bytes, limit, out + whole / 64);
}

// bit_planes of kRows rows; kQuery is query_bits where known here, else 0.
template <class V, size_t kQuery, size_t kRows>
void some_products(const std::byte* query, size_t query_bits, const std::byte* const (&rows)[kRows],
                   size_t plane, size_t bits, double* out) {
  using Ints = typename V::Ints;
  constexpr size_t kMostBytes = size_t{1} << 12;  // 2^15 values of 255 * 256 < 2^31
  for (size_t r = 0; r < kRows; ++r) out[r] = 0;
  for (size_t begin = 0; begin < plane; begin += kMostBytes) {
    const size_t end = plane - begin > kMostBytes ? begin + kMostBytes : plane;
    Ints sums[kRows];
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) V::zero(sums[r]);
    for (size_t b = 0; b < bits; ++b) {
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) sums[r] = V::add(sums[r], sums[r]);
      const auto step = [&](size_t at, auto... count) {
        typename V::Bytes x[kRows];
        Ints part[kRows];
#pragma GCC unroll 4
        for (size_t r = 0; r < kRows; ++r) {
          x[r] = V::bytes(rows[r] + b * plane + at, count...);
          V::zero(part[r]);
        }
        const auto of_plane = [&](size_t a) {
          const auto q = V::bytes(query + a * plane + at, count...);
#pragma GCC unroll 4
          for (size_t r = 0; r < kRows; ++r) {
            const Ints ones = V::ones(V::common(q, x[r]));
            part[r] = a == 0 ? V::sub(part[r], ones) : V::add(V::add(part[r], part[r]), ones);
          }
        };
        of_plane(0);
        if constexpr (kQuery) {
#pragma GCC unroll 8
          for (size_t a = 1; a < kQuery; ++a) of_plane(a);
        } else {
          for (size_t a = 1; a < query_bits; ++a) of_plane(a);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < kRows; ++r) sums[r] = V::add(sums[r], part[r]);
      };
      size_t at = begin;
      for (; at + V::kBytes <= end; at += V::kBytes) step(at);
      if (at < end) step(at, end - at);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) out[r] += V::sum(sums[r]);
  }
}

template <class V, size_t kQuery>
void products(const std::byte* query, size_t query_bits, const std::byte* base, size_t stride,
              const uint32_t* rows, size_t n, size_t m, size_t bits, double* out) {
  each_row<4>(base, stride, rows, n, [&](size_t i, const auto& some) {
    some_products<V, kQuery>(query, query_bits, some, m / 8, bits, out + i);
  });
}

template <class V>
void bit_planes(const std::byte* query, size_t query_bits, const std::byte* base, size_t stride,
                const uint32_t* rows, size_t n, size_t m, size_t bits, double* out) {
  constexpr BitPlanesFn kOf[] = {products<V, 0>, products<V, 0>, products<V, 2>, products<V, 3>,
                                 products<V, 0>, products<V, 0>, products<V, 6>};
  const auto run = query_bits < std::size(kOf) ? kOf[query_bits] : products<V, 0>;
  run(query, query_bits, base, stride, rows, n, m, bits, out);
}

}  // namespace
}  // namespace shortlist::kernels::hamming
