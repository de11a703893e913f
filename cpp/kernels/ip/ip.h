// Sums of products, over the vectors V of one ISA.
#pragma once

#include "kernels/columns.h"
#include "kernels/rows.h"

namespace shortlist::kernels::ip {
namespace {

template <class V, class Row>
struct Floats : FloatRows<V, Row> {
  using Vector = typename V::Floats;
  static Vector step(Vector acc, Vector q, Vector x) { return V::fma(q, x, acc); }
};

template <class V, class Row>
struct Integers : ByteRows<V> {
  static typename V::Ints step(typename V::Ints acc, typename V::Bytes q, typename V::Bytes x) {
    return Row::products(acc, q, x);
  }
};

template <class V>
void add(Table& t) {
  t.rows[ip_f32] = over_rows<Floats<V, typename V::F32>>;
  t.ip_columns = over_columns<Floats<V, typename V::F32>>;
  t.rows[ip_f16] = over_rows<Floats<V, typename V::F16>>;
  t.rows[ip_u8] = over_rows<Integers<V, typename V::U8>>;
  t.rows[ip_i8] = over_rows<Integers<V, typename V::I8>>;
  t.rows[ip_f32u8] = over_rows<Floats<V, typename V::U8>>;
  t.rows[ip_f32i8] = over_rows<Floats<V, typename V::I8>>;
}

}  // namespace
}  // namespace shortlist::kernels::ip
