#include "index/product.h"

#include <shared_mutex>

#include "base/error.h"

namespace shortlist {
namespace {

std::shared_ptr<ProductQuantizer> of_4_bits(std::shared_ptr<ProductQuantizer> pq) {
  if (pq->nbits != 4)
    throw ArgumentError(text("nbits = ", pq->nbits, "; a fast scan looks up parts of 4 bits"));
  return without_offset(std::move(pq), "a fast scan");
}

}  // namespace

IndexPQFastScan::IndexPQFastScan(std::shared_ptr<ProductQuantizer> quantizer, Metric metric,
                                 int bbs)
    : IndexInBlocks(of_4_bits(quantizer), metric),
      pq(std::move(quantizer)),
      bbs(checked_block(bbs)) {}

IndexPQFastScan::IndexPQFastScan(const IndexPQ& from, int bbs)
    : IndexPQFastScan(
          std::make_shared<ProductQuantizer>(from.d, from.pq->M, from.pq->nbits, from.pq->offset),
          from.metric_type, bbs) {
  pq->set_anisotropic_threshold(from.pq->anisotropic_threshold);
  const std::shared_lock hold(from.lock());
  pq->set_centroids(from.pq->centroids());
  if (const size_t n = from.ntotal()) restore_codes(from.codes().row(0), n);
}

void IndexPQFastScan::nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
                              const SearchParameters*, Hits& hits) const {
  std::vector<float> scratch;
  blocks().search({as_floats(x, scratch), x.n, x.d}, metric_type, k, allowed, hits.data());
}

void IndexPQFastScan::within(const Rows& x, float radius, const SelectedSlots* allowed,
                             const SearchParameters*, Hits& hits) const {
  std::vector<float> scratch;
  blocks().range_search({as_floats(x, scratch), x.n, x.d}, metric_type, radius, allowed,
                        hits.data());
}

}  // namespace shortlist
