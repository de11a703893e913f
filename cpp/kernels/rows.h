// The loops every rows kernel shares, written over the vectors of one ISA.
//
// V, from kernels/<isa>.h, offers (count < lanes; the lanes past it are zero and not read):
//   Floats, Ints, Bytes                     vector types; kFloats, kBytes: lanes of two of them
//   zero(Floats&), zero(Ints&), add(x, y), sub(x, y)    for both sums
//   all(float), store(float*, Floats)
//   fma(x, y, acc), fnma(x, y, acc)          floats: acc + x * y, acc - x * y
//   load(const float*[, count]), bytes(const std::byte*[, count])
//   sum(x), sum4(const x[4], T out[4])      of the lanes of Floats and Ints
//   F32, F16, U8, I8                        rows: kSize bytes a value, floats(row, i[, count])
//   U8, I8::squares(Ints, Bytes q, Bytes x), products(...)
//
// V lives in an anonymous namespace, which keeps all that it instantiates private to its file.
#pragma once

#include <type_traits>

#include "kernels/kernels.h"

namespace shortlist::kernels {
namespace {

constexpr size_t kLineBytes = 64;
// Listed rows are prefetched this far ahead of the arithmetic, about what a core's line fill
// buffers can have under way, since more only queues up. Of a long row the beginning is enough:
// the hardware's prefetcher then sees a stream.
constexpr size_t kAheadBytes = 1536;
constexpr size_t kRowAheadBytes = 256;

// Kernel: one loop's arithmetic. FloatRows and ByteRows below give all of it but `step`.
//   Acc, Total, kLanes, kSize
//   kMost                               how many terms an Acc can hold
//   kChains                             sums per row that hide the latency of adding, in blocks of
//                                       four rows
//   query(q, d, i[, count]), row(p, i[, count])         operands of one step
//   step(acc, query, row)
// The loops over N rows and U chains are unrolled by name: only then do the sums live in registers.
template <class Kernel, size_t N, size_t U>
void accumulate(const void* query, const std::byte* const* rows, size_t d, size_t begin, size_t end,
                typename Kernel::Acc (&sums)[N]) {
  using V = typename Kernel::V;
  constexpr size_t kLanes = Kernel::kLanes;
  typename Kernel::Acc acc[U][N];
#pragma GCC unroll 8
  for (size_t u = 0; u < U; ++u)
#pragma GCC unroll 8
    for (size_t r = 0; r < N; ++r) V::zero(acc[u][r]);
  const auto step = [&](size_t u, size_t i, auto... count) {
    const auto q = Kernel::query(query, d, i, count...);
#pragma GCC unroll 8
    for (size_t r = 0; r < N; ++r)
      acc[u][r] = Kernel::step(acc[u][r], q, Kernel::row(rows[r], i, count...));
  };
  size_t i = begin;
  for (; i + U * kLanes <= end; i += U * kLanes)
#pragma GCC unroll 8
    for (size_t u = 0; u < U; ++u) step(u, i + u * kLanes);
  for (; i + kLanes <= end; i += kLanes) step(0, i);
  if (i < end) step(0, i, end - i);
#pragma GCC unroll 8
  for (size_t r = 0; r < N; ++r) {
    sums[r] = acc[0][r];
#pragma GCC unroll 8
    for (size_t u = 1; u < U; ++u) sums[r] = V::add(sums[r], acc[u][r]);
  }
}

// Rows too long for one Acc, which only integer kernels know.
template <class Kernel>
float long_row(const void* query, const std::byte* row, size_t d) {
  typename Kernel::Total total = 0;
  for (size_t begin = 0; begin < d;) {
    const size_t end = d - begin > Kernel::kMost ? begin + Kernel::kMost : d;
    typename Kernel::Acc sums[1];
    accumulate<Kernel, 1, Kernel::kChains>(query, &row, d, begin, end, sums);
    total += Kernel::V::sum(sums[0]);
    begin = end;
  }
  return static_cast<float>(total);
}

// N rows, 1 to 4. A row's sum has the same order of additions whatever N is, so that its distance
// does not depend on the company it is scored in.
template <class Kernel, size_t N>
void some_rows(const void* query, const std::byte* const (&rows)[N], size_t d, float* out) {
  if (d > Kernel::kMost) {
    for (size_t r = 0; r < N; ++r) out[r] = long_row<Kernel>(query, rows[r], d);
    return;
  }
  typename Kernel::Acc sums[N], four[4];
  accumulate<Kernel, N, Kernel::kChains>(query, rows, d, 0, d, sums);
  for (size_t r = 0; r < 4; ++r) four[r] = sums[r < N ? r : 0];
  float values[4];
  Kernel::V::sum4(four, values);
  for (size_t r = 0; r < N; ++r) out[r] = values[r];
}

template <class Kernel>
void over_rows(const void* query, const std::byte* base, size_t stride, const uint32_t* rows,
               size_t n, size_t d, float* out) {
  const auto row = [&](size_t i) { return base + (rows ? size_t{rows[i]} : i) * stride; };
  const size_t size = d * Kernel::kSize;
  const size_t bytes = size < kRowAheadBytes ? size : kRowAheadBytes;
  const auto fetch = [&](size_t i) {
    const std::byte* p = row(i);
    const std::byte* end = p + bytes;
    for (p -= reinterpret_cast<uintptr_t>(p) % kLineBytes; p < end; p += kLineBytes) {
      __builtin_prefetch(p);
      asm volatile("" ::"r"(p));  // else GCC takes this for a pure function, and drops the call
    }
  };
  size_t fetched = n;  // contiguous rows are left to the hardware's prefetcher
  size_t ahead = 0;
  if (rows && bytes) {
    ahead = kAheadBytes / bytes;
    for (fetched = 0; fetched < n && fetched < ahead; ++fetched) fetch(fetched);
  }
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (; fetched < n && fetched < i + ahead + 4; ++fetched) fetch(fetched);
    const std::byte* const four[4] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
    some_rows<Kernel, 4>(query, four, d, out + i);
  }
  for (; i < n; ++i) {
    const std::byte* const one[1] = {row(i)};
    some_rows<Kernel, 1>(query, one, d, out + i);
  }
}

// Calls visit(i, some...) for kTogether rows from the i-th on, or for one; some[] are where they
// begin. Listed rows of `stride` bytes are prefetched as a whole.
template <size_t kTogether, class Visit>
void each_row(const std::byte* base, size_t stride, const uint32_t* rows, size_t n,
              const Visit& visit) {
  const auto row = [&](size_t i) { return base + (rows ? size_t{rows[i]} : i) * stride; };
  const auto fetch = [&](size_t i) {
    for (size_t at = 0; at < stride; at += kLineBytes) __builtin_prefetch(row(i) + at);
  };
  const size_t ahead = rows ? kAheadBytes / (stride + 1) + kTogether : 0;
  for (size_t i = 0; i < ahead && i < n; ++i) fetch(i);
  const auto some = [&]<size_t kRows>(size_t i, std::integral_constant<size_t, kRows>) {
    const std::byte* at[kRows];
    for (size_t r = 0; r < kRows; ++r) {
      if (rows && i + r + ahead < n) fetch(i + r + ahead);
      at[r] = row(i + r);
    }
    visit(i, at);
  };
  size_t i = 0;
  for (; i + kTogether <= n; i += kTogether) some(i, std::integral_constant<size_t, kTogether>{});
  if constexpr (kTogether > 1)
    for (; i < n; ++i) some(i, std::integral_constant<size_t, 1>{});
}

// Float query against rows that Row widens to floats.
template <class Isa, class Row>
struct FloatRows {
  using V = Isa;
  using Acc = typename V::Floats;
  using Total = float;
  static constexpr size_t kLanes = V::kFloats, kSize = Row::kSize, kChains = 2;
  static constexpr size_t kMost = SIZE_MAX;
  template <class... Count>
  static Acc query(const void* q, size_t /*d*/, size_t i, Count... count) {
    return V::load(static_cast<const float*>(q) + i, count...);
  }
  template <class... Count>
  static Acc row(const std::byte* p, size_t i, Count... count) {
    return Row::floats(p, i, count...);
  }
};

// Query and rows of bytes, summed exactly.
template <class Isa>
struct ByteRows {
  using V = Isa;
  using Acc = typename V::Ints;
  using Total = int64_t;
  static constexpr size_t kLanes = V::kBytes, kSize = 1, kChains = 1;
  static constexpr size_t kMost = size_t{1} << 15;  // 2^15 * 255^2 < 2^31
  template <class... Count>
  static typename V::Bytes query(const void* q, size_t /*d*/, size_t i, Count... count) {
    return V::bytes(static_cast<const std::byte*>(q) + i, count...);
  }
  template <class... Count>
  static typename V::Bytes row(const std::byte* p, size_t i, Count... count) {
    return V::bytes(p + i, count...);
  }
};

// For ISAs without masked loads of bytes: the first n < 16 bytes at p, then zeros. The loads
// overlap instead of reaching past the n bytes.
struct Part {
  uint64_t low, high;
};
template <class T>
uint64_t word(const std::byte* p) {
  T w;
  __builtin_memcpy(&w, p, sizeof w);
  return w;
}
inline Part part(const std::byte* p, size_t n) {
  if (n > 8) return {word<uint64_t>(p), word<uint64_t>(p + n - 8) >> 8 * (16 - n)};
  if (n == 8) return {word<uint64_t>(p), 0};
  if (n >= 4) return {word<uint32_t>(p) | word<uint32_t>(p + n - 4) << 8 * (n - 4), 0};
  if (n == 0) return {0, 0};
  const size_t middle = n / 2, last = n - 1;
  return {word<uint8_t>(p) | word<uint8_t>(p + middle) << 8 * middle |
              word<uint8_t>(p + last) << 8 * last,
          0};
}

}  // namespace
}  // namespace shortlist::kernels
