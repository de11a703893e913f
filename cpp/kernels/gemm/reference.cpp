#include "kernels/reference.h"

namespace shortlist::kernels::gemm {
namespace {

template <class T, class Sum>
void dot(const T* a, size_t lda, size_t na, const T* b, size_t ldb, size_t nb, size_t d, Sum* out,
         size_t ldo) {
  for (size_t i = 0; i < na; ++i)
    for (size_t j = 0; j < nb; ++j) {
      Sum sum = 0;
      for (size_t t = 0; t < d; ++t)
        sum += static_cast<Sum>(a[i * lda + t]) * static_cast<Sum>(b[j * ldb + t]);
      out[i * ldo + j] = sum;
    }
}

}  // namespace

void add_reference(Table& t) {
  t.dot_f32 = dot<float, float>;
  t.dot_s16 = dot<int16_t, int32_t>;
}

}  // namespace shortlist::kernels::gemm
