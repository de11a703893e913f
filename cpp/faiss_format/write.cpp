#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"
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
#include "index/save.h"
#include "index/sdc.h"
#include "index/wrap.h"

namespace shortlist {
namespace {

using faiss_format::fourcc;

const ScalarQuantizer* quantizer_of(const IndexFlatCodes& index) {
  return dynamic_cast<const ScalarQuantizer*>(&index.codec());
}

bool is_binary(const Index& index) { return dynamic_cast<const IndexBinary*>(&index) != nullptr; }

// The same graph, to be changed without touching the user's.
std::unique_ptr<Hnsw> copy_of(const Hnsw& graph) {
  auto copy = std::make_unique<Hnsw>(graph.M());
  std::vector<uint8_t> levels(graph.size());
  for (slot_t s = 0; s < graph.size(); ++s) levels[s] = static_cast<uint8_t>(graph.level(s));
  copy->restore(levels, graph.max_level(), graph.entry_point());
  for (slot_t s = 0; s < graph.size(); ++s)
    for (int level = 0; level <= graph.level(s); ++level)
      copy->set_links(s, level, graph.links(s, level));
  copy->restore_free(graph.free_slots());
  copy->restore_erased(graph.erased_slots());
  return copy;
}

std::vector<slot_t> live_slots(const Hnsw& graph) {
  std::vector<slot_t> out;
  out.reserve(graph.live());
  for (slot_t s = 0; s < graph.size(); ++s)
    if (graph.is_live(s)) out.push_back(s);
  return out;
}

// The ids of the rows as they are written, or nothing if they are 0..n-1.
std::optional<std::vector<id_t>> row_ids(const Index& index) {
  if (const auto* refine = dynamic_cast<const IndexRefine*>(&index))
    return row_ids(*refine->base_index);
  if (const auto* behind = dynamic_cast<const IndexPreTransform*>(&index))
    return row_ids(*behind->index);
  if (const auto* refined = dynamic_cast<const IndexIVFPQR*>(&index))
    return faiss_format::row_ids(*refined);
  const auto* graph = dynamic_cast<const IndexHNSW*>(&index);
  if (!graph || !graph->names().kept) return std::nullopt;
  std::vector<id_t> ids;
  bool in_order = true;
  for (slot_t s : live_slots(*graph->hnsw)) {
    in_order &= graph->names().ids[s] == static_cast<id_t>(ids.size());
    ids.push_back(graph->names().ids[s]);
  }
  if (in_order) return std::nullopt;
  return ids;
}

class Writer : faiss_format::Output {
 public:
  explicit Writer(io::Sink& sink) : Output(sink) {}

  void write(const Index& index) {
    const auto ids = row_ids(index);
    if (!ids) return write_rows(index);
    header(is_binary(index) ? "IBM2" : "IxM2", index);
    write_rows(index);
    array(ids->data(), ids->size());
  }

 private:
  void header(std::string_view name, const Index& index) { header(name, index, index.ntotal()); }
  void header(std::string_view name, const Index& index, size_t n) {
    put(fourcc(name));
    if (is_binary(index)) put(static_cast<int32_t>(8 * index.d));
    put(static_cast<int32_t>(index.d));
    put(static_cast<int64_t>(n));
    if (!is_binary(index)) {
      put(int64_t{1} << 20);  // two fields faiss no longer uses
      put(int64_t{1} << 20);
    }
    put(static_cast<uint8_t>(index.is_trained()));
    put(static_cast<int32_t>(index.metric_type));
  }

  // `index` with its rows numbered 0..n-1 in the order of row_ids.
  void write_rows(const Index& index) {
    if (const auto* codes = dynamic_cast<const IndexFlatCodes*>(&index))
      write_codes(*codes, nullptr);
    else if (const auto* rabitq = dynamic_cast<const IndexRaBitQ*>(&index))
      write_rabitq(*rabitq);
    else if (const auto* fast = dynamic_cast<const IndexPQFastScan*>(&index))
      write_product_blocks(*fast);
    else if (const auto* graph = dynamic_cast<const IndexHNSW*>(&index))
      write_graph(*graph);
    else if (const auto* lists = dynamic_cast<const IndexIVF*>(&index))
      write_lists(*lists);
    else if (const auto* cells = dynamic_cast<const MultiIndexQuantizer*>(&index))
      write_cells(*cells);
    else if (const auto* map = dynamic_cast<const IndexIDMap*>(&index))
      write_id_map(*map);
    else if (const auto* refine = dynamic_cast<const IndexRefine*>(&index))
      write_refine(*refine);
    else if (const auto* behind = dynamic_cast<const IndexPreTransform*>(&index))
      write_pre_transform(*behind);
    else
      refuse(index);
  }
  [[noreturn]] static void refuse(const Index& index) {
    throw UnsupportedError(text(index.class_name(), " has no form in faiss's files; use save"));
  }

