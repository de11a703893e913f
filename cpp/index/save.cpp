#include "index/save.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "index/binary.h"
#include "index/hnsw.h"
#include "index/multi_index.h"
#include "index/pretransform.h"
#include "index/product.h"
#include "index/rabitq.h"
#include "index/record.h"
#include "index/save_codecs.h"
#include "index/save_ivf.h"
#include "index/save_transform.h"
#include "index/sdc.h"
#include "index/versions.h"
#include "index/wrap.h"

namespace shortlist {
namespace {

using io::ContainerReader;
using io::ContainerWriter;
using io::Fields;

constexpr int kMaxDepth = 8;     // wrappers around wrappers; far more than make sense
constexpr size_t kSlice = 1024;  // codes at a time
constexpr size_t kMostTransforms = 1000;
constexpr size_t kPiece = io::kBufferBytes / sizeof(slot_t);

// Returns whether it had not been held.
bool hold(RwLock& lock, ReadLocks& held) {
  const auto taken = [&](const auto& l) { return l.mutex() == &lock; };
  if (std::any_of(held.begin(), held.end(), taken)) return false;
  held.emplace_back(lock);
  return true;
}

void hold(const Index& index, ReadLocks& held) {
  if (!hold(index.lock(), held)) return;
  if (const auto* map = dynamic_cast<const IndexIDMap*>(&index)) {
    hold(*map->index, held);
  } else if (const auto* behind = dynamic_cast<const IndexPreTransform*>(&index)) {
    hold(*behind->index, held);
    std::vector<RwLock*> locks;  // in one order, whoever holds some of them
    for (const auto& transform : behind->chain()) locks.push_back(&transform->lock());
    std::sort(locks.begin(), locks.end());
    for (RwLock* lock : locks) hold(*lock, held);
  } else if (const auto* refine = dynamic_cast<const IndexRefine*>(&index)) {
    hold(*refine->refine_index, held);  // in the order of a search
    hold(*refine->base_index, held);
  } else if (const auto* graph = dynamic_cast<const IndexHNSW*>(&index)) {
    hold(*graph->storage, held);
  } else if (const auto* lists = dynamic_cast<const IndexIVF*>(&index)) {
    hold(*lists->quantizer, held);
  } else if (const auto* versions = dynamic_cast<const IndexSDCVersions*>(&index)) {
    for (const auto& part : versions->older()) hold(*part.index, held);
    hold(*versions->newest, held);
  }
}

class Saver {
 public:
  explicit Saver(ContainerWriter& out) : out_(out) {}

  void save(const Index& index, const std::string& at) {
    Fields fields{{"class", index.class_name()},
                  {"d", text(index.d)},
                  {"metric", text(static_cast<int>(index.metric_type))},
                  {"verbose", text(index.verbose)}};
    if (const auto* codes = dynamic_cast<const IndexFlatCodes*>(&index))
      save_codes(*codes, at, fields);
    else if (const auto* sdc = dynamic_cast<const IndexSDC*>(&index))
      save_sdc(*sdc, at, fields);
    else if (const auto* fast = dynamic_cast<const IndexPQFastScan*>(&index))
      save_fast_scan(*fast, at, fields);
    else if (const auto* versions = dynamic_cast<const IndexSDCVersions*>(&index))
      save_versions(*versions, at, fields);
    else if (const auto* graph = dynamic_cast<const IndexHNSW*>(&index))
      save_graph(*graph, at, fields);
    else if (const auto* lists = dynamic_cast<const IndexIVF*>(&index))
      save_lists(*lists, at, fields);
    else if (const auto* cells = dynamic_cast<const MultiIndexQuantizer*>(&index))
      save_product(out_, *cells->pq, at, fields);
    else if (const auto* map = dynamic_cast<const IndexIDMap*>(&index))
      save_id_map(*map, at, fields);
    else if (const auto* refine = dynamic_cast<const IndexRefine*>(&index))
      save_refine(*refine, at, fields);
    else if (const auto* behind = dynamic_cast<const IndexPreTransform*>(&index))
      save_pre_transform(*behind, at, fields);
    else
      throw UnsupportedError(text(index.class_name(), " cannot be saved"));
  }

