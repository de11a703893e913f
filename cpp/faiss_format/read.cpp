#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "faiss_format/codecs.h"
#include "faiss_format/faiss_format.h"
#include "faiss_format/fast_scan.h"
#include "faiss_format/ivf.h"
#include "faiss_format/transform.h"
#include "index/binary.h"
#include "index/hnsw.h"
#include "index/multi_index.h"
#include "index/pretransform.h"
#include "index/product.h"
#include "index/rabitq.h"
#include "index/wrap.h"
#include "io/container.h"
#include "io/foreign.h"

namespace shortlist {
namespace {

using faiss_format::corrupt;
using faiss_format::fourcc;
using faiss_format::letters;

constexpr int kMaxDepth = 8;
constexpr int kMostTransforms = 1000;

struct Header {
  size_t d, n;
  bool is_trained;
  Metric metric;
};

// A graph as faiss stores it.
struct StoredGraph {
  std::vector<int32_t> links_below;  // cum_nneighbor_per_level
  std::vector<int32_t> levels;       // top level + 1
  std::vector<uint64_t> offsets;
  Array<int32_t> links;
  int32_t entry = -1, max_level = -1, ef_construction = 0, ef_search = 0;

  size_t begin(size_t node, int level) const {
    return offsets[node] + static_cast<size_t>(links_below[static_cast<size_t>(level)]);
  }
};

class Reader : faiss_format::Input {
 public:
  Reader(io::Source& in, bool binary) : Input(in), binary_(binary) {}

  std::shared_ptr<Index> read(int depth = 0) {
    if (depth > kMaxDepth) corrupt("indexes are nested too deeply");
    if (depth == 0 && in_.remaining() < sizeof(uint32_t)) refuse_foreign({});
    const auto h = get<uint32_t>();
    check_kind(h, depth);
    if (h == fourcc("IBxF")) return read_bits();
    if (h == fourcc("IBHf")) return read_graph<IndexBinaryHNSW>(depth);
    if (h == fourcc("IBMp")) return read_id_map<IndexBinaryIDMap>(depth);
    if (h == fourcc("IBM2")) return read_id_map<IndexBinaryIDMap2>(depth);
    if (h == fourcc("IxF2") || h == fourcc("IxFI") || h == fourcc("IxFl")) return read_flat(h);
    if (h == fourcc("IxSQ")) return read_quantizer();
    if (h == fourcc("IxHe")) return read_lsh();
    if (h == fourcc("IxPq")) return read_product();
    if (h == fourcc("IPfs")) return read_product_blocks();
    if (h == fourcc("Ixrq") || h == fourcc("Ixrr")) return read_rabitq(h);
    if (h == fourcc("Irfn") || h == fourcc("Irfs")) return read_fast_scan(h);
    if (h == fourcc("IHNf")) return read_graph<IndexHNSWFlat>(depth);
    if (h == fourcc("IHNs")) return read_graph<IndexHNSWSQ>(depth);
    if (h == fourcc("IHNp")) return read_graph<IndexHNSWPQ>(depth);
    if (h == fourcc("IH00")) return read_graph<IndexHNSW>(depth);
    if (faiss_format::is_ivf(h)) {
      const Header head = get_header();
      return faiss_format::read_ivf(*this, h, {head.d, head.n, head.is_trained, head.metric},
                                    [&] { return read(depth + 1); });
    }
    if (h == fourcc("Imiq")) return read_cells();
    if (h == fourcc("IxMp")) return read_id_map<IndexIDMap>(depth);
    if (h == fourcc("IxM2")) return read_id_map<IndexIDMap2>(depth);
    if (h == fourcc("IxRF")) return read_refine(depth);
    if (h == fourcc("IxPT")) return read_pre_transform(depth);
    if (h == fourcc("null"))
      throw UnsupportedError(
          "the file was written without the vectors of its graph "
          "(IO_FLAG_SKIP_STORAGE); write it again with them");
    if (const auto name = faiss_format::class_of(h); !name.empty())
      throw UnsupportedError(text("it holds a faiss ", name, " ('", letters(h),
                                  "'), which is not "
                                  "supported yet; read it with faiss"));
    if (depth > 0) corrupt(text("no index begins with '", printable(letters(h)), "'"));
    refuse_foreign(letters(h));
  }