  // Only `rows` of it, unless null.
  void write_codes(const IndexFlatCodes& index, const std::vector<slot_t>* rows) {
    const auto* sq = quantizer_of(index);
    const size_t n = rows ? rows->size() : index.ntotal(), size = index.codec().code_size();
    if (sq) {
      header("IxSQ", index, n);
      faiss_format::write(*sq, *this);
      put(uint64_t{n * size});
    } else if (const auto* lsh = dynamic_cast<const LshCodec*>(&index.codec())) {
      header("IxHe", index, n);
      write_lsh(*lsh);
      put(uint64_t{n * size});
    } else if (const auto* product = dynamic_cast<const IndexPQ*>(&index)) {
      header("IxPq", index, n);
      faiss_format::write(*product->pq, *this);
      put(uint64_t{n * size});
    } else if (is_binary(index)) {
      header("IBxF", index, n);
      put(uint64_t{n * size});
    } else if (!dynamic_cast<const FlatCodec*>(&index.codec())) {
      refuse(index);
    } else {
      header(index.metric_type == Metric::l2 ? "IxF2" : "IxFI", index, n);
      put(uint64_t{n * size / sizeof(float)});
    }
    write_rows_of(index, rows, n);
    if (const auto* product = dynamic_cast<const IndexPQ*>(&index)) {
      put(int32_t{product->search_type});
      put(static_cast<uint8_t>(product->encode_signs));
      put(int32_t{product->polysemous_ht});
    }
  }

  void write_product_blocks(const IndexPQFastScan& index) {
    const size_t size = index.sa_code_size(), n = index.ntotal();
    const auto width = static_cast<size_t>(index.bbs), blocks = (n + width - 1) / width;
    const faiss_format::FastScanBlocks layout(8 * size, size, width);
    header("IPfs", index);
    faiss_format::write(*index.pq, *this);
    put(int32_t{index.implem});
    put(int32_t{index.bbs});
    put(int32_t{index.qbs});
    put(uint64_t{blocks * width});
    put(uint64_t{2 * size});
    write_blocks(layout, n, width, size, [&](size_t begin, size_t m, std::byte* out) {
      index.blocks().codes(begin, m, out);
    });
  }

  void write_rows_of(const IndexFlatCodes& index, const std::vector<slot_t>* rows, size_t n) {
    const size_t size = index.codec().code_size();
    if (!quantizer_of(index) && !rows) return sink_.write(index.codes().data(), n * size);
    const size_t most = std::max<size_t>(1, io::kBufferBytes / size);
    std::vector<std::byte> piece(std::min(n, most) * size);
    for (size_t at = 0; at < n; at += most) {
      const size_t m = std::min(most, n - at);
      for (size_t i = 0; i < m; ++i)
        std::memcpy(piece.data() + i * size, index.codes().row(rows ? (*rows)[at + i] : at + i),
                    size);
      index.codec().swap_faiss_form(piece.data(), m);
      sink_.write(piece.data(), m * size);
    }
  }

  void write_lsh(const LshCodec& lsh) {
    put(static_cast<int32_t>(lsh.nbits));
    put(static_cast<uint8_t>(lsh.rotates));
    put(static_cast<uint8_t>(lsh.trains));
    array(lsh.thresholds.data(), lsh.thresholds.size());
    put(static_cast<int32_t>(lsh.code_size()));
    // There also where nothing is rotated.
    faiss_format::write_transform(*lsh.copy_of_rotation(), *this);
  }

  void write_rabitq(const IndexRaBitQ& index) {
    const auto* fast = dynamic_cast<const IndexRaBitQFastScan*>(&index);
    const size_t size = index.sa_code_size(), n = index.ntotal();
    const int bits = index.codec().bits;
    const std::vector<float>& center = index.codec().centre;
    header(fast ? "Irfn" : bits == 1 ? "Ixrq" : "Ixrr", index);
    faiss_format::write(*index.rabitq, *this, !fast && bits == 1);
    if (fast) return write_fast_scan(*fast);
    put(uint64_t{n * size});
    const size_t most = std::max<size_t>(1, io::kBufferBytes / size);
    std::vector<std::byte> piece(std::min(n, most) * size);
    for (size_t at = 0; at < n; at += most) {
      const size_t m = std::min(most, n - at);
      index.faiss_codes(at, m, piece.data());
      sink_.write(piece.data(), m * size);
    }
    array(center.data(), center.size());
    put(static_cast<uint8_t>(index.qb));
  }

