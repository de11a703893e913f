#include "index/flat.h"

#include <cfloat>
#include <cstring>

#include "base/error.h"

namespace shortlist {
namespace {

std::shared_ptr<Codec> codec_for(size_t d, DType dtype) {
  if (dtype == DType::f32) return std::make_shared<FlatCodec>(d);
  return std::make_shared<ScalarQuantizer>(d, quantizer_for(dtype));
}

// Slots are 32 bits wide; ids here are row numbers.
constexpr size_t kMaxRows = kNoSlot;

std::shared_ptr<const SelectedSlots> chosen(const SearchParameters* params, size_t n) {
  return params && params->sel ? params->sel->among({.slots = n}) : nullptr;
}

}  // namespace

IndexFlatCodes::IndexFlatCodes(std::shared_ptr<Codec> codec, Metric metric)
    : Index(codec->d, metric), codec_(std::move(codec)), store_(codec_->code_size()) {}

void IndexFlatCodes::do_train(const Rows& x) {
  if (ntotal() && codec_->needs_training())
    throw ArgumentError(text("training now would change what the ", ntotal(),
                             " stored codes mean; train before add, ", "or call reset() first"));
  std::vector<float> scratch;
  codec_->train({as_floats(x, scratch), x.n, x.d});
}

void IndexFlatCodes::do_expect(const Rows& x, const id_t*) {
  if (x.n > kMaxRows - store_.size())
    throw ArgumentError(text("one index holds at most ", kMaxRows, " vectors; it has ",
                             store_.size(), " and ", x.n,
                             " more were added: split the data over several indexes"));
  store_.make_room(x.n);
}

void IndexFlatCodes::do_add(const Rows& x, const AddOptions& options) {
  const size_t before = store_.size();
  std::byte* fresh = store_.grow(x.n);
  try {
    encode_rows(*codec_, x, fresh, &options.progress);
  } catch (...) {
    store_.truncate(before);
    throw;
  }
}

void IndexFlatCodes::do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                               const SearchParameters* params) const {
  const auto allowed = chosen(params, store_.size());
  std::vector<std::vector<hit_t>> hits(x.n);
  flat::search(vectors(), x, k, allowed.get(), hits.data());
  for (size_t i = 0; i < x.n; ++i)
    write_hits(*this, hits[i], k, nullptr, distances + i * k, labels + i * k);
}

void IndexFlatCodes::do_search_exact(const Rows& x, size_t k, float* distances,
                                     id_t* labels) const {
  do_search(x, k, distances, labels, nullptr);
}

RangeResult IndexFlatCodes::do_range_search(const Rows& x, float radius,
                                            const SearchParameters* params) const {
  const auto allowed = chosen(params, store_.size());
  std::vector<std::vector<hit_t>> hits(x.n);
  flat::range_search(vectors(), x, outward(radius), allowed.get(), hits.data());
  return gather_ranges(*this, hits.data(), x.n, nullptr);
}

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

void IndexFlatCodes::do_reconstruct(id_t id, float* out) const {
  if (id < 0 || static_cast<size_t>(id) >= store_.size())
    throw IdError(text("id ", id, " is not in this ", class_name(),
                       "; its ids are 0 to ntotal - 1 = ", static_cast<id_t>(store_.size()) - 1));
  codec_->decode(store_.row(static_cast<size_t>(id)), 1, out);
}

void IndexFlatCodes::check_same_codes(const IndexFlatCodes& other) const {
  const auto* mine = dynamic_cast<const ScalarQuantizer*>(codec_.get());
  const auto* theirs = dynamic_cast<const ScalarQuantizer*>(other.codec_.get());
  if (!mine != !theirs ||
      (mine && (mine->qtype != theirs->qtype || mine->trained != theirs->trained)))
    throw ArgumentError(
        "cannot merge indexes whose codes mean different things; they must share dtype, "
        "quantizer type and trained ranges");
}

void IndexFlatCodes::check_compatible_for_merge(const Index& other) const {
  Index::check_compatible_for_merge(other);
  check_same_codes(dynamic_cast<const IndexFlatCodes&>(other));
}

void IndexFlatCodes::do_merge(Index& other, id_t) {
  auto& from = dynamic_cast<IndexFlatCodes&>(other);
  const size_t n = from.ntotal();
  if (n > kMaxRows - ntotal())
    throw ArgumentError(
        text("one index holds at most ", kMaxRows, " vectors; both together have ", n + ntotal()));
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
  codec_->decode(own.data(), n, x);
}

IndexFlat::IndexFlat(size_t d, Metric metric, DType dtype)
    : IndexFlatCodes(codec_for(d, dtype), metric), dtype(dtype) {}

IndexScalarQuantizer::IndexScalarQuantizer(std::shared_ptr<ScalarQuantizer> sq, Metric metric)
    : IndexFlatCodes(sq, metric), sq(sq) {}
IndexScalarQuantizer::IndexScalarQuantizer(size_t d, QuantizerType qtype, Metric metric)
    : IndexScalarQuantizer(std::make_shared<ScalarQuantizer>(d, qtype), metric) {}

void write_hits(const Index& index, const std::vector<hit_t>& hits, size_t k, const id_t* ids,
                float* distances, id_t* labels) {
  for (size_t i = 0; i < hits.size(); ++i) {
    distances[i] = index.outward(distance_of(hits[i]));
    labels[i] = ids ? ids[slot_of(hits[i])] : static_cast<id_t>(slot_of(hits[i]));
  }
  std::fill(distances + hits.size(), distances + k, index.outward(FLT_MAX));
  std::fill(labels + hits.size(), labels + k, kNoId);
}

RangeResult gather_ranges(const Index& index, const std::vector<hit_t>* hits, size_t n,
                          const id_t* ids) {
  RangeResult out;
  out.lims.resize(n + 1);
  for (size_t i = 0; i < n; ++i) out.lims[i + 1] = out.lims[i] + hits[i].size();
  out.distances.resize(out.lims[n]);
  out.labels.resize(out.lims[n]);
  for (size_t i = 0; i < n; ++i)
    write_hits(index, hits[i], hits[i].size(), ids, out.distances.data() + out.lims[i],
               out.labels.data() + out.lims[i]);
  return out;
}

}  // namespace shortlist