 private:
  static std::string printable(std::string s) {
    std::replace_if(s.begin(), s.end(), [](unsigned char c) { return !std::isprint(c); }, '?');
    return s;
  }

  [[noreturn]] void refuse_foreign(std::string head) {
    const size_t left = in_.remaining();
    if (left != SIZE_MAX) {
      const size_t more = std::min<size_t>(left, 60), before = head.size();
      head.resize(before + more);
      in_.read(head.data() + before, more);
    }
    if (head.starts_with(io::kContainerMagic.substr(0, 4)))
      throw CorruptIndexError(
          "this is a file of shortlist's own format: open it with shortlist.open");
    const std::string what = io::describe_foreign(std::as_bytes(std::span(head)));
    if (!what.empty()) throw CorruptIndexError(text("this is no faiss file but ", what));
    throw CorruptIndexError(text("this is no faiss file: it begins with '",
                                 printable(head.substr(0, 4)),
                                 "', which names no index; read_index takes files of write_index"));
  }

  // Binary indexes hold such only, and others none.
  void check_kind(uint32_t name, int depth) const {
    const bool binary = letters(name).starts_with("IB");
    if (binary == binary_) return;
    if (depth > 0) corrupt("binary indexes and others are nested");
    if (binary) throw UnsupportedError("it holds a binary index; read it with read_index_binary");
    if (letters(name).starts_with("I"))
      throw UnsupportedError("it holds no binary index; read it with read_index");
  }

  // Of a binary index d is that of its bytes.
  Header get_header(int64_t most = kNoSlot) {
    const auto d = get<int32_t>();
    const auto code_size = binary_ ? get<int32_t>() : 0;
    const auto n = get<int64_t>();
    if (!binary_) {  // two fields faiss no longer uses
      get<int64_t>();
      get<int64_t>();
    }
    const bool is_trained = get_bool("is_trained");
    const auto metric = get<int32_t>();
    if (d < 1 || static_cast<size_t>(d) > kMaxDimension)
      corrupt(text("d = ", d, " is not between 1 and 2^20"));
    if (n < 0 || n > most) corrupt(text("ntotal = ", n, " is not between 0 and ", most));
    if ((metric > 1 && metric <= 4) || (metric >= 20 && metric <= 25))
      throw UnsupportedError(text("the index has faiss's metric ", metric,
                                  "; only L2 (1) and inner "
                                  "product (0) are supported"));
    if (metric < 0 || metric > 1) corrupt(text("metric ", metric, " does not exist"));
    if (binary_ && (d % 8 || d / 8 != code_size || metric != static_cast<int>(Metric::l2)))
      corrupt(text(d, " bits in ", code_size, " bytes with metric ", metric, " cannot be"));
    return {static_cast<size_t>(binary_ ? code_size : d), static_cast<size_t>(n), is_trained,
            static_cast<Metric>(metric)};
  }

  void read_codes(IndexFlatCodes& index, size_t count, size_t unit, const Header& h) {
    const size_t size = index.codec().code_size();
    if (count * unit != h.n * size)
      corrupt(text(count * unit, " bytes of codes, but ", h.n, " vectors of ", size,
                   " bytes are claimed"));
    io::read_growing(in_, h.n, size, [&](size_t n) { return index.mutable_codes().grow(n); });
    if (h.n) index.codec().swap_faiss_form(index.mutable_codes().row(0), h.n);
  }

  std::shared_ptr<Index> read_flat(uint32_t name) {
    const Header h = get_header();
    const bool is_l2 = h.metric == Metric::l2;
    if (name != (is_l2 ? fourcc("IxF2") : fourcc("IxFI")))
      corrupt(text("'", letters(name), "' has the metric ", name_of(h.metric)));
    std::shared_ptr<IndexFlat> index;
    if (is_l2)
      index = std::make_shared<IndexFlatL2>(h.d);
    else
      index = std::make_shared<IndexFlatIP>(h.d);
    read_codes(*index, get_count(sizeof(float), "the vectors"), sizeof(float), h);
    return index;
  }