  void write_fast_scan(const IndexRaBitQFastScan& index) {
    const size_t size = index.sa_code_size(), n = index.ntotal();
    const auto width = static_cast<size_t>(index.bbs);
    const size_t blocks = (n + width - 1) / width;
    std::vector<float> center = index.codec().centre;
    center.resize(index.d);  // zeros before training
    array(center.data(), center.size());
    put(static_cast<uint8_t>(index.qb));
    put(int32_t{index.bbs});
    put(uint64_t{blocks * width});
    put(uint64_t{(index.d + 7) / 8 * 2});  // nibbles of the signs
    put(uint64_t{size});
    const faiss_format::FastScanBlocks layout(index.d, size, width);
    write_blocks(layout, n, width, size,
                 [&](size_t begin, size_t m, std::byte* out) { index.faiss_codes(begin, m, out); });
  }

  // codes(begin, n, out) gives n codes.
  template <class Codes>
  void write_blocks(const faiss_format::FastScanBlocks& layout, size_t n, size_t width, size_t size,
                    const Codes& codes) {
    put(uint64_t{(n + width - 1) / width * layout.size()});
    std::vector<uint8_t> block(n ? layout.size() : 0);
    std::vector<std::byte> of_block(std::min(n, width) * size);
    for (size_t at = 0; at < n; at += width) {
      const size_t m = std::min(width, n - at);
      codes(at, m, of_block.data());
      layout.pack(of_block.data(), m, block.data());
      sink_.write(block.data(), block.size());
    }
  }

  void write_graph(const IndexHNSW& index) {
    if (dynamic_cast<const IndexHNSWSDC*>(&index)) refuse(index);
    if (index.storage->ntotal() != index.hnsw->size())
      throw ArgumentError(text("the graph has ", index.hnsw->size(), " nodes but its storage has ",
                               index.storage->ntotal(), " vectors; add and remove through the ",
                               index.class_name(), ", not its storage"));
    // Erased nodes still carry searches: they are routed around before they are left out.
    std::unique_ptr<Hnsw> routed;
    if (!index.hnsw->erased_slots().empty()) {
      routed = copy_of(*index.hnsw);
      const Vectors stored = index.storage->vectors();
      BuildingVectors floats(index.d);
      const bool decoded = !stored.codec.compares_decoded();
      if (decoded) floats.follow(stored);
      while (routed->consolidate(decoded ? floats.of(index.metric_type) : stored)) continue;
    }
    const Hnsw& graph = routed ? *routed : *index.hnsw;
    const std::vector<slot_t> rows = live_slots(graph);
    header(name_of(index), index);
    write_links(graph, rows);
    put(int32_t{index.hnsw->efConstruction});
    put(int32_t{index.hnsw->efSearch});
    put(int32_t{1});  // a field faiss no longer uses
    write_codes(*index.storage, rows.size() == graph.size() ? nullptr : &rows);
  }

  // faiss's IndexHNSWFlat stands on float32 codes; on others it is an IndexHNSWSQ.
  static std::string_view name_of(const IndexHNSW& index) {
    if (is_binary(index)) return "IBHf";
    if (dynamic_cast<const IndexHNSWSQ*>(&index)) return "IHNs";
    if (dynamic_cast<const IndexHNSWPQ*>(&index)) return "IHNp";
    if (dynamic_cast<const IndexHNSWFlat*>(&index))
      return quantizer_of(*index.storage) ? "IHNs" : "IHNf";
    return "IH00";
  }

  void write_links(const Hnsw& graph, const std::vector<slot_t>& rows) {
    const size_t n = rows.size();
    if (n > INT32_MAX)
      throw UnsupportedError(text("faiss's files hold at most ", INT32_MAX, " graph nodes"));
    std::vector<int32_t> row_of(graph.size(), -1), levels(n);
    slot_t entry = graph.entry_point();
    int top = -1;
    for (size_t i = 0; i < n; ++i) {
      row_of[rows[i]] = static_cast<int32_t>(i);
      levels[i] = graph.level(rows[i]) + 1;
      top = std::max(top, graph.level(rows[i]));
    }
    if (n && (entry == kNoSlot || row_of[entry] < 0 || graph.level(entry) != top))
      entry =
          *std::find_if(rows.begin(), rows.end(), [&](slot_t s) { return graph.level(s) == top; });

    const std::vector<int32_t> links_below = write_level_tables(graph, top);
    array(levels.data(), n);
    uint64_t total = 0;
    put(uint64_t{n + 1});
    put(total);
    for (int32_t level : levels)
      put(total += static_cast<uint64_t>(links_below[static_cast<size_t>(level)]));
    put(total);
    std::vector<int32_t> row;
    for (slot_t s : rows) {
      row.assign(static_cast<size_t>(links_below[static_cast<size_t>(graph.level(s)) + 1]), -1);
      for (int level = 0; level <= graph.level(s); ++level) {
        int32_t* to = row.data() + links_below[static_cast<size_t>(level)];
        for (slot_t other : graph.links(s, level))
          if (row_of[other] >= 0) *to++ = row_of[other];
      }
      sink_.write(row.data(), row.size() * sizeof(int32_t));
    }
    put(n ? row_of[entry] : int32_t{-1});
    put(int32_t{top});
  }

