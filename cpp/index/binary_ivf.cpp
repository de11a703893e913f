#include "index/binary_ivf.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "kernels/floats.h"
#include "lists/bits.h"

namespace shortlist {
namespace {

std::shared_ptr<Index> checked(std::shared_ptr<Index> quantizer, size_t bits) {
  const auto* binary = dynamic_cast<const IndexBinary*>(quantizer.get());
  if (!binary || binary->bits() != bits)
    throw DimensionError(text("the quantizer has d = ", binary ? binary->bits() : 0,
                              " bits; it must have ", bits, " as the index"));
  return quantizer;
}

void to_signs(const uint8_t* bytes, size_t n, float* out) {
  for (size_t i = 0; i < 8 * n; ++i) out[i] = bytes[i / 8] >> i % 8 & 1 ? 1.f : -1.f;
}

void to_bytes(const float* x, size_t n, uint8_t* out) {
  std::fill_n(out, n, uint8_t{0});
  for (size_t i = 0; i < 8 * n; ++i)
    if (x[i] > 0) out[i / 8] |= static_cast<uint8_t>(1 << i % 8);
}

}  // namespace

IndexBinaryIVF::IndexBinaryIVF(std::shared_ptr<Index> quantizer, size_t bits, size_t nlist)
    : IndexIVF(checked(std::move(quantizer), bits), bits / 8, nlist, Metric::l2,
               std::make_shared<lists::BitsForm>(std::make_shared<BitCodec>(bits / 8))) {}

void IndexBinaryIVF::search_preassigned(const Rows& x, const Preassigned& lists, size_t k,
                                        int32_t* distances, id_t* labels,
                                        const SearchParameters* params) const {
  search_whole([&](float* out) { search_preassigned(x, lists, k, out, labels, params); }, x.n * k,
               distances);
}

void IndexBinaryIVF::do_train(const Rows& x) {
  check_empty();
  if (quantizer->ntotal() != nlist()) {
    // As many as k-means would take, since floats are 32 times larger.
    const size_t n = std::min(x.n, nlist() * std::max<size_t>(cp.max_points_per_centroid, 1));
    std::vector<float> signs(n * 8 * d), scratch;
    std::vector<std::byte> row(d);
    const BitCodec codec(d);
    for (size_t i = 0; i < n; ++i) {
      const size_t step = x.n / n, at = i * x.n / n + (step > 1 ? mix64(i) % step : 0);
      codec.encode({as_floats(x.slice(at, at + 1), scratch), 1, d}, row.data());
      to_signs(reinterpret_cast<const uint8_t*>(row.data()), d, &signs[i * 8 * d]);
    }
    const auto found = cluster::kmeans(as_rows({signs.data(), n, 8 * d}), nlist(), cp);
    std::vector<uint8_t> centroids(nlist() * d);
    to_bytes(found.centroids.data(), centroids.size(), centroids.data());
    if (quantizer->ntotal()) quantizer->reset();
    quantizer->add(Rows{centroids.data(), nlist(), d, DType::u8});
  }
  restore(true, next_id());
}

}  // namespace shortlist
