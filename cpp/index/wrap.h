// Indexes around an index: IndexIDMap names its rows, IndexRefine rescores its results.
#pragma once

#include <unordered_map>

#include "index/flat.h"

namespace shortlist {

// The user's ids over an index that numbers its rows.
class IndexIDMap : public Index {
 public:
  explicit IndexIDMap(std::shared_ptr<Index> index);  // must be empty
  IndexIDMap(std::shared_ptr<Index> index,
             std::vector<id_t> id_map);  // for readers of saved indexes
  std::string class_name() const override { return "IndexIDMap"; }

  // Whether a vector is found by its id.
  virtual bool finds_by_id() const { return false; }

  const std::shared_ptr<Index> index;
  // id_map[i] is the user's id of the inner id i; kNoId where the inner index dropped it.
  const std::vector<id_t>& id_map() const { return id_map_; }

  std::string summary() const override { return index->class_name() + ": " + index->summary(); }
  size_t ntotal() const override { return index->ntotal(); }
  bool is_trained() const override { return index->is_trained(); }
  id_t next_id() const override { return static_cast<id_t>(id_map_.size()); }
  float margin(const float* q) const override { return index->margin(q); }
  void check_compatible_for_merge(const Index& other) const override;
  size_t memory() const override;
  size_t sa_code_size() const override { return index->sa_code_size(); }

 protected:
  void do_train(const Rows& x) override;
  void do_train_for(const Rows& x, const Rows& queries,
                    std::optional<Objective> objective) override;
  void do_expect(const Rows& x, const id_t* ids) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  bool do_settle() override;
  size_t rows_in_turn() const override { return index->rows_in_turn(); }
  void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) override;
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  RangeResult do_range_search(const Rows& x, float radius,
                              const SearchParameters* params) const override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override;
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  void renamed();  // id_map_ changed
  void name_results(id_t* labels, size_t n) const;
  void check_rows() const;
  std::shared_ptr<const SelectedSlots> rows_of(const Selector& sel) const;
  std::shared_ptr<SearchParameters> inward(const SearchParameters* params) const;

  std::vector<id_t> id_map_;
  uint64_t version_ = next_version();

 private:
  using Positions = std::unordered_map<id_t, id_t>;
  std::shared_ptr<const Positions> positions() const;

  mutable RwLock positions_lock_;  // a std::mutex could stay locked in a forked child
  mutable std::shared_ptr<const Positions> positions_;  // built when first asked for
};

// IndexIDMap that also finds a vector by its id.
class IndexIDMap2 final : public IndexIDMap {
 public:
  using IndexIDMap::IndexIDMap;
  std::string class_name() const override { return "IndexIDMap2"; }
  bool finds_by_id() const override { return true; }
};

// Takes k * k_factor candidates from `base_index` and orders them by `refine_index`'s distances;
// those that cannot be among the k nearest by the base's margin are left out.
class IndexRefine : public Index {
 public:
  IndexRefine(std::shared_ptr<Index> base_index, std::shared_ptr<IndexFlatCodes> refine_index);
  std::string class_name() const override { return "IndexRefine"; }

  const std::shared_ptr<Index> base_index;
  const std::shared_ptr<IndexFlatCodes> refine_index;
  float k_factor = 1;

  std::string summary() const override {
    return base_index->class_name() + ": " + base_index->summary() + "; refined by " +
           refine_index->summary();
  }
  size_t ntotal() const override { return base_index->ntotal(); }
  id_t next_id() const override { return refine_index->next_id(); }
  bool is_trained() const override {
    return base_index->is_trained() && refine_index->is_trained();
  }
  size_t memory() const override { return base_index->memory() + refine_index->memory(); }
  size_t sa_code_size() const override { return refine_index->sa_code_size(); }

 protected:
  void do_train(const Rows& x) override;
  void do_train_for(const Rows& x, const Rows& queries,
                    std::optional<Objective> objective) override;
  void do_expect(const Rows& x, const id_t* ids) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  bool do_settle() override;
  size_t rows_in_turn() const override { return base_index->rows_in_turn(); }
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  RangeResult do_range_search(const Rows& x, float radius,
                              const SearchParameters* params) const override;
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;

 private:
  slot_t row_of(id_t id) const;
  void check_rows() const;
  std::shared_ptr<const SearchParameters> inward(const SearchParameters* params) const;
};

class IndexRefineFlat final : public IndexRefine {
 public:
  explicit IndexRefineFlat(std::shared_ptr<Index> base_index);  // the base must be empty
  IndexRefineFlat(std::shared_ptr<Index> base_index, std::shared_ptr<IndexFlatCodes> refine_index)
      : IndexRefine(std::move(base_index), std::move(refine_index)) {}
  std::string class_name() const override { return "IndexRefineFlat"; }
};

}  // namespace shortlist
