// Bits that differ, over the vectors V of one ISA, which also offer differing(x, y), the bits in
// which two Bytes differ, and ones(x), how many are set in each lane of Ints.
#pragma once

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

}  // namespace
}  // namespace shortlist::kernels::hamming