  std::shared_ptr<Index> read_bits() {
    const Header h = get_header();
    auto index = std::make_shared<IndexBinaryFlat>(8 * h.d);
    read_codes(*index, get_count(1, "the vectors"), 1, h);
    return index;
  }

  std::shared_ptr<Index> read_quantizer() {
    const Header h = get_header();
    auto sq = faiss_format::read_scalar(*this, h.d, h.is_trained || h.n > 0);
    auto index = std::make_shared<IndexScalarQuantizer>(std::move(sq), h.metric);
    read_codes(*index, get_count(1, "the codes"), 1, h);
    return index;
  }

  std::shared_ptr<Index> read_lsh() {
    const Header h = get_header();
    const auto nbits = get<int32_t>();
    const bool rotates = get_bool("rotate_data"), trains = get_bool("train_thresholds");
    if (h.metric != Metric::l2) corrupt(text("an IndexLSH has the metric ", name_of(h.metric)));
    if (nbits < 1) corrupt(text("nbits = ", nbits, " is not positive"));
    auto lsh = std::make_shared<LshCodec>(h.d, static_cast<size_t>(nbits), rotates, trains);
    lsh->thresholds = get_vector<float>("the thresholds");
    const auto code_size = get<int32_t>();
    const auto rotation =
        std::dynamic_pointer_cast<RandomRotationMatrix>(faiss_format::read_transform(*this));
    if (!rotation) corrupt("the random rotation is missing");
    lsh->rotation = std::move(rotation->A);
    lsh->bias = std::move(rotation->b);
    if (static_cast<size_t>(code_size) != lsh->code_size() || rotation->d_in != h.d ||
        rotation->d_out != lsh->nbits || rotation->have_bias == lsh->bias.empty() ||
        rotation->is_trained() != rotates || h.is_trained != lsh->is_trained() ||
        (h.n && !h.is_trained) || !lsh->sizes_fit())
      corrupt(text("codes of ", code_size, " bytes, a rotation of ", rotation->d_in, " to ",
                   rotation->d_out, " values and ", lsh->thresholds.size(),
                   " thresholds do not fit d = ", h.d, " and ", nbits, " bits"));
    auto index = std::make_shared<IndexLSH>(std::move(lsh));
    read_codes(*index, get_count(1, "the codes"), 1, h);
    return index;
  }

  std::shared_ptr<Index> read_product() {
    constexpr int kPolysemous = 4;  // the same distances, of fewer vectors
    const Header h = get_header();
    if (h.n && !h.is_trained) corrupt("an index that is not trained holds vectors");
    auto index =
        std::make_shared<IndexPQ>(faiss_format::read_product(*this, h.d, h.is_trained), h.metric);
    read_codes(*index, get_count(1, "the codes"), 1, h);
    index->search_type = get<int32_t>();
    index->encode_signs = get_bool("encode_signs");
    index->polysemous_ht = get<int32_t>();
    if (index->search_type != 0 && index->search_type != kPolysemous)
      throw UnsupportedError(text("the IndexPQ has search_type = ", index->search_type,
                                  "; set it to ST_PQ in faiss and write it again"));
    return index;
  }

  std::shared_ptr<Index> read_cells() {
    const Header h = get_header(std::numeric_limits<int64_t>::max());
    if (h.metric != Metric::l2) corrupt("a MultiIndexQuantizer is not of L2");
    auto index =
        std::make_shared<MultiIndexQuantizer>(faiss_format::read_product(*this, h.d, h.is_trained));
    if (index->ntotal() != h.n)
      corrupt(text("it claims ", h.n, " cells, of which there are ", index->ntotal()));
    return index;
  }

  // Calls take(codes, first, how many) for each block of n codes.
  template <class Take>
  void read_blocks(const faiss_format::FastScanBlocks& layout, size_t n, size_t width, size_t size,
                   const Take& take) {
    std::vector<std::byte> codes;
    for (size_t at = 0; at < n; at += width) {
      const auto block = io::read_vector<uint8_t>(in_, layout.size());
      const size_t m = std::min(width, n - at);
      codes.resize(m * size);
      layout.unpack(block.data(), m, codes.data());
      take(codes.data(), at, m);
    }
  }

