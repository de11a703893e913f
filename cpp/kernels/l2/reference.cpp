#include "kernels/reference.h"

namespace shortlist::kernels::l2 {
namespace {

template <class Row>
float floats(const void* query, const std::byte* row, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) {
    const float delta = at<float>(query, i) - static_cast<float>(at<Row>(row, i));
    sum += delta * delta;
  }
  return sum;
}

void columns(const float* query, const float* x, size_t n, size_t d, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t t = 0; t < d; ++t) {
      const float delta = query[t] - x[t * n + i];
      out[i] += delta * delta;
    }
  }
}

float halves(const void* query, const std::byte* row, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) {
    const float delta = at<float>(query, i) - widen(at<uint16_t>(row, i));
    sum += delta * delta;
  }
  return sum;
}

template <class T>
float integers(const void* query, const std::byte* row, size_t d) {
  int64_t sum = 0;
  for (size_t i = 0; i < d; ++i) {
    const int delta = int{at<T>(query, i)} - int{at<T>(row, i)};
    sum += delta * delta;
  }
  return static_cast<float>(sum);
}

float scaled(const void* query, const std::byte* row, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) {
    const auto x = static_cast<float>(at<uint8_t>(row, i));
    const float delta = at<float>(query, i) - at<float>(query, d + i) * x;
    sum += delta * delta;
  }
  return sum;
}

}  // namespace

void add_reference(Table& t) {
  t.rows[l2_f32] = each_row<floats<float>>;
  t.l2_columns = columns;
  t.rows[l2_f16] = each_row<halves>;
  t.rows[l2_u8] = each_row<integers<uint8_t>>;
  t.rows[l2_i8] = each_row<integers<int8_t>>;
  t.rows[l2_f32u8] = each_row<floats<uint8_t>>;
  t.rows[l2_f32i8] = each_row<floats<int8_t>>;
  t.rows[l2_scaled] = each_row<scaled>;
}

}  // namespace shortlist::kernels::l2
