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
//   hamming_bits           bits in which d bytes differ; exact up to 2^24
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
  hamming_bits,
  kRowsOps
};

// The same of n rows that stand upright: value t of row i is columns[t * n + i]. For many short
// ones.
using ColumnsFn = void (*)(const float* query, const float* columns, size_t n, size_t d,
                           float* out);

// All pairs of a tile: out[i * ldo + j] = sum over t of a[i * lda + t] * b[j * ldb + t].
using DotF32Fn = void (*)(const float* a, size_t lda, size_t na, const float* b, size_t ldb,
                          size_t nb, size_t d, float* out, size_t ldo);
// Exact; the caller keeps d * max|a| * max|b| below 2^31 (d <= 33,025 for bytes).
using DotS16Fn = void (*)(const int16_t* a, size_t lda, size_t na, const int16_t* b, size_t ldb,
                          size_t nb, size_t d, int32_t* out, size_t ldo);
// Conversions of n values.
using WidenF16Fn = void (*)(const uint16_t* x, size_t n, float* out);
using NarrowF16Fn = void (*)(const float* x, size_t n, uint16_t* out);  // to nearest even

// 32 vectors of 4-bit indices into tables of 16 bytes, one table for each group. `codes` holds
// `groups` runs of 16 bytes: in run g the low nibble of byte j is the index of vector j, the high
// one that of vector j + 16. out[v] = sum over g of table[16 * g + index]: exact, modulo 2^32.
using Lut32Fn = void (*)(const uint8_t* codes, const uint8_t* table, size_t groups, uint32_t* out);
// Estimates of n blocks of 32 vectors, `stride` bytes apart: `groups` runs as above, then, where
// `factors` are there, 32 addends and 32 factors as bfloat16; else these are 0 and 1.
//   out[32 * i + v] = near + add[v] + rescale[v] * (offset + step * sum of vector v)
// and bit v of below[i] is whether that is below `limit`. In f32, in an order each ISA chooses. The
// small form is for entries of at most 63, and tells `below` alone where there is no `out` (null).
struct EstimateTerms {
  float near, offset, step;
  bool factors = true;
};
using EstimateFn = void (*)(const uint8_t* blocks, size_t stride, size_t n, const uint8_t* table,
                            size_t groups, const EstimateTerms& terms, float limit, float* out,
                            uint32_t* below);
// Such tables: entry j of table g is scale * (the sum of q[4 * g + i] over the bits i of j, less
// the least of these sums), to the nearest integer, ties to even. The caller keeps it within a
// byte. The same to the bit on every ISA.
using LutTablesFn = void (*)(const float* q, float scale, size_t groups, uint8_t* table);

// Bit i of byte k is whether r[8 * k + i] > 0, and the sums that RaBitQ makes its factors from; n
// is a multiple of 16, and no c (null) is zeros. Summed in 16 lanes, which are then added by
// halves, so that every ISA gives the same bits.
struct SignSums {
  float size, square;  // |r_i|, r_i^2
  float dot, code;     // r_i c_i; c_i where r_i > 0 and -c_i elsewhere
};
using SignsFn = SignSums (*)(const float* r, const float* c, size_t n, uint8_t* bits);

// Codes of `bits` planes of m / 8 bytes, each half as heavy as the one before. out[r] = sum over
// planes b and the bits i set in plane b of row r of 2^(bits - 1 - b) * q[i]. Rows as in RowsFn; m
// is a multiple of 16. Each plane is summed in f32, in an order each ISA chooses, and the planes in
// f64: exact for whole numbers q whose absolute values sum to less than 2^24.
using PlanesFn = void (*)(const float* q, const std::byte* base, size_t stride,
                          const uint32_t* rows, size_t n, size_t m, size_t bits, double* out);

// The same of a query that is planes too, `query_bits` of m / 8 bytes: two's complement, the sign
// first. out[r] = sum over i of q[i] * row r's i-th value. Exact for up to 9 bits of the query, 8
// of the rows and any m.
using BitPlanesFn = void (*)(const std::byte* query, size_t query_bits, const std::byte* base,
                             size_t stride, const uint32_t* rows, size_t n, size_t m, size_t bits,
                             double* out);

// x = H (factors * x) for n values, in place; n is a power of two, at least 64. H is the Hadamard
// matrix of +-1 in Sylvester's order, not scaled; no factors (null) are ones. Values at distance h
// are added and subtracted for h = 1, 2, 4, ..., so that every ISA gives the same bits.
using HadamardFn = void (*)(const float* factors, float* x, size_t n);

