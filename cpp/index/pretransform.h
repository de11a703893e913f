// IndexPreTransform: an index behind transforms of its vectors.
#pragma once

#include "codec/transform/transform.h"
#include "index/index.h"

namespace shortlist {

// Vectors and queries go through `chain`, first to last, to `index`, whose distances are returned.
// An index that takes offsets is given, behind what the chain makes of a query q, |q|^2, and of a
// vector x |x'|^2, where x' is what its code stands for: distances are |q - x'|^2. A query-aware
// transform that found so adds |x - x'|^2, the rest of |q - x|^2 but for the product
// 2 <q - x', x - x'>, whose mean over the vectors of a code is 0.
class IndexPreTransform final : public Index {
 public:
  using Chain = std::vector<std::shared_ptr<VectorTransform>>;

  // Throws DimensionError where the parts do not fit together.
  explicit IndexPreTransform(std::shared_ptr<Index> index, Chain chain = {});
  std::string class_name() const override { return "IndexPreTransform"; }

  const std::shared_ptr<Index> index;
  Chain chain() const;
  // d becomes what `transform` takes.
  void prepend_transform(std::shared_ptr<VectorTransform> transform);

  // Of a vector x whose code stands for y.
  static float offset_of(const float* x, const float* y, size_t d, bool residual);

  // Vectors as `index` sees them, and back.
  std::vector<float> apply_chain(const Rows& x) const;
  std::vector<float> reverse_chain(Matrix<const float> y) const;

  std::string summary() const override;
  size_t ntotal() const override { return index->ntotal(); }
  bool is_trained() const override;
  size_t memory() const override;
  bool keeps_ids_on_remove() const override { return index->keeps_ids_on_remove(); }
  id_t next_id() const override { return index->next_id(); }
  void check_compatible_for_merge(const Index& other) const override;
  size_t sa_code_size() const override { return index->sa_code_size(); }

 protected:
  void do_train(const Rows& x) override;
  void do_train_for(const Rows& x, const Rows& queries,
                    std::optional<Objective> objective) override;
  void do_expect(const Rows& x, const id_t* ids) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) override;
  bool do_settle() override;
  size_t rows_in_turn() const override { return index->rows_in_turn(); }
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  RangeResult do_range_search(const Rows& x, float radius,
                              const SearchParameters* params) const override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override { index->reset(); }
  void do_reconstruct(id_t id, float* out) const override;
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;

 private:
  // Vectors behind the chain: where it is empty the user's own, whatever their dtype.
  struct Transformed {
    std::vector<float> own;
    Rows rows;
  };
  Transformed transformed(const Rows& x, bool queries = false) const;
  Transformed with_offsets(const Rows& x) const;  // of vectors to be stored
  size_t d_behind() const { return index->d - (index->takes_offset() ? 1 : 0); }

  mutable RwLock chain_lock_;  // of the list; each transform has a lock of its own
  Chain chain_;
};

}  // namespace shortlist
