#include "faiss_format/ivf.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "faiss_format/codecs.h"
#include "faiss_format/faiss_format.h"
#include "faiss_format/fast_scan.h"
#include "index/binary_ivf.h"
#include "index/flat.h"
#include "index/ivf_rabitq.h"
#include "index/multi_index.h"
#include "index/rabitq.h"

namespace shortlist::faiss_format {
namespace {

constexpr uint64_t kMostUntrained = uint64_t{1} << 22;  // lists that no quantizer vouches for
constexpr uint64_t kNoCodeSize = ~uint64_t{0};          // codes of blocks lie across them

struct Lists {
  size_t nlist, nprobe;
  std::shared_ptr<Index> quantizer;
};

Lists read_head(Input& in, const IvfHeader& h,
                const std::function<std::shared_ptr<Index>()>& nested) {
  const auto nlist = in.get<uint64_t>(), nprobe = in.get<uint64_t>();
  if (nlist < 1 || nlist >= kNoSlot / lists::kSlotStep || nprobe < 1)
    corrupt(text(nlist, " lists, of which ", nprobe, " are searched, cannot be"));
  if (!h.is_trained && nlist > kMostUntrained)
    corrupt(text(nlist, " lists before training; at most ", kMostUntrained, " are believed"));
  Lists out{static_cast<size_t>(nlist), static_cast<size_t>(nprobe), nested()};
  if (dynamic_cast<const MultiIndexQuantizer*>(out.quantizer.get()) && nlist > kMostUntrained)
    throw UnsupportedError(
        text(nlist, " lists of a multi-index; at most ", kMostUntrained, " are read from a file"));
  const bool holds_all = out.quantizer->is_trained() && out.quantizer->ntotal() == nlist;
  if (out.quantizer->d != h.d || (h.is_trained && !holds_all))
    corrupt(text("the quantizer holds ", out.quantizer->ntotal(),
                 " vectors of d = ", out.quantizer->d, " for ", nlist, " lists of d = ", h.d));
  const auto map = in.get<uint8_t>();  // where ids are, which we find out when asked
  if (map > 2) corrupt(text("the direct map is of type ", int{map}));
  in.get_vector<int64_t>("the direct map");
  if (map == 2) {
    const size_t pairs = in.get_count(2 * sizeof(int64_t), "the direct map");
    io::read_vector<int64_t>(in.source(), 2 * pairs);
  }
  return out;
}

void check_code_size(size_t size, uint64_t told) {
  if (told != size) corrupt(text("codes of ", told, " bytes where ", size, " are right"));
}

void check_code_size(const IndexIVF& index, uint64_t told) {
  check_code_size(index.ivf().form->faiss_size(), told);
}

// Codes in faiss's bytes. Numbering goes on behind the ids, unless these are no numbers of
// vectors but of something else.
void restore_list(IndexIVF& index, size_t list, const std::vector<std::byte>& codes,
                  const std::vector<id_t>& ids, id_t& next) {
  constexpr id_t kLastNumber = id_t{1} << 62;
  if (ids.empty()) return;
  for (const id_t id : ids) {
    if (id == kNoId) corrupt("a vector has the id -1");
    if (id < kLastNumber) next = std::max(next, id + 1);
  }
  const Ivf& ivf = index.ivf();
  if (const auto* rabitq = dynamic_cast<const IndexIVFRaBitQ*>(&index))
    check_factors(*rabitq->rabitq, codes.data(), ids.size());
  std::vector<std::byte> own(ids.size() * ivf.form->code_size());
  ivf.form->from_faiss(codes.data(), ids.size(), ivf.centroid(list), own.data());
  index.restore_list(list, own.data(), ids.data(), ids.size());
}

// faiss counts vectors with NaN too, which are in no list.
void check_sum(size_t in_lists, size_t claimed) {
  if (in_lists > claimed)
    corrupt(text("its lists hold ", in_lists, " vectors or more, but it claims ", claimed));
}

// Lists of codes of `size` bytes, back to back; calls take(list, codes, ids) for each.
template <class Take>
void read_lists(Input& in, size_t nlist, size_t size, size_t n, const Take& take) {
  if (in.get<uint32_t>() != fourcc("ilar"))
    throw UnsupportedError(
        "its inverted lists are in no file form we know, as of lists on disk; read it with faiss");
  const auto own_nlist = in.get<uint64_t>();
  check_code_size(size, in.get<uint64_t>());
  const auto kind = in.get<uint32_t>();
  const auto told = in.get_vector<uint64_t>("the sizes of the lists");
  std::vector<uint64_t> sizes(nlist);
  if (kind == fourcc("full")) {
    sizes = told;
  } else if (kind == fourcc("sprs") && told.size() % 2 == 0) {
    for (size_t i = 0; i < told.size(); i += 2) {
      if (told[i] >= nlist) corrupt(text("it has vectors in list ", told[i]));
      sizes[told[i]] = told[i + 1];
    }
  } else {
    corrupt(text("the lists are of the kind '", letters(kind), "'"));
  }
  if (own_nlist != nlist || sizes.size() != nlist)
    corrupt(text("there are sizes of ", sizes.size(), " lists, but ", nlist, " are claimed"));
  size_t sum = 0;
  for (const uint64_t of_list : sizes) {
    check_sum(of_list, n);
    check_sum(sum += of_list, n);
  }
  for (size_t l = 0; l < sizes.size(); ++l) {
    const auto codes = io::read_vector<std::byte>(in.source(), sizes[l] * size);
    take(l, codes, io::read_vector<id_t>(in.source(), sizes[l]));
  }
}

// Of product-quantised codes all is scanned, of RaBitQ's the signs.
FastScanBlocks layout_of(const IndexIVF& index, size_t width) {
  const size_t size = index.ivf().form->faiss_size();
  const bool signs = dynamic_cast<const IndexIVFRaBitQ*>(&index) != nullptr;
  return {signs ? index.d : 8 * size, size, width};
}

// Lists of blocks for fast scans.
id_t read_block_lists(Input& in, IndexIVF& index, size_t n, int bbs) {
  if (in.get<uint32_t>() != fourcc("ilbl")) corrupt("its inverted lists are not of blocks");
  const auto nlist = in.get<uint64_t>();
  if (in.get<uint64_t>() != kNoCodeSize) corrupt("its blocks are of codes apart");
  const auto wanted = static_cast<size_t>(bbs), size = index.ivf().form->faiss_size();
  const auto width = in.get<uint64_t>(), block_bytes = in.get<uint64_t>();
  const FastScanBlocks layout = layout_of(index, wanted);
  if (nlist != index.nlist() || width != wanted || block_bytes != layout.size())
    corrupt(text(nlist, " lists of blocks of ", width, " vectors and ", block_bytes,
                 " bytes do not fit it"));
  auto next = static_cast<id_t>(n);
  size_t sum = 0;
  for (size_t l = 0; l < index.nlist(); ++l) {
    const auto ids = in.get_vector<id_t>("the ids of a list");
    const auto blocks = in.get_vector<uint8_t>("the blocks of a list");
    check_sum(sum += ids.size(), n);
    if (blocks.size() != (ids.size() + width - 1) / width * layout.size())
      corrupt(text("list ", l, " has ", blocks.size(), " bytes for ", ids.size(), " vectors"));
    std::vector<std::byte> codes(ids.size() * size);
    for (size_t at = 0; at < ids.size(); at += width)
      layout.unpack(blocks.data() + at / width * layout.size(),
                    std::min<size_t>(width, ids.size() - at), codes.data() + at * size);
    restore_list(index, l, codes, ids, next);
  }
  return next;
}

std::vector<std::byte> faiss_codes(const IndexIVF& index, size_t list) {
  const lists::Form& form = *index.ivf().form;
  const size_t n = index.ivf().list_size(list);
  std::vector<std::byte> out(n * form.faiss_size());
  form.to_faiss(index.ivf().codes(list).data(), n, out.data());
  return out;
}

// Codes of `size` bytes; write(l) writes codes and ids of list l.
template <class Write>
void write_lists(const IndexIVF& index, Output& out, size_t size, const Write& write) {
  const Ivf& ivf = index.ivf();
  std::vector<uint64_t> sizes(ivf.nlist), pairs;
  for (size_t l = 0; l < ivf.nlist; ++l) {
    sizes[l] = ivf.list_size(l);
    if (sizes[l]) pairs.insert(pairs.end(), {l, sizes[l]});
  }
  const bool full = pairs.size() / 2 > ivf.nlist / 2;
  out.put(fourcc("ilar"));
  out.put(uint64_t{ivf.nlist});
  out.put(uint64_t{size});
  out.put(full ? fourcc("full") : fourcc("sprs"));
  const auto& told = full ? sizes : pairs;
  out.array(told.data(), told.size());
  for (size_t l = 0; l < ivf.nlist; ++l) write(l);
}

void write_lists(const IndexIVF& index, Output& out) {
  write_lists(index, out, index.ivf().form->faiss_size(), [&](size_t l) {
    const auto codes = faiss_codes(index, l);
    out.sink().write(codes.data(), codes.size());
    out.sink().write(index.ivf().ids(l).data(), index.ivf().ids(l).size_bytes());
  });
}

std::vector<id_t> all_ids(const Ivf& ivf) {
  std::vector<id_t> ids;
  for (size_t l = 0; l < ivf.nlist; ++l)
    ids.insert(ids.end(), ivf.ids(l).begin(), ivf.ids(l).end());
  return ids;
}

// The vectors of all lists, one list after the other, in the order of their ids.
std::vector<size_t> by_id(const Ivf& ivf) {
  const std::vector<id_t> ids = all_ids(ivf);
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a] < ids[b]; });
  return order;
}