 private:
  void save_codes(const IndexFlatCodes& index, const std::string& at, Fields& fields) {
    const auto* sq = dynamic_cast<const ScalarQuantizer*>(&index.codec());
    if (const auto* flat = dynamic_cast<const IndexFlat*>(&index))
      fields["dtype"] = name_of(flat->dtype);
    if (const auto* sdc = dynamic_cast<const IndexSDCRows*>(&index)) {
      if (sdc->sdc->symmetric) fields["symmetric"] = "1";
      save_oddint(out_, *sdc->sdc, at, fields);
    } else if (const auto* lsh = dynamic_cast<const IndexLSH*>(&index))
      save_lsh(out_, *lsh->lsh, at, fields);
    else if (const auto* pq = dynamic_cast<const IndexPQ*>(&index))
      save_product(out_, *pq->pq, at, fields);
    else if (sq)
      save_scalar(out_, *sq, at, fields);
    else
      io::write_fields(out_, at, fields);
    write_array(out_, at + "/codes", index.codes().data(),
                index.codes().size() * index.codes().code_size());
  }

  // And of the classes derived from it.
  void save_sdc(const IndexSDC& index, const std::string& at, Fields& fields) {
    const OddIntCodec& codec = index.codec();
    if (const auto* rabitq = dynamic_cast<const IndexRaBitQ*>(&index)) {
      fields["qb"] = text(rabitq->qb);
      fields["centered"] = text(rabitq->centered);
      if (const auto* fast = dynamic_cast<const IndexRaBitQFastScan*>(&index))
        fields["bbs"] = text(fast->bbs);
    } else {
      fields["symmetric"] = text(codec.symmetric);
    }
    save_oddint(out_, codec, at, fields);
    save_rows(index, at);
  }

  void save_fast_scan(const IndexPQFastScan& index, const std::string& at, Fields& fields) {
    fields["bbs"] = text(index.bbs);
    save_product(out_, *index.pq, at, fields);
    save_rows(index, at);
  }

  template <class InBlocks>
  void save_rows(const InBlocks& index, const std::string& at) {
    const size_t size = index.codec().code_size();
    out_.begin(at + "/codes", index.ntotal() * size);
    std::vector<std::byte> codes(kSlice * size);
    for (size_t i = 0; i < index.ntotal(); i += kSlice) {
      const size_t n = std::min(kSlice, index.ntotal() - i);
      index.blocks().codes(i, n, codes.data());
      out_.write(codes.data(), n * size);
    }
    out_.end();
  }

  void save_versions(const IndexSDCVersions& index, const std::string& at, Fields& fields) {
    fields["older"] = text(index.older().size());
    io::write_fields(out_, at, fields);
    for (size_t i = 0; i < index.older().size(); ++i) {
      const auto& [part, reading] = index.older()[i];
      const std::string name = text(at, "/older", i);
      save(*part, name);
      write_array(out_, name + "/read_by", reading.turns.data(), reading.turns.size());
      write_array(out_, name + "/shift", reading.shift.data(), reading.shift.size());
      const float gain[2] = {reading.slope, reading.offset};
      write_array(out_, name + "/gain", gain, 2);
    }
    save(*index.newest, at + "/newest");
  }

  void save_graph(const IndexHNSW& index, const std::string& at, Fields& fields) {
    const Hnsw& graph = *index.hnsw;
    const auto& names = index.names();
    if (index.storage->ntotal() != graph.size())
      throw ArgumentError(text("the graph has ", graph.size(), " nodes but its storage has ",
                               index.storage->ntotal(), " vectors; add and remove through the ",
                               index.class_name(), ", not its storage"));
    fields["M"] = text(graph.M());
    fields["efConstruction"] = text(graph.efConstruction);
    fields["efSearch"] = text(graph.efSearch);
    fields["max_level"] = text(graph.max_level());
    fields["entry_point"] = text(graph.entry_point());
    fields["next_id"] = text(names.next);
    if (index.int8_traversal() != IndexHNSW::codes_gain(*index.storage))
      fields["int8_traversal"] = text(index.int8_traversal());
    if (graph.has_blocks()) fields["neighbor_blocks"] = graph.blocks() ? "2" : "1";
    io::write_fields(out_, at, fields);
    save(*index.storage, at + "/storage");
    save_links(graph, at);
    const std::vector<slot_t> erased = graph.erased_slots();
    write_array(out_, at + "/free", graph.free_slots().data(), graph.free_slots().size());
    write_array(out_, at + "/erased", erased.data(), erased.size());
    write_array(out_, at + "/ids", names.ids.data(), names.kept ? names.ids.size() : 0);
    if (const NeighborBlocks* blocks = graph.blocks()) save_block_links(*blocks, graph.size(), at);
  }

