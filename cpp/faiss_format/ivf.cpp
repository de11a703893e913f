#include "faiss_format/ivf.h"

#include <algorithm>

#include "base/error.h"
#include "faiss_format/codecs.h"
#include "faiss_format/faiss_format.h"
#include "faiss_format/fast_scan.h"
#include "index/flat.h"

namespace shortlist::faiss_format {
namespace {

constexpr uint64_t kNoCodeSize = ~uint64_t{0};  // codes of blocks lie across them

struct Lists {
  size_t nlist, nprobe;
  std::shared_ptr<Index> quantizer;
};

Lists read_head(Input& in, const IvfHeader& h,
                const std::function<std::shared_ptr<Index>()>& nested) {
  const auto nlist = in.get<uint64_t>(), nprobe = in.get<uint64_t>();
  if (nlist < 1 || nlist >= kNoSlot / lists::kSlotStep || nprobe < 1)
    corrupt(text(nlist, " lists, of which ", nprobe, " are searched, cannot be"));
  Lists out{static_cast<size_t>(nlist), static_cast<size_t>(nprobe), nested()};
  if (out.quantizer->d != h.d || (h.is_trained && out.quantizer->ntotal() != nlist))
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

size_t checked_size(Input& in, const IndexIVF& index, const char* what) {
  const auto size = in.get<uint64_t>();
  if (size != index.code_size())
    corrupt(text(what, " of ", size, " bytes where ", index.code_size(), " are right"));
  return static_cast<size_t>(size);
}

void restore_ids(IndexIVF& index, size_t list, const std::vector<std::byte>& codes,
                 const std::vector<id_t>& ids, id_t& next) {
  for (const id_t id : ids) {
    if (id == kNoId) corrupt("a vector has the id -1");
    next = std::max(next, id < std::numeric_limits<id_t>::max() ? id + 1 : id);
  }
  index.restore_list(list, codes.data(), ids.data(), ids.size());
}

// Lists of codes back to back; `sq` tells how faiss's bytes differ from ours.
id_t read_lists(Input& in, IndexIVF& index, size_t n, const ScalarQuantizer* sq) {
  if (in.get<uint32_t>() != fourcc("ilar"))
    throw UnsupportedError(
        "its inverted lists are in no file form we know, as of lists on disk; read it with faiss");
  const auto nlist = in.get<uint64_t>();
  const size_t size = checked_size(in, index, "codes");
  const auto kind = in.get<uint32_t>();
  const auto told = in.get_vector<uint64_t>("the sizes of the lists");
  std::vector<uint64_t> sizes;
  if (kind == fourcc("full")) {
    sizes = told;
  } else if (kind == fourcc("sprs") && told.size() % 2 == 0) {
    sizes.resize(index.nlist());
    for (size_t i = 0; i < told.size(); i += 2) {
      if (told[i] >= index.nlist()) corrupt(text("it has vectors in list ", told[i]));
      sizes[told[i]] = told[i + 1];
    }
  } else {
    corrupt(text("the lists are of the kind '", letters(kind), "'"));
  }
  size_t sum = 0;
  for (const uint64_t of_list : sizes) {
    if (of_list > n - sum) corrupt("its lists hold more vectors than it has");
    sum += of_list;
  }
  if (nlist != index.nlist() || sizes.size() != index.nlist() || sum != n)
    corrupt(text(sum, " vectors in ", sizes.size(), " lists, but ", n, " in ", index.nlist(),
                 " are claimed"));
  id_t next = static_cast<id_t>(n);
  for (size_t l = 0; l < sizes.size(); ++l) {
    if (!sizes[l]) continue;
    auto codes = io::read_vector<std::byte>(in.source(), sizes[l] * size);
    if (sq) sq->swap_faiss_form(codes.data(), sizes[l]);
    restore_ids(index, l, codes, io::read_vector<id_t>(in.source(), sizes[l]), next);
  }
  return next;
}

// Lists of blocks for fast scans.
id_t read_block_lists(Input& in, IndexIVFPQFastScan& index, size_t n) {
  if (in.get<uint32_t>() != fourcc("ilbl")) corrupt("its inverted lists are not of blocks");
  const auto nlist = in.get<uint64_t>();
  if (in.get<uint64_t>() != kNoCodeSize) corrupt("its blocks are of codes apart");
  const size_t size = index.code_size();
  const auto width = in.get<uint64_t>(), block_bytes = in.get<uint64_t>();
  const FastScanBlocks layout(8 * size, size, static_cast<size_t>(index.bbs));
  if (nlist != index.nlist() || width != static_cast<uint64_t>(index.bbs) ||
      block_bytes != layout.size())
    corrupt(text(nlist, " lists of blocks of ", width, " vectors and ", block_bytes,
                 " bytes do not fit it"));
  id_t next = static_cast<id_t>(n);
  size_t sum = 0;
  for (size_t l = 0; l < index.nlist(); ++l) {
    const auto ids = in.get_vector<id_t>("the ids of a list");
    const auto blocks = in.get_vector<uint8_t>("the blocks of a list");
    sum += ids.size();
    if (sum > n || blocks.size() != (ids.size() + width - 1) / width * layout.size())
      corrupt(text("list ", l, " has ", blocks.size(), " bytes for ", ids.size(), " vectors"));
    std::vector<std::byte> codes(ids.size() * size);
    for (size_t at = 0; at < ids.size(); at += width)
      layout.unpack(blocks.data() + at / width * layout.size(),
                    std::min<size_t>(width, ids.size() - at), codes.data() + at * size);
    restore_ids(index, l, codes, ids, next);
  }
  if (sum != n) corrupt(text("its lists hold ", sum, " vectors, but it claims ", n));
  return next;
}

void write_lists(const IndexIVF& index, Output& out, const ScalarQuantizer* sq) {
  const Ivf& ivf = index.ivf();
  std::vector<uint64_t> sizes(ivf.nlist), pairs;
  for (size_t l = 0; l < ivf.nlist; ++l) {
    sizes[l] = ivf.list_size(l);
    if (sizes[l]) pairs.insert(pairs.end(), {l, sizes[l]});
  }
  const bool full = pairs.size() / 2 > ivf.nlist / 2;
  out.put(fourcc("ilar"));
  out.put(uint64_t{ivf.nlist});
  out.put(uint64_t{index.code_size()});
  out.put(full ? fourcc("full") : fourcc("sprs"));
  const auto& told = full ? sizes : pairs;
  out.array(told.data(), told.size());
  for (size_t l = 0; l < ivf.nlist; ++l) {
    auto codes = ivf.codes(l);
    if (sq) sq->swap_faiss_form(codes.data(), sizes[l]);
    out.sink().write(codes.data(), codes.size());
    out.sink().write(ivf.ids(l).data(), ivf.ids(l).size_bytes());
  }
}

void write_block_lists(const IndexIVFPQFastScan& index, Output& out) {
  const Ivf& ivf = index.ivf();
  const size_t size = index.code_size(), width = static_cast<size_t>(index.bbs);
  const FastScanBlocks layout(8 * size, size, width);
  out.put(fourcc("ilbl"));
  out.put(uint64_t{ivf.nlist});
  out.put(kNoCodeSize);
  out.put(uint64_t{width});
  out.put(uint64_t{layout.size()});
  for (size_t l = 0; l < ivf.nlist; ++l) {
    const auto ids = ivf.ids(l);
    const auto codes = ivf.codes(l);
    std::vector<uint8_t> blocks((ids.size() + width - 1) / width * layout.size());
    for (size_t at = 0; at < ids.size(); at += width)
      layout.pack(codes.data() + at * size, std::min(width, ids.size() - at),
                  blocks.data() + at / width * layout.size());
    out.array(ids.data(), ids.size());
    out.array(blocks.data(), blocks.size());
  }
}

const ScalarQuantizer* scalar_of(const IndexIVF& index) {
  if (const auto* own = dynamic_cast<const IndexIVFScalarQuantizer*>(&index)) return own->sq.get();
  return nullptr;
}

}  // namespace

bool is_ivf(uint32_t name) {
  return name == fourcc("IwFl") || name == fourcc("IwSq") || name == fourcc("IwPQ") ||
         name == fourcc("IwPf");
}

std::shared_ptr<Index> read_ivf(Input& in, uint32_t name, const IvfHeader& h,
                                const std::function<std::shared_ptr<Index>()>& nested) {
  if (h.n && !h.is_trained) corrupt("an index that is not trained holds vectors");
  Lists head = read_head(in, h, nested);
  const auto done = [&](auto index, id_t next) -> std::shared_ptr<Index> {
    index->nprobe = head.nprobe;
    index->restore(h.is_trained, next);
    index->restored();
    return index;
  };
  if (name == fourcc("IwFl")) {
    auto index = std::make_shared<IndexIVFFlat>(head.quantizer, h.d, head.nlist, h.metric);
    const id_t next = read_lists(in, *index, h.n, nullptr);
    return done(index, next);
  }
  if (name == fourcc("IwSq")) {
    auto sq = read_scalar(in, h.d, h.is_trained);
    const auto size = in.get<uint64_t>();
    auto index = std::make_shared<IndexIVFScalarQuantizer>(head.quantizer, head.nlist, sq, h.metric,
                                                           in.get_bool("by_residual"));
    if (size != index->code_size()) corrupt(text("its codes have ", size, " bytes"));
    const id_t next = read_lists(in, *index, h.n, sq.get());
    return done(index, next);
  }
  const bool by_residual = in.get_bool("by_residual");
  const auto size = in.get<uint64_t>();
  if (name == fourcc("IwPQ")) {
    auto index = std::make_shared<IndexIVFPQ>(
        head.quantizer, head.nlist, read_product(in, h.d, h.is_trained), h.metric, by_residual);
    if (size != index->code_size()) corrupt(text("its codes have ", size, " bytes"));
    const id_t next = read_lists(in, *index, h.n, nullptr);
    return done(index, next);
  }
  const auto bbs = in.get<int32_t>();
  const auto parts = in.get<uint64_t>();
  const auto implem = in.get<int32_t>();
  const auto qbs = in.get<uint64_t>();
  auto index = std::make_shared<IndexIVFPQFastScan>(
      head.quantizer, head.nlist, read_product(in, h.d, h.is_trained), h.metric, bbs, by_residual);
  index->implem = implem;
  index->qbs2 = qbs;
  if (size != index->code_size() || parts != 2 * index->code_size())
    corrupt(text("its codes have ", size, " bytes and ", parts, " half bytes"));
  const id_t next = read_block_lists(in, *index, h.n);
  return done(index, next);
}

std::string_view fourcc_of(const IndexIVF& index) {
  if (const auto* flat = dynamic_cast<const IndexIVFFlat*>(&index))
    return flat->dtype == DType::f32 ? "IwFl" : "IwSq";
  if (dynamic_cast<const IndexIVFScalarQuantizer*>(&index)) return "IwSq";
  if (dynamic_cast<const IndexIVFPQ*>(&index)) return "IwPQ";
  if (dynamic_cast<const IndexIVFPQFastScan*>(&index)) return "IwPf";
  throw UnsupportedError(text(index.class_name(), " has no form in faiss's files; use save"));
}

void write_ivf(const IndexIVF& index, Output& out,
               const std::function<void(const Index&)>& nested) {
  out.put(uint64_t{index.nlist()});
  out.put(uint64_t{index.nprobe});
  nested(*index.quantizer);
  out.put(uint8_t{0});  // no direct map
  out.array<int64_t>(nullptr, 0);
  const auto by_residual = static_cast<uint8_t>(index.by_residual());
  if (const auto* flat = dynamic_cast<const IndexIVFFlat*>(&index)) {
    if (flat->dtype == DType::f32) return write_lists(index, out, nullptr);
    const ScalarQuantizer sq(index.d, quantizer_for(flat->dtype));
    write(sq, out);
    out.put(uint64_t{index.code_size()});
    out.put(by_residual);
    return write_lists(index, out, &sq);
  }
  if (const ScalarQuantizer* sq = scalar_of(index)) {
    write(*sq, out);
    out.put(uint64_t{index.code_size()});
    out.put(by_residual);
    return write_lists(index, out, sq);
  }
  out.put(by_residual);
  out.put(uint64_t{index.code_size()});
  if (const auto* product = dynamic_cast<const IndexIVFPQ*>(&index)) {
    write(*product->pq, out);
    return write_lists(index, out, nullptr);
  }
  const auto& fast = dynamic_cast<const IndexIVFPQFastScan&>(index);
  out.put(int32_t{fast.bbs});
  out.put(uint64_t{2 * index.code_size()});
  out.put(int32_t{fast.implem});
  out.put(uint64_t{fast.qbs2});
  write(*fast.pq, out);
  write_block_lists(fast, out);
}

}  // namespace shortlist::faiss_format