// The lists, of first codes and with the numbers of rows for ids, and what stands behind them.
void write_refined(const IndexIVFPQR& index, Output& out) {
  const Ivf& ivf = index.ivf();
  const size_t first = index.pq->code_size(), second = index.refine_pq->code_size();
  const std::vector<size_t> order = by_id(ivf);
  std::vector<id_t> rows(order.size());
  for (size_t i = 0; i < order.size(); ++i) rows[order[i]] = static_cast<id_t>(i);
  std::vector<std::byte> rest(order.size() * second), codes;
  const id_t* row = rows.data();
  write_lists(index, out, first, [&](size_t l) {
    const auto whole = ivf.codes(l);
    const size_t n = ivf.list_size(l);
    codes.resize(n * first);
    for (size_t i = 0; i < n; ++i) {
      const std::byte* code = whole.data() + i * (first + second);
      std::copy_n(code, first, &codes[i * first]);
      std::copy_n(code + first, second, &rest[static_cast<size_t>(row[i]) * second]);
    }
    out.sink().write(codes.data(), codes.size());
    out.sink().write(row, n * sizeof(id_t));
    row += n;
  });
  write(*index.refine_pq, out);
  out.array(rest.data(), rest.size());
  out.put(index.k_factor());
}

void write_block_lists(const IndexIVF& index, Output& out, int bbs) {
  const Ivf& ivf = index.ivf();
  const auto width = static_cast<size_t>(bbs), size = ivf.form->faiss_size();
  const FastScanBlocks layout = layout_of(index, width);
  out.put(fourcc("ilbl"));
  out.put(uint64_t{ivf.nlist});
  out.put(kNoCodeSize);
  out.put(uint64_t{width});
  out.put(uint64_t{layout.size()});
  for (size_t l = 0; l < ivf.nlist; ++l) {
    const auto ids = ivf.ids(l);
    const auto codes = faiss_codes(index, l);
    std::vector<uint8_t> blocks((ids.size() + width - 1) / width * layout.size());
    for (size_t at = 0; at < ids.size(); at += width)
      layout.pack(codes.data() + at * size, std::min(width, ids.size() - at),
                  blocks.data() + at / width * layout.size());
    out.array(ids.data(), ids.size());
    out.array(blocks.data(), blocks.size());
  }
}