  // Levels by slot; how many links each slot has, level by level; the links themselves.
  void save_links(const Hnsw& graph, const std::string& at) {
    std::vector<uint8_t> levels;
    std::vector<uint16_t> counts;
    levels.reserve(graph.size());
    counts.reserve(graph.size() + graph.size() / 8);
    size_t total = 0;
    for (slot_t s = 0; s < graph.size(); ++s) {
      levels.push_back(static_cast<uint8_t>(graph.level(s)));
      for (int level = 0; level <= graph.level(s); ++level) {
        counts.push_back(static_cast<uint16_t>(graph.links(s, level).size()));
        total += counts.back();
      }
    }
    write_array(out_, at + "/levels", levels.data(), levels.size());
    write_array(out_, at + "/link_counts", counts.data(), counts.size());
    out_.begin(at + "/links", total * sizeof(slot_t));
    for (slot_t s = 0; s < graph.size(); ++s)
      for (int level = 0; level <= graph.level(s); ++level)
        out_.write(graph.links(s, level).data(), graph.links(s, level).size_bytes());
    out_.end();
  }

  // Codes are made again from the vectors; to find the links takes a search for each.
  void save_block_links(const NeighborBlocks& blocks, size_t n, const std::string& at) {
    out_.begin(at + "/block_links", n * blocks.width() * sizeof(slot_t));
    for (slot_t s = 0; s < n; ++s) out_.write(blocks.links(s).data(), blocks.links(s).size_bytes());
    out_.end();
  }

  void save_lists(const IndexIVF& index, const std::string& at, Fields& fields) {
    save_ivf(out_, index, at, fields);
    save(*index.quantizer, at + "/quantizer");
    save_ivf_lists(out_, index, at);
  }

  void save_id_map(const IndexIDMap& index, const std::string& at, const Fields& fields) {
    io::write_fields(out_, at, fields);
    write_array(out_, at + "/id_map", index.id_map().data(), index.id_map().size());
    save(*index.index, at + "/index");
  }

  void save_refine(const IndexRefine& index, const std::string& at, Fields& fields) {
    // Checked again when it is loaded; better told now.
    if (index.base_index->ntotal() != index.refine_index->ntotal())
      throw UnsupportedError(text("the base index holds ", index.base_index->ntotal(),
                                  " vectors but the refining index ", index.refine_index->ntotal(),
                                  "; add through the ", index.class_name(), ", or save the parts"));
    fields["k_factor"] = bits_of(index.k_factor);
    io::write_fields(out_, at, fields);
    save(*index.base_index, at + "/base");
    save(*index.refine_index, at + "/refine");
  }

  void save_pre_transform(const IndexPreTransform& index, const std::string& at, Fields& fields) {
    const auto chain = index.chain();
    fields["transforms"] = text(chain.size());
    io::write_fields(out_, at, fields);
    for (size_t i = 0; i < chain.size(); ++i)
      save_transform(out_, *chain[i], text(at, "/transform", i));
    save(*index.index, at + "/index");
  }

  ContainerWriter& out_;
};

class Loader {
 public:
  explicit Loader(ContainerReader& in) : in_(in) {}

  std::shared_ptr<Index> load(const std::string& at, int depth = 0) {
    if (depth > kMaxDepth) throw CorruptIndexError("the index is nested too deeply");
    const Record record(in_, at);
    const bool binary = record.word("class").starts_with("IndexBinary");
    if (depth == 0) binary_ = binary;
    if (binary != binary_) throw CorruptIndexError("binary indexes and others are nested");
    std::shared_ptr<Index> index = of_class(record.word("class"), record, at, depth);
    if (index->d != record.number<size_t>("d") || index->metric_type != record.metric())
      throw CorruptIndexError(text("'", at, "' and its parts disagree on d or metric"));
    index->verbose = record.number<int>("verbose", 0, 1);
    return index;
  }

