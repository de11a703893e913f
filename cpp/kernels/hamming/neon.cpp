#include "kernels/neon.h"

#include "kernels/hamming/hamming.h"

namespace shortlist::kernels::hamming {
namespace {

struct Counting : Neon {
  static Bytes differing(Bytes x, Bytes y) { return veorq_u8(x, y); }
  static Bytes common(Bytes x, Bytes y) { return vandq_u8(x, y); }
  static Ints ones(Bytes x) { return vreinterpretq_s32_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(x)))); }
};

}  // namespace

void add_neon(Table& t) {
  t.rows[kernels::hamming_bits] = over_rows<Bits<Counting>>;
  t.near_bits = near_any<Counting>;
  t.bit_planes = bit_planes<Counting>;
}

}  // namespace shortlist::kernels::hamming
