#include "faiss_format/codecs.h"

#include <cstring>

#include "kernels/floats.h"

namespace shortlist::faiss_format {
namespace {

constexpr int kLastQuantizerType = 26;

}  // namespace

std::shared_ptr<ProductQuantizer> read_product(Input& in, size_t d, bool is_trained) {
  const auto own_d = in.get<uint64_t>(), M = in.get<uint64_t>(), nbits = in.get<uint64_t>();
  if (own_d != d || M < 1 || M > d || d % M)
    corrupt(
        text("a product quantizer of ", M, " parts and d = ", own_d, " in an index of d = ", d));
  if (nbits < 1 || nbits > 8)
    throw UnsupportedError(text("the product quantizer has parts of ", nbits,
                                " bits; 1 to 8 are available yet, read it with faiss"));
  auto pq = std::make_shared<ProductQuantizer>(d, static_cast<size_t>(M), static_cast<int>(nbits));
  auto centroids = in.get_vector<float>("the centroids");
  if (centroids.size() != d * pq->ksub() || !finite(centroids.data(), centroids.size()))
    corrupt(text(centroids.size(), " values of centroids do not fit ", pq->name(), " of ", d,
                 " dimensions"));
  if (is_trained) pq->set_centroids(std::move(centroids));  // else they are zeros
  return pq;
}

std::shared_ptr<ScalarQuantizer> read_scalar(Input& in, size_t d, bool is_trained) {
  const auto qtype = in.get<int32_t>(), rangestat = in.get<int32_t>();
  const auto rangestat_arg = in.get<float>();
  const auto own_d = in.get<uint64_t>(), code_size = in.get<uint64_t>();
  if (qtype < 0 || qtype > kLastQuantizerType)
    corrupt(text("quantizer type ", qtype, " does not exist"));
  if (rangestat < 0 || rangestat > 3) corrupt(text("rangestat ", rangestat, " does not exist"));
  if (own_d != d) corrupt(text("the quantizer has d = ", own_d, " but the index ", d));
  auto sq = std::make_shared<ScalarQuantizer>(d, static_cast<QuantizerType>(qtype));
  if (code_size != sq->code_size())
    corrupt(text("codes of ", code_size, " bytes where ", sq->code_size(), " are right"));
  sq->rangestat = static_cast<RangeStat>(rangestat);
  sq->rangestat_arg = rangestat_arg;
  sq->trained = in.get_vector<float>("the trained ranges");
  if (!sq->is_trained() && (is_trained || !sq->trained.empty()))
    corrupt(text(sq->trained.size(), " trained values do not fit the quantizer type"));
  return sq;
}

RaBitQ read_rabitq(Input& in, size_t d, Metric metric, bool one_bit) {
  const auto own_d = in.get<uint64_t>(), code_size = in.get<uint64_t>();
  const auto own_metric = in.get<int32_t>();
  const auto bits = one_bit ? uint64_t{1} : in.get<uint64_t>();
  if (own_d != d || own_metric != static_cast<int>(metric))
    corrupt(text("the quantizer has d = ", own_d, " and metric ", own_metric,
                 " but the index d = ", d, " and ", name_of(metric)));
  if (bits == 9) throw UnsupportedError("it has codes of 9 bits; only 1 to 8 are supported");
  if (bits < 1 || bits > 9) corrupt(text("nb_bits = ", bits, " is not between 1 and 9"));
  return {std::make_shared<RaBitQCodec>(d, static_cast<int>(bits), metric), code_size};
}

// faiss 1.13 gave these factors other meanings under the same name, which later releases do not
// notice; its sign was another.
void check_factors(const RaBitQCodec& codec, const std::byte* codes, size_t n) {
  if (codec.metric != Metric::inner_product || codec.bits == 1) return;
  for (size_t i = 1; i <= n; ++i) {
    float rescale;
    std::memcpy(&rescale, codes + i * codec.faiss_size() - sizeof rescale, sizeof rescale);
    if (rescale < 0)
      throw UnsupportedError(
          "it holds inner-product codes of several bits by faiss 1.13, which later releases "
          "misread; build the index again");
  }
}

void write(const ProductQuantizer& pq, Output& out) {
  if (pq.offset)
    throw UnsupportedError(
        "faiss's files have no form for offsets beside product-quantised codes; use index.save");
  out.put(uint64_t{pq.d});
  out.put(uint64_t{pq.M});
  out.put(static_cast<uint64_t>(pq.nbits));
  if (pq.is_trained()) return out.array(pq.centroids().data(), pq.centroids().size());
  const std::vector<float> zeros(pq.d * pq.ksub());
  out.array(zeros.data(), zeros.size());
}

void write(const ScalarQuantizer& sq, Output& out) {
  out.put(static_cast<int32_t>(sq.qtype));
  out.put(static_cast<int32_t>(sq.rangestat));
  out.put(sq.rangestat_arg);
  out.put(uint64_t{sq.d});
  out.put(uint64_t{sq.code_size()});
  out.array(sq.trained.data(), sq.trained.size());
}

void write(const RaBitQCodec& codec, Output& out, bool one_bit) {
  out.put(uint64_t{codec.d});
  out.put(uint64_t{codec.faiss_size()});
  out.put(static_cast<int32_t>(codec.metric));
  if (!one_bit) out.put(static_cast<uint64_t>(codec.bits));
}

}  // namespace shortlist::faiss_format
