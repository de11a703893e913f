// Sums of squared differences, over the vectors V of one ISA.
#pragma once

#include "kernels/columns.h"
#include "kernels/rows.h"

namespace shortlist::kernels::l2 {
namespace {

template <class V, class Row>
struct Floats : FloatRows<V, Row> {
  using Vector = typename V::Floats;
  static Vector step(Vector acc, Vector q, Vector x) {
    const Vector delta = V::sub(q, x);
    return V::fma(delta, delta, acc);
  }
};

template <class V, class Row>
struct Integers : ByteRows<V> {
  static typename V::Ints step(typename V::Ints acc, typename V::Bytes q, typename V::Bytes x) {
    return Row::squares(acc, q, x);
  }
};

template <class V>
struct Scaled : FloatRows<V, typename V::U8> {
  using Vector = typename V::Floats;
  struct Query {
    Vector a, s;
  };
  template <class... Count>
  static Query query(const void* q, size_t d, size_t i, Count... count) {
    const float* a = static_cast<const float*>(q) + i;
    return {V::load(a, count...), V::load(a + d, count...)};
  }
  static Vector step(Vector acc, Query q, Vector x) {
    const Vector delta = V::fnma(q.s, x, q.a);
    return V::fma(delta, delta, acc);
  }
};

template <class V>
void add(Table& t) {
  t.rows[l2_f32] = over_rows<Floats<V, typename V::F32>>;
  t.l2_columns = over_columns<Floats<V, typename V::F32>>;
  t.rows[l2_f16] = over_rows<Floats<V, typename V::F16>>;
  t.rows[l2_u8] = over_rows<Integers<V, typename V::U8>>;
  t.rows[l2_i8] = over_rows<Integers<V, typename V::I8>>;
  t.rows[l2_f32u8] = over_rows<Floats<V, typename V::U8>>;
  t.rows[l2_f32i8] = over_rows<Floats<V, typename V::I8>>;
  t.rows[l2_scaled] = over_rows<Scaled<V>>;
}

}  // namespace
}  // namespace shortlist::kernels::l2
