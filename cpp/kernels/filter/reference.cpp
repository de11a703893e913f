#include "kernels/filter/quantize.h"

namespace shortlist::kernels::filter {
namespace {

void filter(const int8_t* a, size_t lda, const FilterRow* rows, size_t n, const FilterBlock& block,
            size_t d, uint64_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const FilterRow& row = rows[i];
    out[i] = 0;
    for (size_t j = 0; j < 64; ++j) {
      auto sum = static_cast<uint32_t>(row.offset);
      for (size_t t = 0; t < d; ++t)
        sum += static_cast<uint32_t>(a[i * lda + t] * block.codes[(t / 4 * 64 + j) * 4 + t % 4]);
      const float product = block.scale[j] * static_cast<float>(static_cast<int32_t>(sum));
      const float bound = block.bias[j] - row.size * block.error[j] - row.scale * product;
      out[i] |= uint64_t{!(bound > row.limit)} << j;
    }
  }
}

}  // namespace

void add_reference(Table& t) {
  t.quantize = quantize;
  t.filter = filter;
}

}  // namespace shortlist::kernels::filter
