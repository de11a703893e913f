// Every kernel's signature and numeric contract, and the table of the ISA in use.
//
// This header is all that a kernel file may include besides its own ISA's intrinsics: inline
// library code compiled under -mavx512f could otherwise be kept by the linker for everybody.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist::kernels {

// One query against n rows of d values. Row i begins at base + (rows ? rows[i] : i) * stride.
// Listed rows are prefetched inside. The query's layout belongs to the operation, see Rows below.
using RowsFn = void (*)(const void* query, const std::byte* base, size_t stride,
                        const uint32_t* rows, size_t n, size_t d, float* out);

// Operations of families l2 (sum of squared differences) and ip (sum of products).
//   <family>_f32           f32 query, f32 rows
//   <family>_f16           f32 query, IEEE half rows, widened
//   <family>_u8, _i8       query and rows of that type; exact in integers for any d
//   <family>_f32u8, _f32i8 f32 query, integer rows widened to f32
//   l2_scaled              f32 query[2 * d] = (a, s): sum over i of (a_i - s_i * row_i)^2, u8 rows
// f32 sums are accumulated in f32, in an order each ISA chooses: relative error at most about
// d * 2^-24 of the sum of absolute terms. Inf and NaN follow IEEE.
enum RowsOp {
  l2_f32,
  l2_f16,
  l2_u8,
  l2_i8,
  l2_f32u8,
  l2_f32i8,
  l2_scaled,
  ip_f32,
  ip_f16,
  ip_u8,
  ip_i8,
  ip_f32u8,
  ip_f32i8,
  kRowsOps
};

// All pairs of a tile: out[i * ldo + j] = sum over t of a[i * lda + t] * b[j * ldb + t].
using DotF32Fn = void (*)(const float* a, size_t lda, size_t na, const float* b, size_t ldb,
                          size_t nb, size_t d, float* out, size_t ldo);
// Exact; the caller keeps d * max|a| * max|b| below 2^31 (d <= 33,025 for bytes).
using DotS16Fn = void (*)(const int16_t* a, size_t lda, size_t na, const int16_t* b, size_t ldb,
                          size_t nb, size_t d, int32_t* out, size_t ldo);
// Conversions of n values.
using WidenF16Fn = void (*)(const uint16_t* x, size_t n, float* out);
using NarrowF16Fn = void (*)(const float* x, size_t n, uint16_t* out);  // to nearest even

struct Table {
  RowsFn rows[kRowsOps];
  DotF32Fn dot_f32;
  DotS16Fn dot_s16;
  WidenF16Fn widen_f16;
  NarrowF16Fn narrow_f16;
};

// What each ISA's files offer; an absent function is taken from the level below.
namespace l2 {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace l2
namespace ip {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace ip
namespace gemm {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace gemm
namespace half {
void add_reference(Table&);
void add_avx2(Table&);
void add_neon(Table&);
}  // namespace half

// The table in use, chosen once: the best level this machine runs, or SHORTLIST_ISA.
const Table& active();

}  // namespace shortlist::kernels