  std::shared_ptr<Index> read_product_blocks() {
    const Header h = get_header();
    if (h.n && !h.is_trained) corrupt("an index that is not trained holds vectors");
    auto pq = faiss_format::read_product(*this, h.d, h.is_trained);
    const auto implem = get<int32_t>(), bbs = get<int32_t>(), qbs = get<int32_t>();
    const auto padded = get<uint64_t>(), parts = get<uint64_t>();
    auto index = std::make_shared<IndexPQFastScan>(pq, h.metric, bbs);
    index->implem = implem;
    index->qbs = qbs;
    const size_t width = static_cast<size_t>(bbs), size = pq->code_size();
    const size_t blocks = (h.n + width - 1) / width;
    const faiss_format::FastScanBlocks layout(8 * size, size, width);
    if ((h.n && padded != blocks * width) || parts != 2 * size ||
        get_count(1, "the codes") != blocks * layout.size())
      corrupt(
          text("its blocks do not hold ", h.n, " codes of ", size, " bytes, ", width, " in each"));
    read_blocks(layout, h.n, width, size,
                [&](const std::byte* codes, size_t, size_t m) { index->restore_codes(codes, m); });
    return index;
  }

  struct RaBitQHeader : faiss_format::RaBitQ {
    Header of_index;
  };

  RaBitQHeader get_rabitq_header(bool one_bit) {
    const Header h = get_header();
    auto of_codes = faiss_format::read_rabitq(*this, h.d, h.metric, one_bit);
    if (h.n && !h.is_trained) corrupt("it has vectors but is not trained");
    return {std::move(of_codes), h};
  }

  // What both classes check once they are made; their codes follow, or came before.
  static void restore(IndexRaBitQ& index, const RaBitQHeader& h, std::vector<float> center,
                      int qb) {
    if (h.code_size != index.sa_code_size())
      corrupt(text("codes of ", h.code_size, " bytes where ", index.sa_code_size(), " are right"));
    if (qb > IndexRaBitQ::kMostQueryBits) corrupt(text("qb = ", qb, " is more than 8"));
    index.qb = qb;
    if (h.of_index.is_trained) index.rabitq->set_centres(center, center);
  }

  static void append(IndexRaBitQ& index, const std::byte* codes, size_t n) {
    faiss_format::check_factors(*index.rabitq, codes, n);
    index.append_faiss_codes(codes, n);
  }

  std::shared_ptr<Index> read_rabitq(uint32_t name) {
    const RaBitQHeader h = get_rabitq_header(name == fourcc("Ixrq"));
    auto index = std::make_shared<IndexRaBitQ>(h.codec);
    const auto codes = get_vector<std::byte>("the codes");
    auto center = get_vector<float>("the center");
    restore(*index, h, std::move(center), get<uint8_t>());
    if (codes.size() != h.of_index.n * h.code_size)
      corrupt(text(codes.size(), " bytes of codes, but ", h.of_index.n, " vectors of ", h.code_size,
                   " bytes are claimed"));
    append(*index, codes.data(), h.of_index.n);
    index->learn_from_codes();
    return index;
  }

