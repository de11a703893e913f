#include "kernels/reference.h"

namespace shortlist::kernels::half {

void add_reference(Table& t) {
  t.widen_f16 = [](const uint16_t* x, size_t n, float* out) {
    for (size_t i = 0; i < n; ++i) out[i] = widen(x[i]);
  };
  t.narrow_f16 = [](const float* x, size_t n, uint16_t* out) {
    for (size_t i = 0; i < n; ++i) out[i] = narrow(x[i]);
  };
}

}  // namespace shortlist::kernels::half
