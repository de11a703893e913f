// The parts of one-bit codes on every ISA, in buffers without a byte to spare, against the scalar
// kernels and plain sums; int8 codes, whose distances are those of what they stand for; bits.
#include <algorithm>
#include <bit>
#include <cmath>

#include "check.h"
#include "codec/int8.h"
#include "codec/oddint/lookup.h"
#include "codec/oddint/rabitq.h"
#include "codec/oddint/rotation.h"
#include "kernels/dispatch.h"

namespace shortlist::test {
namespace {

// What one block of up to 32 vectors and one query come to.
struct Made {
  std::vector<float> rotated, back, factors;
  std::vector<uint8_t> bits, block, entries;
  std::vector<uint32_t> sums;
  bool operator==(const Made&) const = default;
};

Made make(kernels::Isa isa, const Rotation& rotation, const std::vector<float>& x, size_t n) {
  kernels::set_level(isa);
  const size_t d = rotation.d(), m = rotation.m();
  Made out;
  out.rotated.resize(n * m);
  out.back.resize(n * m);
  out.bits.resize(n * m / 8);
  for (size_t i = 0; i < n; ++i) {
    float* y = out.rotated.data() + i * m;
    rotation.apply(x.data() + i * d, y);
    rotation.apply_inverse(y, out.back.data() + i * m);
    const Metric metric = i % 2 ? Metric::l2 : Metric::inner_product;
    const RabitqFactors f = rabitq_encode(y, i % 3 ? out.rotated.data() : nullptr, m, metric,
                                          out.bits.data() + i * m / 8);
    out.factors.insert(out.factors.end(), {f.add, f.rescale, f.error});
  }
  out.block.resize(block_size(m));
  pack32(out.bits.data(), m / 8, n, m, out.block.data());
  QueryTable table;
  table.set(out.rotated.data(), m);
  out.entries = table.entries;
  out.entries.shrink_to_fit();
  out.sums.resize(kBlockVectors);
  kernels::active().lut32(out.block.data(), out.entries.data(), table.groups, out.sums.data());

  for (size_t i = 0; i < n; ++i) {
    float dot = 0;
    for (size_t k = 0; k < m; ++k)
      dot += (static_cast<float>(out.bits[i * m / 8 + k / 8] >> k % 8 & 1) - 0.5f) * out.rotated[k];
    const float estimate = table.offset + table.step * static_cast<float>(out.sums[i]);
    const float most = static_cast<float>(table.groups) * table.step / 2;
    CHECK(std::abs(estimate - dot) <= most * 1.01f + 1e-4f);
    for (size_t k = 0; k < d; ++k) CHECK(std::abs(out.back[i * m + k] - x[i * d + k]) < 1e-4f);
  }
  std::vector<uint8_t> unpacked(n * m / 8);
  unpack32(out.block.data(), n, m, unpacked.data(), m / 8);
  CHECK(unpacked == out.bits);
  return out;
}

void int8_codes(Random& random, size_t d, Metric metric) {
  constexpr size_t n = 20;
  std::vector<float> x(n * d), ranges(2 * d), decoded(n * d);
  for (float& v : x) v = 3 + random.normal();
  for (size_t i = 0; i < d; ++i) {
    ranges[i] = ranges[d + i] = x[i];
    for (size_t r = 1; r < n; ++r) {
      ranges[i] = std::min(ranges[i], x[r * d + i]);
      ranges[d + i] = std::max(ranges[d + i], x[r * d + i]);
    }
  }
  const Int8Codec codec(metric, {ranges.data(), 2, d});
  CHECK(codec.holds({x.data(), n, d}));
  CodeStore store(codec.code_size());
  codec.encode({x.data(), n, d}, store.grow(n));
  codec.decode(store.data(), n, decoded.data());
  const float step = codec.blur() * std::sqrt(6.f);
  for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - decoded[i]) <= step * 0.501f);

