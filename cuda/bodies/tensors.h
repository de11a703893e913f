// What tensor cores multiply: a word of four bytes of each side at a time. `multiply` is the
// instruction of a warp, `dot` what it adds up for one pair of words.
#pragma once

#include "bodies/vectors.h"
#include "host_device.h"

namespace shortlist::cuda {

#ifdef __CUDACC__
#define SL_MMA(instruction, letter)                                                           \
  __device__ static void multiply(Sum(&sums)[4], const uint32_t (&a)[4], const uint32_t* b) { \
    asm volatile("mma.sync.aligned." instruction                                              \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"           \
                 : "+" letter(sums[0]), "+" letter(sums[1]), "+" letter(sums[2]),             \
                   "+" letter(sums[3])                                                        \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));         \
  }
#else
#define SL_MMA(instruction, letter)
#endif

struct TensorTF32 {
  using Sum = float;
  SL_MMA("m16n8k8.row.col.f32.tf32.tf32.f32", "f")
  SL_HD static Sum dot(uint32_t a, uint32_t b) { return bits_as<float>(a) * bits_as<float>(b); }
};
template <class Type>
SL_HD float dot_of_halves(uint32_t a, uint32_t b) {
  const Unit x{{a}}, y{{b}};
  return multiply_add(Type::widened(x, 0), Type::widened(y, 0),
                      Type::widened(x, 1) * Type::widened(y, 1));
}
struct TensorF16 {
  using Sum = float;
  SL_MMA("m16n8k16.row.col.f32.f16.f16.f32", "f")
  SL_HD static Sum dot(uint32_t a, uint32_t b) { return dot_of_halves<F16>(a, b); }
};
struct TensorBF16 {
  using Sum = float;
  SL_MMA("m16n8k16.row.col.f32.bf16.bf16.f32", "f")
  SL_HD static Sum dot(uint32_t a, uint32_t b) { return dot_of_halves<BF16>(a, b); }
};
struct TensorU8 {
  using Sum = int32_t;
  SL_MMA("m16n8k32.row.col.s32.u8.u8.s32", "r")
  SL_HD static Sum dot(uint32_t a, uint32_t b) { return static_cast<Sum>(dot4(a, b, 0u)); }
};
struct TensorI8 {
  using Sum = int32_t;
  SL_MMA("m16n8k32.row.col.s32.s8.s8.s32", "r")
  SL_HD static Sum dot(uint32_t a, uint32_t b) {
    return dot4(static_cast<int32_t>(a), static_cast<int32_t>(b), 0);
  }
};
// Signed queries, unsigned rows.
struct TensorI8U8 {
  using Sum = int32_t;
  SL_MMA("m16n8k32.row.col.s32.s8.u8.s32", "r")
  SL_HD static Sum dot(uint32_t a, uint32_t b) {
    Sum out = 0;
    for (unsigned i = 0; i < 32; i += 8)
      out += static_cast<int8_t>(a >> i & 0xff) * static_cast<int32_t>(b >> i & 0xff);
    return out;
  }
};
#undef SL_MMA

}  // namespace shortlist::cuda
