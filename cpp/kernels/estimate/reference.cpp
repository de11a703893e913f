#include "kernels/kernels.h"

namespace shortlist::kernels::estimate {
namespace {

float widen(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}

uint32_t below32(const uint32_t* sums, const uint16_t* add, const uint16_t* rescale,
                 const EstimateTerms& t, float limit, float* out) {
  uint32_t below = 0;
  for (size_t v = 0; v < 32; ++v) {
    const float product = t.offset + t.step * static_cast<float>(static_cast<int32_t>(sums[v]));
    out[v] = (t.near + widen(add[v])) + widen(rescale[v]) * product;
    below |= uint32_t{out[v] < limit} << v;
  }
  return below;
}

}  // namespace

void add_reference(Table& t) { t.estimate32 = below32; }

}  // namespace shortlist::kernels::estimate