// Reads what stands behind the direct map.
class Reading {
 public:
  Reading(Input& in, const IvfHeader& header, Lists head)
      : in_(in), h_(header), head_(std::move(head)) {}

  std::shared_ptr<Index> flat() {
    return of_lists(std::make_shared<IndexIVFFlat>(head_.quantizer, h_.d, head_.nlist, h_.metric));
  }

  std::shared_ptr<Index> binary() {
    return of_lists(std::make_shared<IndexBinaryIVF>(head_.quantizer, 8 * h_.d, head_.nlist));
  }

  std::shared_ptr<Index> scalar() {
    auto sq = read_scalar(in_, h_.d, h_.is_trained);
    const auto size = in_.get<uint64_t>();
    const auto index = std::make_shared<IndexIVFScalarQuantizer>(
        head_.quantizer, head_.nlist, std::move(sq), h_.metric, in_.get_bool("by_residual"));
    check_code_size(*index, size);
    return of_lists(index);
  }

  std::shared_ptr<Index> product() {
    const bool by_residual = in_.get_bool("by_residual");
    const auto size = in_.get<uint64_t>();
    const auto index = std::make_shared<IndexIVFPQ>(head_.quantizer, head_.nlist,
                                                    read_product(in_, h_.d, h_.is_trained),
                                                    h_.metric, by_residual);
    check_code_size(*index, size);
    return of_lists(index);
  }

