#include "index/flat.h"

#include <cstring>

namespace shortlist {
namespace {

std::shared_ptr<Codec> codec_for(size_t d, DType dtype) {
  if (dtype == DType::f32) return std::make_shared<FlatCodec>(d);
  return std::make_shared<ScalarQuantizer>(d, quantizer_for(dtype));
}

}  // namespace

IndexFlatCodes::IndexFlatCodes(std::shared_ptr<Codec> codec, Metric metric)
    : IndexRows(codec->d, metric), codec_(std::move(codec)), store_(codec_->code_size()) {}

void IndexFlatCodes::do_train(const Rows& x) {
  if (codec_->needs_training()) check_empty();
  codec_->check_serves(metric_type, false);
  std::vector<float> scratch;
  codec_->train({as_floats(x, scratch), x.n, x.d});
}

void IndexFlatCodes::do_add(const Rows& x, const AddOptions& options) {
  codec_->check_serves(metric_type, false);
  const size_t before = store_.size();
  std::byte* fresh = store_.grow(x.n);
  try {
    encode_rows(*codec_, x, fresh, &options.progress);
  } catch (...) {
    store_.truncate(before);
    throw;
  }
}

void IndexFlatCodes::nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
                             const SearchParameters*, Hits& hits) const {
  flat::search(vectors(), x, k, allowed, hits.data());
}

void IndexFlatCodes::within(const Rows& x, float radius, const SelectedSlots* allowed,
                            const SearchParameters*, Hits& hits) const {
  flat::range_search(vectors(), x, radius, allowed, hits.data());
}

void IndexFlatCodes::row(size_t i, float* out) const { codec_->decode(store_.row(i), 1, out); }

size_t IndexFlatCodes::do_remove(const Selector& sel) {
  const Bitmap gone = sel.slots({.slots = store_.size()});
  const size_t size = codec_->code_size();
  size_t kept = 0;
  for (size_t i = 0; i < store_.size(); ++i) {
    if (gone[i]) continue;
    if (kept != i) std::memcpy(store_.row(kept), store_.row(i), size);
    ++kept;
  }
  const size_t removed = store_.size() - kept;
  store_.truncate(kept);
  return removed;
}

void IndexFlatCodes::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  check_same_codes(*codec_, dynamic_cast<const IndexFlatCodes&>(other).codec());
}

void IndexFlatCodes::do_merge(Index& other, id_t) {
  auto& from = dynamic_cast<IndexFlatCodes&>(other);
  const size_t n = from.ntotal();
  check_fits(n);
  if (n) std::memcpy(store_.grow(n), from.store_.data(), n * codec_->code_size());
  from.store_.clear();
}

void IndexFlatCodes::do_sa_encode(const Rows& x, std::byte* codes) const {
  encode_rows(*codec_, x, codes);
  codec_->swap_faiss_form(codes, x.n);
}

void IndexFlatCodes::do_sa_decode(const std::byte* codes, size_t n, float* x) const {
  std::vector<std::byte> own(codes, codes + n * codec_->code_size());
  codec_->swap_faiss_form(own.data(), n);
  decode_rows(*codec_, own.data(), n, x);
}

IndexFlat::IndexFlat(size_t d, Metric metric, DType dtype)
    : IndexFlatCodes(codec_for(d, dtype), metric), dtype(dtype) {}

IndexScalarQuantizer::IndexScalarQuantizer(std::shared_ptr<ScalarQuantizer> sq, Metric metric)
    : IndexFlatCodes(sq, metric), sq(sq) {}
IndexScalarQuantizer::IndexScalarQuantizer(size_t d, QuantizerType qtype, Metric metric)
    : IndexScalarQuantizer(std::make_shared<ScalarQuantizer>(d, qtype), metric) {}

IndexPQ::IndexPQ(std::shared_ptr<ProductQuantizer> pq, Metric metric)
    : IndexFlatCodes(pq, metric),
      pq(std::move(pq)),
      polysemous_ht(static_cast<int>(this->pq->M) * this->pq->nbits + 1) {
  if (this->pq->offset && metric != Metric::l2)
    throw UnsupportedError("an offset makes L2 distances of products; use METRIC_L2");
}

std::string IndexLSH::summary() const {
  return text(lsh->nbits, " bits", lsh->rotates ? ", rotated" : "",
              lsh->trains ? ", trained thresholds" : "");
}

}  // namespace shortlist