  const auto distance = [&](const float* a, const float* b) {
    double sum = 0;
    for (size_t i = 0; i < d; ++i)
      sum += metric == Metric::l2 ? double{a[i] - b[i]} * (a[i] - b[i]) : -double{a[i]} * b[i];
    return sum;
  };
  std::vector<slot_t> slots(n);
  for (size_t i = 0; i < n; ++i) slots[i] = static_cast<slot_t>(n - 1 - i);
  std::vector<float> got(n), outside(x.begin(), x.begin() + static_cast<ptrdiff_t>(d));
  outside[0] += 1000;  // compared as floats
  CHECK(metric == Metric::inner_product || !codec.holds({outside.data(), 1, d}));
  const auto computer = codec.distance_computer(metric, store);
  for (const float* q : {decoded.data(), x.data(), outside.data()}) {
    computer->set_query(q);
    computer->score(slots.data(), n, got.data());
    for (size_t i = 0; i < n; ++i) {
      const double want = distance(q, decoded.data() + slots[i] * d);
      // A query is off by half a step in each dimension, or, as inner products have steps of
      // their own, by sqrt(3) times 2 % of its length.
      const double half = step * std::sqrt(static_cast<double>(d)) / 2;
      const float* row = decoded.data() + slots[i] * d;
      const double off = metric == Metric::l2
                             ? half * (2 * std::sqrt(want) + half)
                             : 0.035 * std::sqrt(-distance(q, q) * -distance(row, row));
      CHECK(std::abs(got[i] - want) <= off + 1e-3 + std::abs(want) * 1e-3);
    }
  }
  computer->between(3, slots.data(), n, got.data());
  for (size_t i = 0; i < n; ++i) {
    const double want = distance(decoded.data() + 3 * d, decoded.data() + slots[i] * d);
    CHECK(std::abs(got[i] - want) <= 1e-3 + std::abs(want) * 1e-4);
  }
}

// In buffers without a byte to spare.
void hamming(Random& random, size_t bytes, size_t n) {
  std::vector<std::byte> query(bytes), base(n * bytes);
  for (auto* part : {&query, &base})
    for (std::byte& b : *part) b = static_cast<std::byte>(random.below(256));
  std::vector<float> distances(n);
  const auto& kernels = kernels::active();
  kernels.rows[kernels::hamming_bits](query.data(), base.data(), bytes, nullptr, n, bytes,
                                      distances.data());
  const auto limit = static_cast<uint32_t>(4 * bytes);
  std::vector<uint64_t> near((n + 63) / 64);
  kernels.near_bits(query.data(), base.data(), n, bytes, limit, near.data());
  for (size_t i = 0; i < n; ++i) {
    uint32_t want = 0;
    for (size_t t = 0; t < bytes; ++t)
      want += static_cast<uint32_t>(
          std::popcount(std::to_integer<unsigned>(query[t] ^ base[i * bytes + t])));
    CHECK_EQ(distances[i], static_cast<float>(want));
    CHECK_EQ(near[i / 64] >> i % 64 & 1, uint64_t{want < limit});
  }
}

}  // namespace

void codes(uint64_t seed) {
  Random random(seed);
  const kernels::Isa before = kernels::level();
  for (size_t d : {1, 63, 64, 65, 128, 200, 384, 1100, 1536}) {
    const Rotation rotation(d, random.bits());
    for (size_t n : {size_t{1}, random.between(2, 31), size_t{32}}) {
      std::vector<float> x(n * d);
      for (float& v : x) v = random.normal();
      const Made reference = make(kernels::Isa::reference, rotation, x, n);
      for (const kernels::Isa isa : kernels::runnable())
        CHECK(make(isa, rotation, x, n) == reference);
    }
  }
  for (const kernels::Isa isa : kernels::runnable()) {
    kernels::set_level(isa);
    for (size_t d : {1, 2, 31, 128, 300})
      for (const Metric metric : {Metric::l2, Metric::inner_product}) int8_codes(random, d, metric);
    for (size_t bytes = 1; bytes <= 130; ++bytes)
      for (size_t n : {size_t{1}, random.between(2, 63), random.between(64, 200)})
        hamming(random, bytes, n);
  }
  kernels::set_level(before);
}

}  // namespace shortlist::test