  // The second codes stand behind the lists, by id.
  std::shared_ptr<Index> refined() {
    struct List {
      std::vector<std::byte> codes;
      std::vector<id_t> ids;
    };
    if (h_.metric != Metric::l2) corrupt("an IndexIVFPQR is not of L2");
    if (!in_.get_bool("by_residual")) corrupt("an IndexIVFPQR is not of residuals");
    const auto size = in_.get<uint64_t>();
    auto pq = read_product(in_, h_.d, h_.is_trained);
    const size_t first = pq->code_size();
    check_code_size(first, size);
    std::vector<List> lists(head_.nlist);
    read_lists(in_, lists.size(), first, h_.n,
               [&](size_t l, const std::vector<std::byte>& codes, const std::vector<id_t>& ids) {
                 lists[l] = {codes, ids};
               });
    auto refine_pq = read_product(in_, h_.d, h_.is_trained);
    const size_t second = refine_pq->code_size();
    const auto rest = in_.get_vector<std::byte>("the refining codes");
    const auto k_factor = in_.get<float>();
    if (rest.size() != h_.n * second)
      corrupt(text(rest.size(), " bytes of refining codes, but ", h_.n, " vectors of ", second,
                   " bytes are claimed"));
    if (!(k_factor >= 1 && k_factor <= IndexIVFPQR::kMostFactor))
      corrupt(text("k_factor = ", k_factor, " is not between 1 and ", IndexIVFPQR::kMostFactor));
    const auto index = std::make_shared<IndexIVFPQR>(head_.quantizer, head_.nlist, std::move(pq),
                                                     std::move(refine_pq));
    index->set_k_factor(k_factor);
    auto next = static_cast<id_t>(h_.n);
    for (size_t l = 0; l < lists.size(); ++l) {
      std::vector<std::byte> whole(lists[l].ids.size() * (first + second));
      std::byte* out = whole.data();
      for (size_t i = 0; i < lists[l].ids.size(); ++i) {
        const auto id = static_cast<size_t>(lists[l].ids[i]);
        if (id >= h_.n) corrupt(text("there is no refining code of id ", lists[l].ids[i]));
        out = std::copy_n(lists[l].codes.data() + i * first, first, out);
        out = std::copy_n(rest.data() + id * second, second, out);
      }
      restore_list(*index, l, whole, lists[l].ids, next);
    }
    return done(index, next);
  }

  std::shared_ptr<Index> product_blocks() {
    const bool by_residual = in_.get_bool("by_residual");
    const auto size = in_.get<uint64_t>();
    const auto bbs = in_.get<int32_t>();
    const auto parts = in_.get<uint64_t>();
    const auto implem = in_.get<int32_t>();
    const auto qbs = in_.get<uint64_t>();
    const auto index = std::make_shared<IndexIVFPQFastScan>(head_.quantizer, head_.nlist,
                                                            read_product(in_, h_.d, h_.is_trained),
                                                            h_.metric, bbs, by_residual);
    check_code_size(*index, size);
    check_parts(parts, size);
    index->implem = implem;
    index->qbs2 = qbs;
    return of_blocks(index);
  }

  std::shared_ptr<Index> rabitq(bool one_bit) {
    const RaBitQ of_codes = read_rabitq(in_, h_.d, h_.metric, one_bit);
    const auto size = in_.get<uint64_t>();
    const auto index =
        std::make_shared<IndexIVFRaBitQ>(head_.quantizer, head_.nlist, of_codes.codec);
    check_code_size(*index, of_codes.code_size);
    check_code_size(*index, size);
    in_.get_bool("by_residual");  // codes are of residuals whatever it says
    take_query_bits(*index, 0);
    return learnt(index, [&] { return of_lists(index); });
  }

