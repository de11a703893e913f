#include "kernels/kernels.h"

namespace shortlist::kernels::hadamard {

void add_reference(Table& t) {
  t.hadamard = [](const float* factors, float* x, size_t n) {
    for (size_t i = 0; factors && i < n; ++i) x[i] *= factors[i];
    for (size_t h = 1; h < n; h *= 2)
      for (size_t begin = 0; begin < n; begin += 2 * h)
        for (size_t i = begin; i < begin + h; ++i) {
          const float a = x[i], b = x[i + h];
          x[i] = a + b;
          x[i + h] = a - b;
        }
  };
}

}  // namespace shortlist::kernels::hadamard
