#include "codec/transform/products.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

constexpr size_t kTile = 64;     // values at a time
constexpr size_t kPiece = 1024;  // vectors whose products are summed in single precision

// The inner products of na rows of m values with nb others, added to `out`, na x nb. Where the
// others are the same, one half of them.
void add_products(const float* a, size_t na, const float* b, size_t nb, size_t m,
                  std::vector<double>& out) {
  parallel_for((na + kTile - 1) / kTile, {}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> dots(kTile * kTile);
    for (size_t tile = begin; tile < end; ++tile)
      for (size_t i = tile * kTile, j = 0; j < nb && (a != b || j <= i); j += kTile) {
        poll_interrupt();
        const size_t ni = std::min(kTile, na - i), nj = std::min(kTile, nb - j);
        kernels::active().dot_f32(a + i * m, m, ni, b + j * m, m, nj, m, dots.data(), kTile);
        for (size_t r = 0; r < ni; ++r)
          for (size_t c = 0; c < nj; ++c) out[(i + r) * nb + j + c] += dots[r * kTile + c];
      }
  });
}

void mirror(std::vector<double>& a, size_t n) {
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) a[j * n + i] = a[i * n + j];
}

void check_sums(const std::vector<double>& sums) {
  if (!std::all_of(sums.begin(), sums.end(), [](double x) { return std::isfinite(x); }))
    throw ArgumentError(
        "the squares of the training vectors are too large for float32; scale the vectors down");
}

// `count` rows of n values from `first` on as columns.
void transposed(size_t first, size_t count, size_t n, const WriteRow& row,
                std::vector<float>& columns) {
  constexpr size_t kTogether = 16;  // rows, of whose values a cache line is written
  columns.resize(n * kPiece);
  parallel_for(count, {.grain = kTile}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> values(kTogether * n);
    for (size_t i = begin; i < end; i += kTogether) {
      const size_t rows = std::min(kTogether, end - i);
      for (size_t r = 0; r < rows; ++r) row(first + i + r, &values[r * n]);
      for (size_t j = 0; j < n; ++j)
        for (size_t r = 0; r < rows; ++r) columns[j * count + i + r] = values[r * n + j];
    }
  });
}

}  // namespace

std::vector<double> second_moments(size_t count, size_t n, const WriteRow& row) {
  std::vector<double> sums(n * n);
  std::vector<float> columns;
  for (size_t at = 0; at < count; at += kPiece) {
    const size_t m = std::min(kPiece, count - at);
    transposed(at, m, n, row, columns);
    add_products(columns.data(), n, columns.data(), n, m, sums);
  }
  check_sums(sums);
  mirror(sums, n);
  return sums;
}

std::vector<double> cross_moments(size_t count, size_t n, const WriteRow& row, size_t m,
                                  const WriteRow& other) {
  std::vector<double> sums(n * m);
  std::vector<float> columns, others;
  for (size_t at = 0; at < count; at += kPiece) {
    const size_t rows = std::min(kPiece, count - at);
    transposed(at, rows, n, row, columns);
    transposed(at, rows, m, other, others);
    add_products(columns.data(), n, others.data(), m, rows, sums);
  }
  check_sums(sums);
  return sums;
}

std::vector<double> inner_products(const float* rows, size_t n, size_t m) {
  std::vector<double> sums(n * n);
  add_products(rows, n, rows, n, m, sums);
  check_sums(sums);
  mirror(sums, n);
  return sums;
}

}  // namespace shortlist