  // assign_probas and cum_nneighbor_per_level as faiss makes them for M, longer if a node is higher
  // than faiss would draw. Returns the latter.
  std::vector<int32_t> write_level_tables(const Hnsw& graph, int top) {
    const auto scale = static_cast<float>(1 / std::log(static_cast<double>(graph.M())));
    std::vector<double> probabilities;
    std::vector<int32_t> links_below{0};
    for (int level = 0;; ++level) {
      // Rounded where faiss rounds, so that the bytes are the same.
      const auto p = static_cast<float>(std::exp(double{-static_cast<float>(level) / scale}) *
                                        (1 - std::exp(double{-1 / scale})));
      if (p < 1e-9 && level > top) break;
      probabilities.push_back(p);
      links_below.push_back(links_below.back() + static_cast<int32_t>(graph.max_links(level)));
    }
    array(probabilities.data(), probabilities.size());
    array(links_below.data(), links_below.size());
    return links_below;
  }

  void write_cells(const MultiIndexQuantizer& index) {
    header("Imiq", index);
    faiss_format::write(*index.pq, *this);
  }

  void write_lists(const IndexIVF& index) {
    header(faiss_format::fourcc_of(index), index);
    faiss_format::write_ivf(index, *this, [&](const Index& quantizer) { write_rows(quantizer); });
  }

  void write_id_map(const IndexIDMap& index) {
    const std::vector<id_t>& id_map = index.id_map();
    std::vector<id_t> ids;
    if (const auto rows =
            row_ids(*index.index)) {  // the inner ids go, so the outer ones follow them
      for (id_t inner : *rows) {
        if (static_cast<size_t>(inner) >= id_map.size()) refuse(index);
        ids.push_back(id_map[static_cast<size_t>(inner)]);
      }
    } else {
      ids = id_map;
      if (index.index->keeps_ids_on_remove() && ids.size() > index.ntotal())
        ids.resize(index.ntotal());  // the last ones are gone
    }
    if (ids.size() != index.ntotal() || std::find(ids.begin(), ids.end(), kNoId) != ids.end())
      refuse(index);
    header(is_binary(index) ? (index.finds_by_id() ? "IBM2" : "IBMp")
                            : (index.finds_by_id() ? "IxM2" : "IxMp"),
           index);
    write_rows(*index.index);
    array(ids.data(), ids.size());
  }

  [[noreturn]] static void refuse(const IndexIDMap& index) {
    throw UnsupportedError(text("the wrapped index holds ", index.ntotal(), " vectors but ",
                                index.id_map().size(),
                                " ids are known; add and remove through the ", index.class_name()));
  }

  void write_refine(const IndexRefine& index) {
    const size_t n = index.base_index->ntotal(), stored = index.refine_index->ntotal();
    if (n != stored)
      throw UnsupportedError(text("the base index holds ", n, " vectors but the refining index ",
                                  stored, "; add through the ", index.class_name(),
                                  ", or write the parts"));
    if (!(index.k_factor >= 1 && index.k_factor <= 1000))
      throw UnsupportedError(text("k_factor = ", index.k_factor,
                                  " is refused by faiss's reader; set it "
                                  "between 1 and 1000"));
    std::vector<slot_t> order;
    const auto rows = row_ids(*index.base_index);
    if (rows) {
      for (id_t id : *rows) {
        if (static_cast<size_t>(id) >= stored)
          throw UnsupportedError(text("the base index has the id ", id,
                                      " but the refining index has ", stored,
                                      " vectors; add through the ", index.class_name()));
        order.push_back(static_cast<slot_t>(id));
      }
    }
    header("IxRF", index);
    write_rows(*index.base_index);
    write_codes(*index.refine_index, rows ? &order : nullptr);
    put(index.k_factor);
  }

  void write_pre_transform(const IndexPreTransform& index) {
    const auto chain = index.chain();
    header("IxPT", index);
    put(static_cast<int32_t>(chain.size()));
    for (const auto& transform : chain) faiss_format::write_transform(*transform, *this);
    write_rows(*index.index);
  }
};

}  // namespace

void write_faiss(const Index& index, io::Sink& sink) {
  const ReadLocks held = lock_for_reading(index);
  Writer(sink).write(index);
}

}  // namespace shortlist