  std::shared_ptr<Index> rabitq_blocks() {
    const RaBitQ of_codes = read_rabitq(in_, h_.d, h_.metric, false);
    in_.get_bool("by_residual");  // as above
    const auto size = in_.get<uint64_t>();
    const auto bbs = in_.get<int32_t>();
    const auto qbs = in_.get<uint64_t>(), parts = in_.get<uint64_t>();
    const auto implem = in_.get<int32_t>();
    const auto index =
        std::make_shared<IndexIVFRaBitQFastScan>(head_.quantizer, head_.nlist, of_codes.codec, bbs);
    check_code_size(*index, of_codes.code_size);
    check_code_size(*index, size);
    check_parts(parts, (h_.d + 7) / 8);
    index->qbs2 = qbs;
    index->implem = implem;
    take_query_bits(*index, 1);
    index->centered = in_.get_bool("centered");
    return learnt(index, [&] { return of_blocks(index); });
  }

 private:
  static void check_parts(uint64_t parts, size_t scanned) {
    if (parts != 2 * scanned) corrupt(text(parts, " half bytes where ", 2 * scanned, " are right"));
  }

  void take_query_bits(IndexIVFRaBitQ& index, int least) {
    const int qb = in_.get<uint8_t>();
    if (qb < least || qb > IndexRaBitQ::kMostQueryBits)
      corrupt(text("qb = ", qb, " is not between ", least, " and 8"));
    index.qb = qb;
  }

  template <class Read>
  std::shared_ptr<Index> learnt(const std::shared_ptr<IndexIVFRaBitQ>& index, const Read& read) {
    auto out = read();
    if (h_.is_trained) index->learn_from_codes();
    return out;
  }

  std::shared_ptr<Index> of_lists(const std::shared_ptr<IndexIVF>& index) {
    auto next = static_cast<id_t>(h_.n);
    read_lists(in_, index->nlist(), index->ivf().form->faiss_size(), h_.n,
               [&](size_t l, const std::vector<std::byte>& codes, const std::vector<id_t>& ids) {
                 restore_list(*index, l, codes, ids, next);
               });
    return done(index, next);
  }
  template <class FastScan>
  std::shared_ptr<Index> of_blocks(const std::shared_ptr<FastScan>& index) {
    return done(index, read_block_lists(in_, *index, h_.n, index->bbs));
  }
  std::shared_ptr<Index> done(const std::shared_ptr<IndexIVF>& index, id_t next) {
    index->nprobe = head_.nprobe;
    index->restore(h_.is_trained, next);
    index->restored();
    return index;
  }

  Input& in_;
  const IvfHeader h_;
  const Lists head_;
};

}  // namespace

bool is_ivf(uint32_t name) {
  constexpr std::string_view kNames[] = {"IwFl", "IwSq", "IwPQ", "IwQR", "IwPf",
                                         "Iwrq", "Iwrr", "Iwrn", "IBwF"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view known) { return name == fourcc(known); });
}

std::shared_ptr<Index> read_ivf(Input& in, uint32_t name, const IvfHeader& h,
                                const std::function<std::shared_ptr<Index>()>& nested) {
  if (h.n && !h.is_trained) corrupt("an index that is not trained holds vectors");
  Reading reading(in, h, read_head(in, h, nested));
  if (name == fourcc("IwFl")) return reading.flat();
  if (name == fourcc("IwSq")) return reading.scalar();
  if (name == fourcc("IwPQ")) return reading.product();
  if (name == fourcc("IwQR")) return reading.refined();
  if (name == fourcc("IwPf")) return reading.product_blocks();
  if (name == fourcc("IBwF")) return reading.binary();
  if (name == fourcc("Iwrn")) return reading.rabitq_blocks();
  return reading.rabitq(name == fourcc("Iwrq"));
}

std::optional<std::vector<id_t>> row_ids(const IndexIVFPQR& index) {
  std::vector<id_t> ids = all_ids(index.ivf());
  std::sort(ids.begin(), ids.end());
  const auto n = static_cast<id_t>(ids.size());
  if (ids.empty() || (ids.front() == 0 && ids.back() == n - 1 &&
                      std::adjacent_find(ids.begin(), ids.end()) == ids.end()))
    return std::nullopt;
  return ids;
}

