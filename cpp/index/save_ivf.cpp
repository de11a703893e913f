#include "index/save_ivf.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "index/binary_ivf.h"
#include "index/ivf_pqr.h"
#include "index/ivf_rabitq.h"
#include "index/rabitq.h"
#include "index/save_codecs.h"

namespace shortlist {

using io::ContainerReader;
using io::ContainerWriter;
using io::Fields;

namespace {

std::shared_ptr<IndexIVF> load_rabitq_lists(ContainerReader& in, const Record& record,
                                            const std::string& at, const LoadQuantizer& quantizer) {
  auto codec = load_rabitq(in, record, at);
  const auto nlist = record.number<size_t>("nlist");
  std::shared_ptr<IndexIVFRaBitQ> index;
  if (record.word("class") == "IndexIVFRaBitQFastScan") {
    auto fast = std::make_shared<IndexIVFRaBitQFastScan>(quantizer(), nlist, std::move(codec),
                                                         record.number<int>("bbs"));
    fast->centered = record.number<int>("centered", 0, 1) == 1;
    index = std::move(fast);
  } else {
    index = std::make_shared<IndexIVFRaBitQ>(quantizer(), nlist, std::move(codec));
  }
  index->qb = record.number<int>("qb", 0, IndexRaBitQ::kMostQueryBits);
  return index;
}

std::shared_ptr<IndexIVF> load_refined_lists(ContainerReader& in, const Record& record,
                                             const std::string& at,
                                             const LoadQuantizer& quantizer) {
  const auto d = record.number<size_t>("d", 1, kMaxDimension);
  const float k_factor = record.real("k_factor");
  if (!(k_factor >= 1 && k_factor <= IndexIVFPQR::kMostFactor))
    throw CorruptIndexError(text("'", at, "' has k_factor = ", k_factor, ", which cannot be"));
  auto pq = load_product(in, d, record, at);
  const std::string second = at + "/refine_pq";
  auto refine_pq = load_product(in, d, Record(in, second), second);
  auto index = std::make_shared<IndexIVFPQR>(quantizer(), record.number<size_t>("nlist"),
                                             std::move(pq), std::move(refine_pq));
  index->set_k_factor(k_factor);
  return index;
}

// The codec was saved before the quantizer.
std::shared_ptr<IndexIVF> of_class(ContainerReader& in, const Record& record, const std::string& at,
                                   const LoadQuantizer& quantizer) {
  const auto d = record.number<size_t>("d", 1, kMaxDimension);
  const auto nlist = record.number<size_t>("nlist");
  const Metric metric = record.metric();
  const std::string& name = record.word("class");
  if (name == "IndexIVFFlat") {
    const DType dtype = dtype_named(record.word("dtype"));
    return std::make_shared<IndexIVFFlat>(quantizer(), d, nlist, metric, dtype);
  }
  if (name == "IndexBinaryIVF") return std::make_shared<IndexBinaryIVF>(quantizer(), 8 * d, nlist);
  const bool by_residual = record.number<int>("by_residual", 0, 1) == 1;
  if (name == "IndexIVFScalarQuantizer") {
    auto sq = load_scalar(in, d, record, at);
    return std::make_shared<IndexIVFScalarQuantizer>(quantizer(), nlist, std::move(sq), metric,
                                                     by_residual);
  }
  if (name == "IndexIVFPQ") {
    auto pq = load_product(in, d, record, at);
    return std::make_shared<IndexIVFPQ>(quantizer(), nlist, std::move(pq), metric, by_residual);
  }
  if (name == "IndexIVFPQR") return load_refined_lists(in, record, at, quantizer);
  if (name == "IndexIVFPQFastScan") {
    auto pq = load_product(in, d, record, at);
    return std::make_shared<IndexIVFPQFastScan>(quantizer(), nlist, std::move(pq), metric,
                                                record.number<int>("bbs"), by_residual);
  }
  if (name == "IndexIVFSDC") {
    auto sdc = load_oddint(in, record, at);
    return std::make_shared<IndexIVFSDC>(quantizer(), nlist, std::move(sdc));
  }
  if (name.starts_with("IndexIVFRaBitQ")) return load_rabitq_lists(in, record, at, quantizer);
  throw CorruptIndexError(
      text("it holds an '", name, "', which this release does not know; read it with a newer one"));
}

void load_lists(ContainerReader& in, IndexIVF& index, const std::string& at) {
  const auto sizes = read_array<uint64_t>(in, at + "/sizes");
  const auto ids = read_array<id_t>(in, at + "/ids");
  size_t left = ids.size();
  bool fits = sizes.size() == index.nlist() && (ids.empty() || index.is_trained());
  for (size_t l = 0; fits && l < sizes.size(); ++l) {
    fits = sizes[l] <= left;
    left -= fits ? sizes[l] : 0;
  }
  const size_t size = index.code_size(), length = in.open(at + "/codes");
  fits = fits && (index.soar_lambda() == 0 || ids.size() % 2 == 0);
  if (!fits || left || length != ids.size() * size)
    throw CorruptIndexError(text("the lists of '", at, "' and their sizes do not belong together"));
  std::vector<std::byte> codes;
  const id_t* own = ids.data();
  for (size_t l = 0; l < sizes.size(); ++l, own += sizes[l - 1]) {
    if (!sizes[l]) continue;
    codes.resize(sizes[l] * size);
    in.read(codes.data(), codes.size());
    index.restore_list(l, codes.data(), own, sizes[l]);
  }
  in.close();
  index.restored();
}

}  // namespace

void save_ivf(ContainerWriter& out, const IndexIVF& index, const std::string& at, Fields& fields) {
  fields["nlist"] = text(index.nlist());
  fields["nprobe"] = text(index.nprobe);
  fields["max_codes"] = text(index.max_codes);
  if (index.soar_lambda() > 0) fields["soar_lambda"] = bits_of(index.soar_lambda());
  fields["next_id"] = text(index.next_id());
  fields["trained"] = text(index.is_trained());
  fields["quantizer_trains_alone"] = text(index.quantizer_trains_alone);
  if (const auto* flat = dynamic_cast<const IndexIVFFlat*>(&index)) {
    fields["dtype"] = name_of(flat->dtype);
    io::write_fields(out, at, fields);
    return;
  }
  if (dynamic_cast<const IndexBinaryIVF*>(&index)) {
    io::write_fields(out, at, fields);
    return;
  }
  fields["by_residual"] = text(index.by_residual());
  if (const auto* scalar = dynamic_cast<const IndexIVFScalarQuantizer*>(&index)) {
    save_scalar(out, *scalar->sq, at, fields);
  } else if (const auto* product = dynamic_cast<const IndexIVFPQ*>(&index)) {
    const auto* refined = dynamic_cast<const IndexIVFPQR*>(product);
    if (refined) fields["k_factor"] = bits_of(refined->k_factor());
    save_product(out, *product->pq, at, fields);
    if (Fields own; refined) save_product(out, *refined->refine_pq, at + "/refine_pq", own);
  } else if (const auto* fast = dynamic_cast<const IndexIVFPQFastScan*>(&index)) {
    fields["bbs"] = text(fast->bbs);
    save_product(out, *fast->pq, at, fields);
  } else if (const auto* sdc = dynamic_cast<const IndexIVFSDC*>(&index)) {
    if (sdc->sdc->symmetric) fields["symmetric"] = "1";
    save_oddint(out, *sdc->sdc, at, fields);
  } else if (const auto* rabitq = dynamic_cast<const IndexIVFRaBitQ*>(&index)) {
    fields["qb"] = text(rabitq->qb);
    if (const auto* blocks = dynamic_cast<const IndexIVFRaBitQFastScan*>(&index)) {
      fields["bbs"] = text(blocks->bbs);
      fields["centered"] = text(blocks->centered);
    }
    save_oddint(out, *rabitq->rabitq, at, fields);
  } else {
    throw UnsupportedError(text(index.class_name(), " cannot be saved"));
  }
}

void save_ivf_lists(ContainerWriter& out, const IndexIVF& index, const std::string& at) {
  const Ivf& ivf = index.ivf();
  std::vector<uint64_t> sizes(ivf.nlist);
  for (size_t l = 0; l < ivf.nlist; ++l) sizes[l] = ivf.list_size(l);
  write_array(out, at + "/sizes", sizes.data(), sizes.size());
  out.begin(at + "/ids", ivf.size() * sizeof(id_t));
  for (size_t l = 0; l < ivf.nlist; ++l) out.write(ivf.ids(l).data(), ivf.ids(l).size_bytes());
  out.end();
  out.begin(at + "/codes", ivf.size() * index.code_size());
  for (size_t l = 0; l < ivf.nlist; ++l) {
    const auto codes = ivf.codes(l);
    out.write(codes.data(), codes.size());
  }
  out.end();
}

std::shared_ptr<Index> load_ivf(ContainerReader& in, const Record& record, const std::string& at,
                                const LoadQuantizer& quantizer) {
  const bool trained = record.number<int>("trained", 0, 1) == 1;
  auto index = of_class(in, record, at, quantizer);
  if (trained && index->quantizer->ntotal() != index->nlist())
    throw CorruptIndexError(text("'", at, "' has nlist = ", index->nlist(),
                                 " but its quantizer holds ", index->quantizer->ntotal(),
                                 " vectors"));
  if (trained && !index->ivf().form->is_trained())
    throw CorruptIndexError(text("'", at, "' is trained, but its codes are not"));
  index->nprobe = record.number<size_t>("nprobe", 1);
  index->max_codes = record.number<size_t>("max_codes");
  index->quantizer_trains_alone = record.number<int>("quantizer_trains_alone");
  if (record.has("soar_lambda")) {
    const float lambda = record.real("soar_lambda");
    if (!(lambda > 0 && std::isfinite(lambda)) || index->nlist() < 2)
      throw CorruptIndexError(text("'", at, "' has soar_lambda = ", lambda, ", which cannot be"));
    index->set_soar_lambda(lambda);
  }
  index->restore(trained, record.number<id_t>("next_id", 0));
  load_lists(in, *index, at);
  return index;
}

}  // namespace shortlist