  std::shared_ptr<Index> read_fast_scan(uint32_t name) {
    const RaBitQHeader h = get_rabitq_header(false);
    auto center = get_vector<float>("the center");
    const auto qb = get<uint8_t>();
    // Up to faiss 1.13 blocks held the signs alone.
    const bool apart = name == fourcc("Irfs");
    std::vector<std::byte> rests;
    if (apart) rests = get_vector<std::byte>("the factors");
    const auto bbs = get<int32_t>();
    const auto padded = get<uint64_t>(), nibbles = get<uint64_t>(), code_size = get<uint64_t>();
    auto index = std::make_shared<IndexRaBitQFastScan>(h.codec, bbs);
    if (qb == 0) corrupt("qb is 0");
    restore(*index, h, std::move(center), qb);
    const size_t n = h.of_index.n, width = static_cast<size_t>(bbs), size = h.code_size;
    const size_t blocks = (n + width - 1) / width, signs = (h.of_index.d + 7) / 8;
    const size_t rest = size - signs;
    const faiss_format::FastScanBlocks layout(h.of_index.d, apart ? signs : size, width);
    // Where nothing is stored, faiss may not have set the padding back.
    if ((n && padded != blocks * width) || nibbles != signs * 2 || code_size != size ||
        (apart && rests.size() != n * rest) || get_count(1, "the codes") != blocks * layout.size())
      corrupt(
          text("its blocks do not hold ", n, " codes of ", size, " bytes, ", width, " in each"));
    std::vector<std::byte> whole;
    const auto take = [&](const std::byte* codes, size_t at, size_t m) {
      if (!apart) return append(*index, codes, m);
      whole.resize(m * size);
      for (size_t i = 0; i < m; ++i) {
        std::copy_n(codes + i * signs, signs, whole.data() + i * size);
        std::copy_n(rests.data() + (at + i) * rest, rest, whole.data() + i * size + signs);
      }
      append(*index, whole.data(), m);
    };
    read_blocks(layout, n, width, apart ? signs : size, take);
    index->learn_from_codes();
    return index;
  }

  template <class Graph>
  std::shared_ptr<Index> read_graph(int depth) {
    const Header h = get_header();
    const StoredGraph stored = get_graph(h.n);
    auto storage = std::dynamic_pointer_cast<IndexFlatCodes>(read(depth + 1));
    if (!storage) corrupt("the graph does not stand on rows of codes");
    if (storage->d != h.d || storage->ntotal() != h.n || storage->metric_type != h.metric)
      corrupt(text("the graph has d = ", h.d, ", ", h.n, " nodes and metric ", name_of(h.metric),
                   " but its storage d = ", storage->d, ", ", storage->ntotal(), " vectors and ",
                   name_of(storage->metric_type)));
    auto index = std::make_shared<Graph>(std::move(storage), links_per_node(stored));
    restore(*index->hnsw, stored);
    index->restore({}, static_cast<id_t>(h.n), index->int8_traversal());
    return index;
  }

  StoredGraph get_graph(size_t n) {
    StoredGraph g;
    get_vector<double>("the level probabilities");  // our levels are drawn from M
    g.links_below = get_vector<int32_t>("the links per level");
    g.levels = get_vector<int32_t>("the levels");
    g.offsets = get_vector<uint64_t>("the offsets");
    const size_t count = get_count(sizeof(int32_t), "the links");
    check_tables(g, n, count);
    io::read_growing(in_, count, sizeof(int32_t), [&](size_t m) { return g.links.grow(m); });
    g.entry = get<int32_t>();
    g.max_level = get<int32_t>();
    g.ef_construction = get<int32_t>();
    g.ef_search = get<int32_t>();
    get<int32_t>();  // a field faiss no longer uses
    return g;
  }

  static void check_tables(const StoredGraph& g, size_t n, size_t links) {
    if (g.links_below.size() < 2 || g.links_below[0] != 0 ||
        !std::is_sorted(g.links_below.begin(), g.links_below.end()))
      corrupt("the links per level are not an increasing table from 0");
    if (g.levels.size() != n || g.offsets.size() != n + 1)
      corrupt(text("the graph has ", g.levels.size(), " levels and ", g.offsets.size(),
                   " offsets for ", n, " nodes"));
    if (g.offsets[0] != 0 || g.offsets[n] != links)
      corrupt(text("the offsets of the links do not span the ", links, " there are"));
    for (size_t i = 0; i < n; ++i) {
      const int32_t level = g.levels[i];
      if (level < 1 || static_cast<size_t>(level) >= g.links_below.size())
        corrupt(
            text("node ", i, " has the level ", level, ", outside 1..", g.links_below.size() - 1));
      if (g.offsets[i + 1] - g.offsets[i] !=
          static_cast<uint64_t>(g.links_below[static_cast<size_t>(level)]))
        corrupt(text("the links of node ", i, " do not fit its level"));
    }
  }

  // M, from a table that set_nb_neighbors may have changed.
  static size_t links_per_node(const StoredGraph& g) {
    int64_t m = (int64_t{g.links_below[1]} + 1) / 2;
    for (size_t i = 2; i < g.links_below.size(); ++i)
      m = std::max(m, int64_t{g.links_below[i]} - g.links_below[i - 1]);
    return static_cast<size_t>(std::max(m, int64_t{2}));
  }