 private:
  std::shared_ptr<Index> of_class(const std::string& name, const Record& record,
                                  const std::string& at, int depth) {
    if (name.starts_with("IndexFlat") || name == "IndexScalarQuantizer" ||
        name == "IndexBinaryFlat" || name == "IndexSDCRows" || name == "IndexLSH" ||
        name == "IndexPQ")
      return load_codes(name, record, at);
    if (name == "IndexSDC" || name.starts_with("IndexRaBitQ")) return load_sdc(name, record, at);
    if (name == "IndexPQFastScan") return load_fast_scan(record, at);
    if (name == "IndexSDCVersions") return load_versions(record, at, depth);
    if (name.starts_with("IndexIVF") || name == "IndexBinaryIVF")
      return load_ivf(in_, record, at, [&] { return load(at + "/quantizer", depth + 1); });
    if (name == "MultiIndexQuantizer")
      return std::make_shared<MultiIndexQuantizer>(
          load_product(in_, record.number<size_t>("d"), record, at));
    if (name == "IndexHNSW") return load_graph<IndexHNSW>(record, at, depth);
    if (name == "IndexHNSWFlat") return load_graph<IndexHNSWFlat>(record, at, depth);
    if (name == "IndexHNSWSQ") return load_graph<IndexHNSWSQ>(record, at, depth);
    if (name == "IndexHNSWPQ") return load_graph<IndexHNSWPQ>(record, at, depth);
    if (name == "IndexHNSWSDC") return load_graph<IndexHNSWSDC>(record, at, depth);
    if (name == "IndexIDMap") return load_id_map<IndexIDMap>(at, depth);
    if (name == "IndexIDMap2") return load_id_map<IndexIDMap2>(at, depth);
    if (name == "IndexBinaryHNSW") return load_graph<IndexBinaryHNSW>(record, at, depth);
    if (name == "IndexBinaryIDMap") return load_id_map<IndexBinaryIDMap>(at, depth);
    if (name == "IndexBinaryIDMap2") return load_id_map<IndexBinaryIDMap2>(at, depth);
    if (name == "IndexRefine") return load_refine<IndexRefine>(record, at, depth);
    if (name == "IndexRefineFlat") return load_refine<IndexRefineFlat>(record, at, depth);
    if (name == "IndexPreTransform") return load_pre_transform(record, at, depth);
    unknown(name);
  }

  [[noreturn]] static void unknown(const std::string& name) {
    throw CorruptIndexError(text("it holds an '", name,
                                 "', which this release does not know; read it with a newer one"));
  }

  std::shared_ptr<Index> load_codes(const std::string& name, const Record& record,
                                    const std::string& at) {
    const auto d = record.number<size_t>("d");
    const Metric metric = record.metric();
    std::shared_ptr<IndexFlatCodes> index;
    if (name == "IndexScalarQuantizer") {
      index = std::make_shared<IndexScalarQuantizer>(load_scalar(in_, d, record, at), metric);
    } else if (name == "IndexBinaryFlat") {
      index = std::make_shared<IndexBinaryFlat>(8 * std::min(d, kNoSlot + size_t{1}));
    } else if (name == "IndexLSH") {
      index = std::make_shared<IndexLSH>(load_lsh(in_, d, record, at));
    } else if (name == "IndexPQ") {
      index = std::make_shared<IndexPQ>(load_product(in_, d, record, at), metric);
    } else if (name == "IndexSDCRows") {
      index = std::make_shared<IndexSDCRows>(load_oddint(in_, record, at));
    } else {
      const DType dtype = dtype_named(record.word("dtype"));
      if (dtype != DType::f32) load_scalar(in_, d, record, at);  // which has nothing to learn
      if (name == "IndexFlat")
        index = std::make_shared<IndexFlat>(d, metric, dtype);
      else if (name == "IndexFlatL2")
        index = std::make_shared<IndexFlatL2>(d, dtype);
      else if (name == "IndexFlatIP")
        index = std::make_shared<IndexFlatIP>(d, dtype);
      else
        unknown(name);
    }
    const size_t size = index->codec().code_size(), length = in_.open(at + "/codes");
    const size_t rows = length / size;
    if (length % size || rows > kNoSlot || (rows && !index->is_trained()))
      throw CorruptIndexError(
          text("'", at, "' has ", length, " bytes of codes, which do not fit it"));
    io::read_growing(in_, rows, size, [&](size_t n) { return index->mutable_codes().grow(n); });
    in_.close();
    return index;
  }

