// IndexHNSW and its faiss names: a graph over the codes of a storage index.
#pragma once

#include <unordered_map>

#include "graph/hnsw.h"
#include "index/building.h"
#include "index/flat.h"
#include "index/traversal.h"

namespace shortlist {

// Ids are issued in order and never reissued; removing one hides it at once and its slot is
// reused later. Searching is approximate: efSearch trades speed for recall.
class IndexHNSW : public Index {
 public:
  IndexHNSW(std::shared_ptr<IndexFlatCodes> storage, size_t M);
  std::string class_name() const override { return "IndexHNSW"; }

  const std::shared_ptr<Hnsw> hnsw;               // shared: an alias may outlive the index
  const std::shared_ptr<IndexFlatCodes> storage;  // likewise; row = slot

  std::string summary() const override;
  size_t ntotal() const override { return hnsw->live(); }
  bool is_trained() const override { return storage->is_trained(); }
  size_t memory() const override;
  bool keeps_ids_on_remove() const override { return true; }
  id_t next_id() const override {
    return names_.kept ? names_.next : static_cast<id_t>(hnsw->size());
  }
  void check_compatible_for_merge(const Index& other) const override;
  size_t sa_code_size() const override { return storage->sa_code_size(); }
  float margin(const float* q) const override { return storage->margin(q); }

  // Whether searches go through neighbour blocks, see graph/blocks.h: faster, for more memory.
  bool neighbor_blocks() const { return hnsw->has_blocks(); }
  void use_neighbor_blocks(bool wanted);
  void restore_neighbor_blocks(std::span<const slot_t> links);  // for readers, after restore

  // Whether float vectors are also kept as int8 codes that the graph is built and walked by, where
  // such codes tell neighbours apart; results come from the vectors.
  bool int8_traversal() const { return int8_traversal_; }
  // The setting of a new index: where codes are small beside the vectors.
  static bool codes_gain(const IndexFlatCodes& storage);
  bool walks_codes() const { return codes_.in_use(); }
  void use_int8_traversal(bool wanted);

  // Gives back the floats that the graph was built by, where its codes need such: they stay after
  // additions that were few beside the vectors already there, for the next ones.
  void release_building_vectors();

  // Replaces the vectors of ids that are present; the ids stay.
  void update_vectors(const Rows& x, const id_t* ids, const AddOptions& options = {});

  // Adds x to an empty index, with the links of the lowest level: 2 M of each row, numbers of other
  // rows, -1 for none. Throws ArgumentError on others. On an exception the index is empty.
  void add_with_links(const Rows& x, std::span<const id_t> links, const AddOptions& options = {});
  // Those links: next_id() * 2 M. Throws UnsupportedError where vectors were removed or named.
  std::vector<slot_t> links() const;

  // The names of slots. Not kept while id == slot, that is, until one is removed or named.
  struct Names {
    bool kept = false;
    std::vector<id_t> ids;  // by slot; kNoId where no live vector is
    std::unordered_map<id_t, slot_t> slot_of;
    id_t next = 0;  // the next id to issue, while kept
    uint64_t version = 0;
  };
  const Names& names() const { return names_; }
  // For readers of saved indexes; last.
  void restore(std::vector<id_t> ids, id_t next, bool int8_traversal);

 protected:
  void do_train(const Rows& x) override;
  void do_expect(const Rows& x, const id_t* ids) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) override;
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  RangeResult do_range_search(const Rows& x, float radius,
                              const SearchParameters* params) const override;
  size_t do_remove(const Selector& sel) override;
  size_t rows_in_turn() const override {
    return hnsw->deterministic ? Hnsw::kBatch : 64 * num_threads();
  }
  bool do_settle() override;
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override;
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;

 private:
  // Adds x under `ids`, or under the next ones if null; an id already present moves to the new
  // vector. `codes` are those of x, or null; so are `links`, of an index that was empty.
  void insert(const Rows& x, const id_t* ids, const AddOptions& options,
              const std::byte* codes = nullptr, std::span<const slot_t> links = {});
  void name(std::span<const slot_t> slots, const id_t* ids);
  void keep_names(size_t slots);
  void check_storage() const;
  void make_room(const Rows& x);
  void check_ids(size_t n, const id_t* ids, bool there) const;
  IdMap id_map() const;
  // What the graph is walked by, and what it is built by.
  Vectors walked() const { return codes_.of(storage->vectors()); }
  bool builds_by_floats() const { return !storage->codec().compares_decoded(); }
  Vectors built_by() const { return builds_by_floats() ? building_.of(metric_type) : walked(); }
  void check_builds_by_codes(const char* what) const;
  void follow(std::span<const slot_t> written);
  void follow_all();

  Names names_;
  bool int8_traversal_;
  TraversalCodes codes_;
  BuildingVectors building_;
  bool more_to_come_ = false;  // the last addition was small: the floats stay
};

class IndexHNSWFlat final : public IndexHNSW {
 public:
  IndexHNSWFlat(size_t d, size_t M, Metric metric = Metric::l2, DType dtype = DType::f32);
  IndexHNSWFlat(std::shared_ptr<IndexFlatCodes> storage, size_t M)
      : IndexHNSW(std::move(storage), M) {}
  std::string class_name() const override { return "IndexHNSWFlat"; }
};

class IndexHNSWSQ final : public IndexHNSW {
 public:
  IndexHNSWSQ(size_t d, QuantizerType qtype, size_t M, Metric metric = Metric::l2);
  IndexHNSWSQ(std::shared_ptr<IndexFlatCodes> storage, size_t M)
      : IndexHNSW(std::move(storage), M) {}
  std::string class_name() const override { return "IndexHNSWSQ"; }
};

class IndexHNSWPQ final : public IndexHNSW {
 public:
  IndexHNSWPQ(std::shared_ptr<ProductQuantizer> pq, size_t M, Metric metric = Metric::l2)
      : IndexHNSW(std::make_shared<IndexPQ>(std::move(pq), metric), M) {}
  IndexHNSWPQ(std::shared_ptr<IndexFlatCodes> storage, size_t M)
      : IndexHNSW(std::move(storage), M) {}
  std::string class_name() const override { return "IndexHNSWPQ"; }
};

}  // namespace shortlist
