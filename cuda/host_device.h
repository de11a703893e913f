// One source for two compilers: what nvcc runs on the device, g++ runs on the host in the tests.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define SL_HD __host__ __device__ __forceinline__
#define SL_TILE __device__ __forceinline__  // of tiles, which nvcc compiles for the device alone
#else
#define SL_HD inline
#define SL_TILE inline
#endif
#ifdef __CUDA_ARCH__
#define SL_UNROLL _Pragma("unroll")
#else
#define SL_UNROLL
#endif

namespace shortlist::cuda {

SL_HD uint32_t popcount(uint32_t x) {
#ifdef __CUDA_ARCH__
  return static_cast<uint32_t>(__popc(x));
#else
  return static_cast<uint32_t>(__builtin_popcount(x));
#endif
}

// c + the sum of products of four bytes each, unsigned or signed; modulo 2^32.
SL_HD uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
#ifdef __CUDA_ARCH__
  return __dp4a(a, b, c);
#else
  for (int i = 0; i < 32; i += 8) c += (a >> i & 0xff) * (b >> i & 0xff);
  return c;
#endif
}
SL_HD int32_t dot4(int32_t a, int32_t b, int32_t c) {
#ifdef __CUDA_ARCH__
  return __dp4a(a, b, c);
#else
  for (int i = 0; i < 32; i += 8)
    c += static_cast<int8_t>(a >> i & 0xff) * static_cast<int8_t>(b >> i & 0xff);
  return c;
#endif
}

// Sums that are to be the same on both must not leave the choice to the compilers.
SL_HD float multiply_add(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

template <class To, class From>
SL_HD To bits_as(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To out;
  __builtin_memcpy(&out, &x, sizeof out);
  return out;
}

// IEEE half and bfloat16, widened.
SL_HD float widen_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, rest = h & 0x7fffu;
  // Subnormals come out of the multiplication as they should, and so do Inf and NaN.
  const float value = bits_as<float>(rest << 13) * 0x1p112f;
  const uint32_t wide = rest >= 0x7c00u ? (rest << 13) | 0x7f800000u : bits_as<uint32_t>(value);
  return bits_as<float>(wide | sign);
}
SL_HD float widen_bf16(uint16_t b) { return bits_as<float>(static_cast<uint32_t>(b) << 16); }

// Rounded to nearest, ties to even as IEEE has it; those of TF32 away from zero, as cvt.rna does.
SL_HD uint32_t narrow_bf16(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  if (x != x) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
SL_HD uint32_t narrow_f16(float x) {
  const uint32_t bits = bits_as<uint32_t>(x), sign = bits >> 16 & 0x8000u,
                 size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return sign | 0x7e00u;
  if (size >= 0x477ff000u) return sign | 0x7c00u;
  // Below 2^-14 the sum has a subnormal's units in its last place.
  if (size < 0x38800000u)
    return sign | (bits_as<uint32_t>(bits_as<float>(size) + 0.5f) - 0x3f000000u);
  return sign | (((size + 0xfffu + (size >> 13 & 1)) >> 13) - (112u << 10));
}
SL_HD uint32_t round_to_tf32(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

// 16 bytes, what a thread loads at once.
struct alignas(16) Unit {
  uint32_t word[4];
};
constexpr unsigned kUnitBytes = 16;

}  // namespace shortlist::cuda
