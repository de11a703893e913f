#include "index/ivf_rabitq.h"

#include <shared_mutex>

#include "base/error.h"
#include "index/in_blocks.h"
#include "index/rabitq.h"

namespace shortlist {

IndexIVFRaBitQ::IndexIVFRaBitQ(std::shared_ptr<Index> quantizer, size_t nlist,
                               std::shared_ptr<RaBitQCodec> codec)
    : IndexIVFRaBitQ(std::move(quantizer), nlist, codec,
                     std::make_shared<lists::RaBitQForm>(codec)) {}

IndexIVFRaBitQ::IndexIVFRaBitQ(std::shared_ptr<Index> quantizer, size_t nlist,
                               std::shared_ptr<RaBitQCodec> codec,
                               std::shared_ptr<lists::RaBitQForm> form)
    : IndexIVF(std::move(quantizer), codec->d, nlist, codec->metric, form),
      rabitq(std::move(codec)),
      form_(std::move(form)) {}

std::string IndexIVFRaBitQ::summary() const {
  return text(rabitq->bits, " bits; ", IndexIVF::summary());
}

void IndexIVFRaBitQ::learn_from_codes() {
  constexpr size_t kEnough = 1024;
  const size_t size = code_size(), step = ntotal() / kEnough + 1;
  const std::vector<float> none(d);
  std::vector<float> residuals;
  size_t seen = 0;
  for (size_t list = 0; rabitq->bits > 1 && list < nlist(); ++list) {
    const std::vector<std::byte> codes = ivf().codes(list);
    for (size_t i = 0; i < ivf().list_size(list); ++i)
      if (seen++ % step == 0) {
        residuals.resize(residuals.size() + d);
        rabitq->decode_in_list(codes.data() + i * size, 1, none.data(),
                               &residuals[residuals.size() - d]);
      }
  }
  form_->learn({residuals.data(), residuals.size() / d, d});
}

std::unique_ptr<lists::Scanner> IndexIVFRaBitQ::scanner(const SearchParameters* params,
                                                        bool) const {
  const auto* own = dynamic_cast<const IVFRaBitQSearchParameters*>(params);
  QueryGrid asked = own ? own->grid : grid();
  asked.in_bytes = scans_bytes();
  return form_->scanner(asked);
}

void IndexIVFRaBitQ::do_search_exact(const Rows& x, size_t k, float* distances,
                                     id_t* labels) const {
  IVFRaBitQSearchParameters all;
  all.nprobe = nlist();
  all.grid = {};
  do_search(x, k, distances, labels, &all);
}

IndexIVFRaBitQFastScan::IndexIVFRaBitQFastScan(std::shared_ptr<Index> quantizer, size_t nlist,
                                               std::shared_ptr<RaBitQCodec> codec, int bbs)
    : IndexIVFRaBitQ(std::move(quantizer), nlist, std::move(codec)), bbs(checked_block(bbs)) {
  qb = IndexRaBitQ::kMostQueryBits;
}

IndexIVFRaBitQFastScan::IndexIVFRaBitQFastScan(const IndexIVFRaBitQ& from, int bbs)
    : IndexIVFRaBitQFastScan(
          from.quantizer, from.nlist(),
          std::make_shared<RaBitQCodec>(from.d, from.rabitq->bits, from.metric_type), bbs) {
  const std::shared_lock hold(from.lock());
  if (from.qb) qb = from.qb.load();
  nprobe = from.nprobe.load();
  max_codes = from.max_codes.load();
  if (!from.is_trained()) return;
  rabitq->set_centres(from.rabitq->centre, from.rabitq->query_centre);
  rabitq->slack = from.rabitq->slack;
  restore(true, from.next_id());
  for (size_t list = 0; list < nlist(); ++list)
    restore_list(list, from.ivf().codes(list).data(), from.ivf().ids(list).data(),
                 from.ivf().list_size(list));
  restored();
}

}  // namespace shortlist
