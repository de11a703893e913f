// Rows as stores hold them: in units, interleaved, and converted on the way.
#pragma once

#include "plugin.h"
#include "tiles/rescore.h"
#include "tiles/scan.h"

namespace shortlist::cuda {

SL_HD float number_at(const Unit& x, unsigned i) { return bits_as<float>(x.word[i]); }

// A float32 as what is stored of it, and that widened again.
SL_HD uint32_t converted(ShortlistCudaConversion conversion, float x) {
  switch (conversion) {
    case SHORTLIST_CUDA_F32_TO_TF32:
      return round_to_tf32(x);
    case SHORTLIST_CUDA_F32_TO_F16:
      return narrow_f16(x);
    case SHORTLIST_CUDA_F32_TO_BF16:
      return narrow_bf16(x);
    default:
      return bits_as<uint32_t>(x);
  }
}
SL_HD float stored(ShortlistCudaConversion conversion, float x) {
  const uint32_t bits = converted(conversion, x);
  switch (conversion) {
    case SHORTLIST_CUDA_F32_TO_F16:
      return widen_f16(static_cast<uint16_t>(bits));
    case SHORTLIST_CUDA_F32_TO_BF16:
      return widen_bf16(static_cast<uint16_t>(bits));
    default:
      return bits_as<float>(bits);
  }
}

SL_HD bool to_halves(ShortlistCudaConversion conversion) {
  return conversion == SHORTLIST_CUDA_F32_TO_F16 || conversion == SHORTLIST_CUDA_F32_TO_BF16;
}
// Units of a row that is stored.
SL_HD size_t stored_units(const ShortlistCudaStore& job) {
  const size_t bytes = to_halves(job.conversion) ? job.bytes / 2 : job.bytes;
  return (bytes + kUnitBytes - 1) / kUnitBytes;
}

// Row `row` of those that are given.
struct Given {
  const ShortlistCudaStore& job;
  size_t row;

  SL_HD size_t units() const { return (job.bytes + kUnitBytes - 1) / kUnitBytes; }
  SL_HD Unit at(size_t u) const {
    const size_t from = job.gather ? static_cast<size_t>(job.gather[row]) : row;
    if (job.gather && from >= job.gather_n) return Unit{};
    if (!job.stride) return Interleaved{static_cast<const Unit*>(job.from), units()}.at(from, u);
    return Strided{static_cast<const unsigned char*>(job.from), job.stride, job.bytes}.at(from, u);
  }
  // Where it goes, negative for nowhere.
  SL_HD int64_t place() const {
    return job.places ? job.places[row] : static_cast<int64_t>(job.first + row);
  }
};

// Unit i of all that are stored.
SL_HD void store_unit(const ShortlistCudaStore& job, size_t i) {
  const size_t units = stored_units(job), u = i % units;
  const Given from{job, i / units};
  if (from.place() < 0) return;
  Unit out{};
  if (to_halves(job.conversion)) {
    for (unsigned half = 0; half < 2; ++half) {
      if (2 * u + half >= from.units()) break;
      const Unit x = from.at(2 * u + half);
      SL_UNROLL
      for (unsigned j = 0; j < 4; ++j)
        out.word[2 * half + j / 2] |= converted(job.conversion, number_at(x, j)) << 16 * (j % 2);
    }
  } else {
    out = from.at(u);
    if (job.conversion != SHORTLIST_CUDA_AS_THEY_ARE)
      for (unsigned j = 0; j < 4; ++j) out.word[j] = converted(job.conversion, number_at(out, j));
  }
  const auto row = static_cast<size_t>(from.place());
  static_cast<Unit*>(job.rows)[job.in_rows ? row * units + u : Interleaved::place(row, u, units)] =
      out;
}

SL_HD bool measured(const ShortlistCudaStore& job) {
  return job.squares || job.errors || job.most_square || job.most_error;
}

// Measures a row: its square, and that of what storing it changed.
template <class Group>
SL_TILE void measure_row(const Group& group, const ShortlistCudaStore& job, size_t row) {
  const Given from{job, row};
  const int64_t place = from.place();
  if (place < 0) return;
  typename Group::template Own<float> square(group), error(group);
  group.each([&](unsigned lane) {
    for (size_t u = lane; u < from.units(); u += group.lanes()) {
      const Unit unit = from.at(u);
      for (unsigned j = 0; j < 4; ++j) {
        const float x = number_at(unit, j), apart = x - stored(job.conversion, x);
        square[lane] = multiply_add(x, x, square[lane]);
        error[lane] = multiply_add(apart, apart, error[lane]);
      }
    }
  });
  const float squares = group.sum(square), errors = group.sum(error);
  group.each([&](unsigned lane) {
    if (lane) return;
    if (job.squares) job.squares[place] = squares;
    if (job.errors) job.errors[place] = errors;
    if (job.most_square) group.raise(job.most_square, squares);
    if (job.most_error) group.raise(job.most_error, errors);
  });
}

}  // namespace shortlist::cuda
