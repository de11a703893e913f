// The parts of one-bit codes on every ISA, in buffers without a byte to spare, against the scalar
// kernels and plain sums.
#include <algorithm>
#include <cmath>

#include "check.h"
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
  kernels::set_level(before);
}

}  // namespace shortlist::test
