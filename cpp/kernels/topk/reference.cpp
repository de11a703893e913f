#include "kernels/kernels.h"
#include "kernels/topk/topk.h"

namespace shortlist::kernels::topk {
namespace {

struct One {
  static void range(const float* x, size_t n, float& least, float& most) {
    least = most = x[0];
    for (size_t i = 1; i < n; ++i) {
      if (x[i] < least) least = x[i];
      if (x[i] > most) most = x[i];
    }
  }
  static size_t count(const float* x, size_t n, float bound) {
    size_t within = 0;
    for (size_t i = 0; i < n; ++i) within += x[i] <= bound;
    return within;
  }
  static size_t keep(float* x, uint32_t* beside, size_t n, float bound) {
    return keep_each(x, beside, 0, n, bound, 0);
  }
};

size_t take_marked(const float* distances, const uint32_t* masks, size_t blocks, uint32_t first,
                   float* out, uint32_t* beside) {
  size_t n = 0;
  for (size_t i = 0; i < blocks; ++i)
    for (uint32_t left = masks[i]; left; left &= left - 1, ++n) {
      const auto at = static_cast<uint32_t>(32 * i) + static_cast<uint32_t>(__builtin_ctz(left));
      out[n] = distances[at];
      beside[n] = first + at;
    }
  return n;
}

}  // namespace

void add_reference(Table& t) {
  t.keep_nearest = keep_nearest<One>;
  t.take_marked = take_marked;
}

}  // namespace shortlist::kernels::topk