  static void restore(Hnsw& graph, const StoredGraph& g) {
    const size_t n = g.levels.size();
    if (g.entry < -1 || (n == 0) != (g.entry == -1))
      corrupt(text("the entry point ", g.entry, " is no node"));
    std::vector<uint8_t> levels(n);
    for (size_t i = 0; i < n; ++i)
      levels[i] = static_cast<uint8_t>(
          std::min<int32_t>(g.levels[i] - 1, std::numeric_limits<uint8_t>::max()));
    graph.restore(levels, g.max_level, static_cast<slot_t>(g.entry));
    std::vector<slot_t> row;
    for (size_t i = 0; i < n; ++i)
      for (int level = 0; level < g.levels[i]; ++level) {
        row.clear();
        // The first -1 ends a list, also for faiss's search.
        for (size_t at = g.begin(i, level); at < g.begin(i, level + 1) && g.links[at] != -1; ++at)
          row.push_back(static_cast<slot_t>(g.links[at]));
        graph.set_links(static_cast<slot_t>(i), level, row);
      }
    graph.efConstruction = g.ef_construction;
    graph.efSearch = g.ef_search;
  }

  template <class Map>
  std::shared_ptr<Index> read_id_map(int depth) {
    const Header h = get_header();
    auto inner = read(depth + 1);
    auto ids = get_vector<id_t>("the ids");
    if (ids.size() != h.n || inner->ntotal() != h.n || inner->d != h.d ||
        inner->metric_type != h.metric)
      corrupt(text("the header claims ", h.n, " ids of vectors with d = ", h.d, ", but there are ",
                   ids.size(), " ids, ", inner->ntotal(), " vectors and d = ", inner->d));
    return std::make_shared<Map>(std::move(inner), std::move(ids));
  }

  std::shared_ptr<Index> read_refine(int depth) {
    const Header h = get_header();
    auto base = read(depth + 1);
    auto codes = std::dynamic_pointer_cast<IndexFlatCodes>(read(depth + 1));
    const auto k_factor = get<float>();
    if (!codes)
      throw UnsupportedError(
          "only plain and scalar-quantized vectors can refine; read it with faiss");
    if (!(k_factor >= 1 && k_factor <= 1000))
      corrupt(text("k_factor = ", k_factor, " is not between 1 and 1000"));
    if (base->ntotal() != h.n || base->d != h.d || base->metric_type != h.metric)
      corrupt("the header and the base index disagree on ntotal, d or metric");
    std::shared_ptr<IndexRefine> index;
    if (dynamic_cast<const IndexFlat*>(codes.get()))
      index = std::make_shared<IndexRefineFlat>(std::move(base), std::move(codes));
    else
      index = std::make_shared<IndexRefine>(std::move(base), std::move(codes));
    index->k_factor = k_factor;
    return index;
  }

  std::shared_ptr<Index> read_pre_transform(int depth) {
    const Header h = get_header();
    const auto count = get<int32_t>();
    if (count < 0 || count > kMostTransforms)
      corrupt(text("it claims ", count, " transforms before an index"));
    IndexPreTransform::Chain chain;
    for (int32_t i = 0; i < count; ++i) chain.push_back(faiss_format::read_transform(*this));
    auto index = std::make_shared<IndexPreTransform>(read(depth + 1), std::move(chain));
    // Its is_trained may be false though all parts are: faiss does not ask them.
    if (index->ntotal() != h.n || index->d != h.d || index->metric_type != h.metric)
      corrupt("the header and the index behind the transforms disagree on ntotal, d or metric");
    return index;
  }

  const bool binary_;  // all indexes in it
};

}  // namespace

std::shared_ptr<Index> read_faiss(io::Source& source) {
  return io::reading(source, [&] { return Reader(source, false).read(); });
}

std::shared_ptr<IndexBinary> read_faiss_binary(io::Source& source) {
  return io::reading(
      source, [&] { return std::dynamic_pointer_cast<IndexBinary>(Reader(source, true).read()); });
}

}  // namespace shortlist