  std::shared_ptr<IndexRaBitQ> load_rabitq(const std::string& name, const Record& record,
                                           const std::string& at) {
    auto codec = shortlist::load_rabitq(in_, record, at);
    std::shared_ptr<IndexRaBitQ> index;
    if (name == "IndexRaBitQ")
      index = std::make_shared<IndexRaBitQ>(std::move(codec));
    else if (name == "IndexRaBitQFastScan")
      index = std::make_shared<IndexRaBitQFastScan>(std::move(codec), record.number<int>("bbs"));
    else
      unknown(name);
    index->qb = record.number<int>("qb", 0, IndexRaBitQ::kMostQueryBits);
    index->centered = record.number<int>("centered", 0, 1) == 1;
    return index;
  }

  std::shared_ptr<Index> load_sdc(const std::string& name, const Record& record,
                                  const std::string& at) {
    std::shared_ptr<IndexSDC> index;
    if (name == "IndexSDC") {
      index = std::make_shared<IndexSDC>(load_oddint(in_, record, at));
    } else {
      index = load_rabitq(name, record, at);
    }
    load_rows(*index, at);
    return index;
  }

  std::shared_ptr<Index> load_fast_scan(const Record& record, const std::string& at) {
    auto index =
        std::make_shared<IndexPQFastScan>(load_product(in_, record.number<size_t>("d"), record, at),
                                          record.metric(), record.number<int>("bbs"));
    load_rows(*index, at);
    return index;
  }

  template <class InBlocks>
  void load_rows(InBlocks& index, const std::string& at) {
    const size_t size = index.codec().code_size(), length = in_.open(at + "/codes");
    const size_t rows = length / size;
    if (length % size || rows > kNoSlot || (rows && !index.is_trained()))
      throw CorruptIndexError(
          text("'", at, "' has ", length, " bytes of codes, which do not fit it"));
    std::vector<std::byte> codes(kSlice * size);
    for (size_t i = 0; i < rows; i += kSlice) {
      const size_t n = std::min(kSlice, rows - i);
      in_.read(codes.data(), n * size);
      index.restore_codes(codes.data(), n);
    }
    in_.close();
  }

  std::shared_ptr<Index> load_versions(const Record& record, const std::string& at, int depth) {
    const auto part = [&](const std::string& name) {
      auto index = std::dynamic_pointer_cast<IndexSDC>(load(name, depth + 1));
      if (!index) throw CorruptIndexError(text("'", name, "' is no IndexSDC"));
      return index;
    };
    constexpr size_t kMostVersions = 1000;
    std::vector<IndexSDCVersions::Older> older;
    for (size_t i = 0; i < record.number<size_t>("older", 0, kMostVersions); ++i) {
      const std::string name = text(at, "/older", i);
      auto index = part(name);
      OddIntReading reading{.turns = read_array<float>(in_, name + "/read_by"),
                            .shift = read_array<float>(in_, name + "/shift")};
      const auto gain = read_array<float>(in_, name + "/gain");
      if (gain.size() != 2)
        throw CorruptIndexError(text("'", name, "/gain' has ", gain.size(), " numbers, not 2"));
      reading.slope = gain[0];
      reading.offset = gain[1];
      older.push_back({std::move(index), std::move(reading)});
    }
    return std::make_shared<IndexSDCVersions>(std::move(older), part(at + "/newest"));
  }

  template <class Graph>
  std::shared_ptr<Index> load_graph(const Record& record, const std::string& at, int depth) {
    auto storage = std::dynamic_pointer_cast<IndexFlatCodes>(load(at + "/storage", depth + 1));
    if (!storage) throw CorruptIndexError("the storage of the graph does not store codes");
    auto index = std::make_shared<Graph>(std::move(storage), record.number<size_t>("M"));
    Hnsw& graph = *index->hnsw;
    graph.efConstruction = record.number<int>("efConstruction");
    graph.efSearch = record.number<int>("efSearch");
    load_links(graph, index->storage->ntotal(), record, at);
    graph.restore_free(read_array<slot_t>(in_, at + "/free"));
    const auto erased = read_array<slot_t>(in_, at + "/erased");
    if (std::any_of(erased.begin(), erased.end(),
                    [&](slot_t s) { return s >= graph.size() || !graph.is_live(s); }))
      throw CorruptIndexError("an erased slot is not there or free");
    graph.restore_erased(erased);
    auto ids = read_array<id_t>(in_, at + "/ids");
    if (ids.empty() && graph.live() != graph.size())
      throw CorruptIndexError("the graph lost vectors but kept no ids");
    index->restore(std::move(ids), record.number<id_t>("next_id", 0),
                   record.has("int8_traversal") ? record.number<int>("int8_traversal", 0, 1) == 1
                                                : index->int8_traversal());
    if (record.has("neighbor_blocks")) {
      if (record.number<int>("neighbor_blocks", 1, 2) == 2)
        index->restore_neighbor_blocks(read_array<slot_t>(in_, at + "/block_links"));
      else  // were not ready
        index->use_neighbor_blocks(true);
    }
    return index;
  }