std::string_view fourcc_of(const IndexIVF& index) {
  if (index.soar_lambda() > 0)
    throw UnsupportedError("faiss's files have no place for vectors in two lists; use save");
  if (const auto* flat = dynamic_cast<const IndexIVFFlat*>(&index))
    return flat->dtype == DType::f32 ? "IwFl" : "IwSq";
  if (dynamic_cast<const IndexBinaryIVF*>(&index)) return "IBwF";
  if (dynamic_cast<const IndexIVFScalarQuantizer*>(&index)) return "IwSq";
  if (dynamic_cast<const IndexIVFPQR*>(&index)) return "IwQR";
  if (dynamic_cast<const IndexIVFPQ*>(&index)) return "IwPQ";
  if (dynamic_cast<const IndexIVFPQFastScan*>(&index)) return "IwPf";
  if (dynamic_cast<const IndexIVFRaBitQFastScan*>(&index)) return "Iwrn";
  if (const auto* rabitq = dynamic_cast<const IndexIVFRaBitQ*>(&index))
    return rabitq->rabitq->bits == 1 ? "Iwrq" : "Iwrr";
  throw UnsupportedError(text(index.class_name(), " has no form in faiss's files; use save"));
}

void write_ivf(const IndexIVF& index, Output& out,
               const std::function<void(const Index&)>& nested) {
  out.put(uint64_t{index.nlist()});
  out.put(uint64_t{index.nprobe});
  nested(*index.quantizer);
  out.put(uint8_t{0});  // no direct map
  out.array<int64_t>(nullptr, 0);
  if (dynamic_cast<const IndexBinaryIVF*>(&index)) return write_lists(index, out);
  const auto by_residual = static_cast<uint8_t>(index.by_residual());
  const uint64_t size = index.ivf().form->faiss_size();
  const auto scalar = [&](const ScalarQuantizer& sq) {
    write(sq, out);
    out.put(size);
    out.put(by_residual);
    write_lists(index, out);
  };
  if (const auto* flat = dynamic_cast<const IndexIVFFlat*>(&index)) {
    if (flat->dtype == DType::f32) return write_lists(index, out);
    return scalar({index.d, quantizer_for(flat->dtype)});
  }
  if (const auto* own = dynamic_cast<const IndexIVFScalarQuantizer*>(&index))
    return scalar(*own->sq);
  if (const auto* rabitq = dynamic_cast<const IndexIVFRaBitQ*>(&index)) {
    const auto* fast = dynamic_cast<const IndexIVFRaBitQFastScan*>(&index);
    write(*rabitq->rabitq, out, !fast && rabitq->rabitq->bits == 1);
    const auto qb = static_cast<uint8_t>(rabitq->qb);
    if (!fast) {
      out.put(size);
      out.put(by_residual);
      out.put(qb);
      return write_lists(index, out);
    }
    out.put(by_residual);
    out.put(size);
    out.put(int32_t{fast->bbs});
    out.put(uint64_t{fast->qbs2});
    out.put(uint64_t{(index.d + 7) / 8 * 2});
    out.put(int32_t{fast->implem});
    out.put(qb);
    out.put(static_cast<uint8_t>(fast->centered));
    return write_block_lists(index, out, fast->bbs);
  }
  out.put(by_residual);
  if (const auto* refined = dynamic_cast<const IndexIVFPQR*>(&index)) {
    out.put(uint64_t{refined->pq->code_size()});
    write(*refined->pq, out);
    return write_refined(*refined, out);
  }
  out.put(size);
  if (const auto* product = dynamic_cast<const IndexIVFPQ*>(&index)) {
    write(*product->pq, out);
    return write_lists(index, out);
  }
  const auto& fast = dynamic_cast<const IndexIVFPQFastScan&>(index);
  out.put(int32_t{fast.bbs});
  out.put(uint64_t{2 * size});
  out.put(int32_t{fast.implem});
  out.put(uint64_t{fast.qbs2});
  write(*fast.pq, out);
  write_block_lists(index, out, fast.bbs);
}

}  // namespace shortlist::faiss_format
