#include "gpu/sdc.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"

namespace shortlist::gpu {
namespace {

constexpr int kQueryBits = 8;  // of a signed byte

// Unlike for the CPU's kernel, more bits of a query cost nothing here.
void set_whole(const OddIntCodec& codec, const float* q, OddIntCodec::Query& out) {
  codec.set_query(q, out);
  if (codec.symmetric)
    codec.code_query(out);
  else
    codec.round_query(out, kQueryBits);
}

}  // namespace

size_t plane_bytes(const OddIntCodec& codec) { return (codec.plane_size() + 15) / 16 * 16; }

void put_codes(const OddIntCodec& codec, const std::byte* codes, size_t n, std::byte* planes,
               float* factors) {
  const size_t wide = plane_bytes(codec), size = codec.plane_size();
  const auto bits = static_cast<size_t>(codec.bits);
  std::memset(planes, 0, n * bits * wide);
  for (size_t i = 0; i < n; ++i) {
    const std::byte* const code = codes + i * codec.code_size();
    for (size_t b = 0; b < bits; ++b)
      std::memcpy(planes + (i * bits + b) * wide, code + b * size, size);
    const OddIntCodec::Fine fine = codec.factors(code);
    factors[i] = fine.add;
    factors[n + i] = fine.rescale;
  }
}

Queries whole_queries(const OddIntCodec& codec, Matrix<const float> x) {
  const size_t m = 8 * plane_bytes(codec);
  Queries out;
  out.bits = codec.symmetric ? codec.bits + 1 : kQueryBits;
  out.values.resize(x.rows * m);
  out.near.resize(x.rows);
  out.scale.resize(x.rows);
  out.offset.resize(x.rows);
  parallel_for(x.rows, {.grain = 8}, [&](size_t begin, size_t end, size_t) {
    OddIntCodec::Query query;
    for (size_t i = begin; i < end; ++i) {
      set_whole(codec, x.row(i), query);
      out.near[i] = query.near;
      out.scale[i] = query.scale;
      int64_t sum = 0;
      if (!std::isfinite(query.near) || !std::isfinite(query.scale) ||
          !std::isfinite(query.length)) {
        out.near[i] = std::numeric_limits<float>::quiet_NaN();  // finds nothing
        continue;
      }
      for (size_t j = 0; j < codec.m(); ++j) {
        const auto value = static_cast<int16_t>(query.turned[j]);
        out.values[i * m + j] = value;
        sum += value;
      }
      out.offset[i] = ((int64_t{1} << codec.bits) - 1) * sum;
    }
  });
  return out;
}

std::vector<std::byte> as_planes(const OddIntCodec& codec, const Queries& queries) {
  const size_t wide = plane_bytes(codec), m = 8 * wide, n = queries.near.size();
  const auto bits = static_cast<size_t>(queries.bits);
  std::vector<std::byte> out(n * bits * wide);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < codec.m(); ++j) {
      const auto twos = static_cast<unsigned>(int{queries.values[i * m + j]});
      for (size_t b = 0; b < bits; ++b)
        out[(i * bits + b) * wide + j / 8] |= std::byte(twos >> (bits - 1 - b) & 1) << j % 8;
    }
  return out;
}

std::vector<int8_t> as_bytes(const OddIntCodec& codec, const Queries& queries) {
  if (queries.bits > kQueryBits)
    throw UnsupportedError(text("codes of ", queries.bits, " bits are no bytes"));
  const size_t m = 8 * plane_bytes(codec), n = queries.near.size();
  std::vector<int8_t> out(n * m);
  for (size_t i = 0; i < n * m; ++i) {
    // Bit 32 w + j + 8 k of 128 goes with byte 4 (8 w + j) + k.
    const size_t within = i % 128, w = within / 32, j = within % 8, k = within % 32 / 8;
    out[i / 128 * 128 + 4 * (8 * w + j) + k] = static_cast<int8_t>(queries.values[i]);
  }
  return out;
}

}  // namespace shortlist::gpu