  void load_links(Hnsw& graph, size_t n, const Record& record, const std::string& at) {
    const auto levels = read_array<uint8_t>(in_, at + "/levels");
    const auto counts = read_array<uint16_t>(in_, at + "/link_counts");
    size_t rows = levels.size(), links = 0;
    for (const uint8_t level : levels) rows += level;
    for (const uint16_t of_row : counts) links += of_row;
    const uint64_t length = in_.open(at + "/links");
    if (levels.size() != n || rows != counts.size() || length != links * sizeof(slot_t))
      throw CorruptIndexError("the graph and its storage do not belong together");
    graph.restore(levels, record.number<int>("max_level", -1),
                  record.number<slot_t>("entry_point"));
    std::vector<slot_t> piece;  // many rows at a time: a source may be slow to call
    size_t next = 0;
    const uint16_t* count = counts.data();
    for (slot_t s = 0; s < levels.size(); ++s)
      for (int level = 0; level <= levels[s]; ++level, ++count) {
        if (piece.size() - next < *count) {
          const size_t kept = piece.size() - next,
                       fresh = std::min(links, std::max<size_t>(kPiece, *count));
          std::copy(piece.begin() + static_cast<ptrdiff_t>(next), piece.end(), piece.begin());
          piece.resize(kept + fresh);
          in_.read(piece.data() + kept, fresh * sizeof(slot_t));
          links -= fresh;
          next = 0;
        }
        graph.set_links(s, level, {piece.data() + next, *count});
        next += *count;
      }
    in_.close();
  }

  template <class Map>
  std::shared_ptr<Index> load_id_map(const std::string& at, int depth) {
    auto id_map = read_array<id_t>(in_, at + "/id_map");
    return std::make_shared<Map>(load(at + "/index", depth + 1), std::move(id_map));
  }

  template <class Refine>
  std::shared_ptr<Index> load_refine(const Record& record, const std::string& at, int depth) {
    auto base = load(at + "/base", depth + 1);
    auto codes = std::dynamic_pointer_cast<IndexFlatCodes>(load(at + "/refine", depth + 1));
    if (!codes) throw CorruptIndexError("the refining index does not store codes");
    auto index = std::make_shared<Refine>(std::move(base), std::move(codes));
    index->k_factor = record.real("k_factor");
    return index;
  }

  std::shared_ptr<Index> load_pre_transform(const Record& record, const std::string& at,
                                            int depth) {
    IndexPreTransform::Chain chain;
    for (size_t i = 0; i < record.number<size_t>("transforms", 0, kMostTransforms); ++i)
      chain.push_back(load_transform(in_, text(at, "/transform", i)));
    return std::make_shared<IndexPreTransform>(load(at + "/index", depth + 1), std::move(chain));
  }

  ContainerReader& in_;
  bool binary_ = false;  // all indexes in it
};

}  // namespace

ReadLocks lock_for_reading(const Index& index) {
  ReadLocks held;
  hold(index, held);
  return held;
}

void save(const Index& index, io::Sink& sink, const Metadata& metadata) {
  const ReadLocks held = lock_for_reading(index);
  ContainerWriter out(sink);
  io::write_fields(out, "metadata", metadata);
  Saver(out).save(index, "index");
  out.finish();
}

std::shared_ptr<Index> load(io::Source& source, Metadata* metadata) {
  return io::reading(source, [&] {
    ContainerReader in(source);
    Metadata found = io::read_fields(in, "metadata");
    auto index = Loader(in).load("index");
    in.finish();
    if (metadata) *metadata = std::move(found);
    return index;
  });
}

Metadata load_metadata(io::Source& source) {
  return io::reading(source, [&] {
    ContainerReader in(source);
    return io::read_fields(in, "metadata");
  });
}

std::shared_ptr<Index> clone_index(const Index& index) {
  io::MemorySink copy;
  save(index, copy);
  return load(*io::memory_source(copy.bytes.data(), copy.bytes.size()));
}

}  // namespace shortlist
