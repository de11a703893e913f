#include "kernels/floats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

void to_floats(const Rows& rows, float* out) {
  const size_t n = rows.n * rows.d;
  switch (rows.dtype) {
    case DType::f32:
      std::memcpy(out, rows.data, n * sizeof(float));
      break;
    case DType::f16:
      kernels::active().widen_f16(static_cast<const uint16_t*>(rows.data), n, out);
      break;
    case DType::u8:
      std::copy_n(static_cast<const uint8_t*>(rows.data), n, out);
      break;
    case DType::i8:
      std::copy_n(static_cast<const int8_t*>(rows.data), n, out);
      break;
  }
}

}  // namespace

const float* as_floats(const Rows& rows, std::vector<float>& scratch) {
  if (rows.dtype == DType::f32) return static_cast<const float*>(rows.data);
  scratch.resize(rows.n * rows.d);
  to_floats(rows, scratch.data());
  return scratch.data();
}

bool finite(const float* x, size_t n) {
  constexpr size_t kLanes = 16;  // sums that need not wait for one another
  float zeros[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) zeros[l] += x[i + l] * 0.f;
  for (; i < n; ++i) zeros[0] += x[i] * 0.f;
  return std::all_of(zeros, zeros + kLanes, [](float zero) { return zero == 0.f; });
}

void normalize_row(float* x, size_t d) {
  double sum = 0;
  for (size_t i = 0; i < d; ++i) sum += double{x[i]} * x[i];
  if (!(sum > 0)) return;
  const auto scale = static_cast<float>(1 / std::sqrt(sum));
  for (size_t i = 0; i < d; ++i) x[i] *= scale;
}

namespace {
template <class T>
T dot_in_lanes(const T* a, const T* b, size_t n) {
  constexpr size_t kLanes = 64 / sizeof(T);
  T sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) sums[l] += a[i + l] * b[i + l];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l) sums[l] += sums[l + half];
  return sums[0];
}
}  // namespace

float ordered_dot(const float* a, const float* b, size_t n) { return dot_in_lanes(a, b, n); }
double ordered_dot(const double* a, const double* b, size_t n) { return dot_in_lanes(a, b, n); }

void check_finite(const Rows& x, const char* verb) {
  if (x.dtype == DType::u8 || x.dtype == DType::i8) return;
  constexpr size_t kGrain = 1024;
  parallel_for(x.n, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> scratch;
    const Rows part = x.slice(begin, end);
    const float* values = as_floats(part, scratch);
    if (finite(values, part.n * part.d)) return;
    size_t bad = 0;
    while (std::isfinite(values[bad])) ++bad;
    throw ArgumentError(text("cannot ", verb, " vectors with NaN or Inf: row ", begin + bad / x.d,
                             ", column ", bad % x.d, " is ", values[bad],
                             "; drop or clean such rows first"));
  });
}

}  // namespace shortlist