// A row as whole numbers: x - centre = scale * codes + the rest, codes within +-levels (at most
// 127) and as many as d rounded up to 4, the last ones 0.
struct Quantized {
  float scale, square, error;  // sum of (x_i - centre_i)^2; sum of rest_i^2
};
using QuantizeFn = Quantized (*)(const float* x, const float* centre, size_t d, int levels,
                                 int8_t* codes);

// Which of 64 rows may be near each of n others. Bit j of out[i] is whether not
//   bias[j] - size_i * error[j] - scale_i * (scale[j] * (offset_i + <a_i, codes_j>)) > limit_i,
// which NaN passes too. <a_i, codes_j> is exact, modulo 2^32; the rest is f32, in an order each ISA
// chooses. Run g of the codes holds values 4g .. 4g + 3 of the 64 rows in turn, each 0 to 127, so
// that two products fit 16 bits. d and lda are multiples of 4.
struct FilterRow {
  float scale, size, limit;
  int32_t offset;
};
struct FilterBlock {
  const uint8_t* codes;
  const float *scale, *bias, *error;
};
using FilterFn = void (*)(const int8_t* a, size_t lda, const FilterRow* rows, size_t n,
                          const FilterBlock& block, size_t d, uint64_t* out);
// The same of rows as they are: whether not bias[j] - <a_i, b_j> > limits[i], in f32 as a whole.
// Value t of the 64 rows begins at b + 64 * t.
using FilterF32Fn = void (*)(const float* a, size_t lda, const float* limits, size_t n,
                             const float* b, const float* bias, size_t d, uint64_t* out);

// Which of n rows of `bytes` bytes, back to back, differ from the query in fewer than `limit` bits:
// bit j of out[i] says it of row 64 * i + j, and is 0 past n. Exact.
using NearBitsFn = void (*)(const std::byte* query, const std::byte* base, size_t n, size_t bytes,
                            uint32_t limit, uint64_t* out);

// The nearest of a reservoir. Moves those of n distances that are at most some bound, and what
// stands beside each, to the front, in order, and returns how many: k or more, and where distances
// differ, few more; n where they cannot be told apart. k is 1 to n, and no distance is NaN.
using KeepNearestFn = size_t (*)(float* distances, uint32_t* beside, size_t n, size_t k,
                                 float* bound);
// Adds marked distances of blocks of 32 to a reservoir: of each bit v of masks[i], in order,
// distances[32 * i + v], and beside it first + 32 * i + v. Returns how many.
using TakeMarkedFn = size_t (*)(const float* distances, const uint32_t* masks, size_t blocks,
                                uint32_t first, float* out, uint32_t* beside);

// x[i] = exp(x[i] - shift) for n values; returns their sum, in an order each ISA chooses. For
// x[i] - shift of -87 to 80 the relative error of x[i] is at most 2^-21; below that the value is at
// most 2^-125, and NaN stays.
using ExpsFn = float (*)(float* x, size_t n, float shift);
// out[t] += sum over n rows of weights[i] * row_i[t], in f32, in an order each ISA chooses. Rows as
// in RowsFn, of f32 or of IEEE half.
using WeightedSumFn = void (*)(const float* weights, const std::byte* base, size_t stride,
                               const uint32_t* rows, size_t n, size_t d, float* out);

struct Table {
  RowsFn rows[kRowsOps];
  ColumnsFn l2_columns, ip_columns;
  DotF32Fn dot_f32;
  DotS16Fn dot_s16;
  WidenF16Fn widen_f16;
  NarrowF16Fn narrow_f16;
  Lut32Fn lut32;
  EstimateFn estimate, estimate_small;
  LutTablesFn lut_tables;
  SignsFn signs;
  PlanesFn planes;
  BitPlanesFn bit_planes;
  HadamardFn hadamard;
  QuantizeFn quantize;
  FilterFn filter;
  FilterF32Fn filter_f32;
  NearBitsFn near_bits;
  KeepNearestFn keep_nearest;
  TakeMarkedFn take_marked;
  ExpsFn exps;
  WeightedSumFn weighted_sum_f32, weighted_sum_f16;
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
namespace lut {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace lut
namespace oddint {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace oddint
namespace hadamard {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace hadamard

namespace filter {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
}  // namespace filter
namespace hamming {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace hamming
namespace topk {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
}  // namespace topk
namespace softmax {
void add_reference(Table&);
void add_avx2(Table&);
void add_avx512(Table&);
void add_neon(Table&);
}  // namespace softmax

// The table in use, chosen once: the best level this machine runs, or SHORTLIST_ISA.
const Table& active();

}  // namespace shortlist::kernels
