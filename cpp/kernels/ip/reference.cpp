#include "kernels/reference.h"

namespace shortlist::kernels::ip {
namespace {

template <class Row>
float floats(const void* query, const std::byte* row, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) sum += at<float>(query, i) * static_cast<float>(at<Row>(row, i));
  return sum;
}

void columns(const float* query, const float* x, size_t n, size_t d, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t t = 0; t < d; ++t) out[i] += query[t] * x[t * n + i];
  }
}

float halves(const void* query, const std::byte* row, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) sum += at<float>(query, i) * widen(at<uint16_t>(row, i));
  return sum;
}

template <class T>
float integers(const void* query, const std::byte* row, size_t d) {
  int64_t sum = 0;
  for (size_t i = 0; i < d; ++i) sum += int{at<T>(query, i)} * int{at<T>(row, i)};
  return static_cast<float>(sum);
}

}  // namespace

void add_reference(Table& t) {
  t.rows[ip_f32] = each_row<floats<float>>;
  t.ip_columns = columns;
  t.rows[ip_f16] = each_row<halves>;
  t.rows[ip_u8] = each_row<integers<uint8_t>>;
  t.rows[ip_i8] = each_row<integers<int8_t>>;
  t.rows[ip_f32u8] = each_row<floats<uint8_t>>;
  t.rows[ip_f32i8] = each_row<floats<int8_t>>;
}

}  // namespace shortlist::kernels::ip
