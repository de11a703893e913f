// IndexIVF and its faiss names: a quantizer that finds lists, and the codes in them.
#pragma once

#include <atomic>
#include <optional>

#include "cluster/assign.h"
#include "cluster/kmeans.h"
#include "codec/oddint/codec.h"
#include "codec/product.h"
#include "codec/scalar.h"
#include "index/index.h"
#include "ivf/ivf.h"

namespace shortlist {

struct SearchParametersIVF : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    return copy_as(*this, map);
  }
  size_t nprobe = 1;
  size_t max_codes = 0;
  std::shared_ptr<const SearchParameters> quantizer_params;
};

// A vector is kept in the list of the centroid that `quantizer` finds nearest; a search looks at
// the nprobe nearest lists. Ids are the user's, or follow one another; removing leaves the others
// as they are.
class IndexIVF : public Index {
 public:
  // Throws ArgumentError unless nlist is at least 1 and the quantizer is of the same dimensions
  // and, if it holds vectors, holds nlist.
  IndexIVF(std::shared_ptr<Index> quantizer, size_t d, size_t nlist, Metric metric,
           std::shared_ptr<lists::Form> form);

  const std::shared_ptr<Index> quantizer;
  std::atomic<size_t> nprobe = 1, max_codes = 0;
  // How train finds centroids, and by whom: 0 k-means over the quantizer's metric, 1 the
  // quantizer's own training, 2 k-means, after which the quantizer is given the centroids.
  cluster::Options cp;
  int quantizer_trains_alone = 0;

  const Ivf& ivf() const { return ivf_; }
  size_t nlist() const { return ivf_.nlist; }
  bool by_residual() const { return ivf_.form->by_residual; }
  // Throws ArgumentError once codes are trained or there are vectors, and where it is no choice.
  void set_by_residual(bool wanted);
  // A second list for each vector, of lambda above 0 (cluster/soar.h); 0 for none. Throws
  // ArgumentError once there are vectors, and for other values.
  float soar_lambda() const { return soar_lambda_; }
  void set_soar_lambda(float lambda);
  // The nearest lists of each row and the distances to their centroids, "smaller is nearer".
  void nearest_lists(const Rows& x, size_t n, const SearchParameters* quantizer_params, float* near,
                     slot_t* lists) const;
  void make_direct_map() const { ivf_.make_direct_map(); }

  // Which lists each query looks at, found elsewhere, nearest first: `n` of each query, -1 where
  // there are fewer, and how far their centroids are in the metric's sign, or null to have that
  // computed.
  struct Preassigned {
    const id_t* lists;
    const float* near;
    size_t n;
  };
  // As search and range_search, but in these lists. Throw IdError for a list that is not there,
  // ArgumentError for a distance to one that is no number.
  void search_preassigned(const Rows& x, const Preassigned& lists, size_t k, float* distances,
                          id_t* labels, const SearchParameters* params = nullptr) const;
  RangeResult range_search_preassigned(const Rows& x, const Preassigned& lists, float radius,
                                       const SearchParameters* params = nullptr) const;

  // Which vectors copy_subset_to takes; faiss's numbers.
  enum class Subset : int {
    id_range = 0,       // a1 <= id < a2
    id_mod = 1,         // id % a1 == a2
    element_range = 2,  // numbers a1 to a2 of ntotal, as even a share of each list as there is
    list_fraction = 3,  // part a2 of the a1 parts of each list
    list_range = 4,     // a1 <= list < a2
  };
  // Copies some vectors, ids and all, behind those of an index that was trained with this one.
  // Throws ArgumentError where both do not fit, or for numbers that make no sense.
  void copy_subset_to(IndexIVF& other, Subset kind, id_t a1, id_t a2) const;

  // Adds n codes as sa_encode makes them, under ids or, where null, the numbers that add gives. All
  // of them or none. Throws ArgumentError for a list that is not there, IdError as add_with_ids,
  // UnsupportedError where vectors are in two lists.
  void add_sa_codes(const std::byte* codes, size_t n, const id_t* ids);

  // For readers of saved indexes: after the quantizer is whole.
  void restore(bool trained, id_t next);
  void restore_list(size_t list, const std::byte* codes, const id_t* ids, size_t n) {
    ivf_.append(list, codes, ids, n);
  }
  void restored() { ivf_.appended(); }  // after the last list

  std::string summary() const override;
  size_t ntotal() const override { return ivf_.size() / copies(); }
  bool is_trained() const override { return trained_; }
  size_t memory() const override {
    return ivf_.memory() + quantizer->memory() + (nearest_ ? nearest_->memory() : 0);
  }
  bool keeps_ids_on_remove() const override { return true; }
  id_t next_id() const override { return next_; }
  void check_compatible_for_merge(const Index& other) const override;
  // A list's number, in as few bytes as hold it, and a code.
  size_t sa_code_size() const override { return coarse_code_size() + ivf_.form->faiss_size(); }
  size_t code_size() const { return ivf_.form->code_size(); }
  size_t coarse_code_size() const;

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
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override { ivf_.reconstruct(id, out); }
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  size_t rows_in_turn() const override { return 16384; }

  size_t list_of_code(const std::byte* codes, size_t i) const;
  void check_empty() const;  // before training anew; throws ArgumentError

 private:
  virtual bool chooses_residual() const { return true; }
  // `whole`: its distances are final. Otherwise a search takes `candidates` vectors for k results,
  // and they are ranked again.
  virtual std::unique_ptr<lists::Scanner> scanner(const SearchParameters* /*params*/,
                                                  bool /*whole*/) const {
    return ivf_.form->scanner();
  }
  virtual size_t candidates(size_t k) const { return k; }
  virtual void rank_again(const float* /*q*/, std::vector<hit_t>& /*hits*/) const {}
  struct Probing {
    size_t nprobe, max_codes;
    const SearchParameters* params = nullptr;
    const SearchParameters* quantizer_params = nullptr;
    const Preassigned* lists = nullptr;
    bool whole = false;
  };
  Probing probing(const SearchParameters* params) const;
  Probing probing(const Rows& x, const Preassigned& lists, const SearchParameters* params) const;
  // Of x, the rows from `at` on of all queries.
  void find_lists(const Rows& x, size_t at, const Probing& how, float* near, slot_t* lists) const;
  // The distance of each row to the centroids of its n lists.
  void measure(const Rows& x, size_t n, const slot_t* lists, float* near) const;
  void search_in(const Rows& x, const Probing& how, size_t k, float* distances, id_t* labels) const;
  RangeResult range_search_in(const Rows& x, Probing how, float radius) const;
  std::vector<slot_t> assign(Matrix<const float> x) const;
  size_t copies() const { return soar_lambda_ > 0 ? 2 : 1; }  // of each vector, in other lists
  std::vector<slot_t> assign_twice(Matrix<const float> x) const;
  // The nearest of each id, nearest first, where vectors are in two lists.
  std::vector<hit_t> once(std::vector<hit_t> hits) const;
  void train_quantizer(Matrix<const float> x);
  void take_centroids();
  // Calls each(i, q, found) with what query i, q, found, about `kept` of them, on any thread.
  template <class Make, class Each>
  void scan_all(const Rows& x, const Probing& how, size_t kept, const SelectedSlots* allowed,
                const Make& make, const Each& each) const;

  Ivf ivf_;
  std::optional<cluster::Nearest> nearest_;  // of an exact quantizer's centroids
  bool trained_ = false;
  float soar_lambda_ = 0;
  id_t next_ = 0;
};

class IndexIVFFlat final : public IndexIVF {
 public:
  IndexIVFFlat(std::shared_ptr<Index> quantizer, size_t d, size_t nlist, Metric metric = Metric::l2,
               DType dtype = DType::f32);
  std::string class_name() const override { return "IndexIVFFlat"; }
  const DType dtype;  // of the stored vectors

 private:
  bool chooses_residual() const override { return false; }
};

class IndexIVFScalarQuantizer final : public IndexIVF {
 public:
  IndexIVFScalarQuantizer(std::shared_ptr<Index> quantizer, size_t nlist,
                          std::shared_ptr<ScalarQuantizer> sq, Metric metric,
                          bool by_residual = true);
  std::string class_name() const override { return "IndexIVFScalarQuantizer"; }
  const std::shared_ptr<ScalarQuantizer> sq;
};

class IndexIVFPQ : public IndexIVF {
 public:
  IndexIVFPQ(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<ProductQuantizer> pq,
             Metric metric, bool by_residual = true);
  std::string class_name() const override { return "IndexIVFPQ"; }
  const std::shared_ptr<ProductQuantizer> pq;

 protected:
  IndexIVFPQ(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<ProductQuantizer> pq,
             Metric metric, std::shared_ptr<lists::Form> form);
};

class IndexIVFPQFastScan final : public IndexIVF {
 public:
  // Throws ArgumentError unless parts have 4 bits and bbs is a multiple of 32.
  IndexIVFPQFastScan(std::shared_ptr<Index> quantizer, size_t nlist,
                     std::shared_ptr<ProductQuantizer> pq, Metric metric, int bbs = 32,
                     bool by_residual = false);
  std::string class_name() const override { return "IndexIVFPQFastScan"; }
  const std::shared_ptr<ProductQuantizer> pq;
  const int bbs;
  // faiss's fields of how it searches, for its files.
  int implem = 0;
  size_t qbs2 = 0;
};

class IndexIVFSDC final : public IndexIVF {
 public:
  IndexIVFSDC(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<OddIntCodec> codec);
  std::string class_name() const override { return "IndexIVFSDC"; }
  const std::shared_ptr<OddIntCodec> sdc;

 private:
  bool chooses_residual() const override { return false; }  // its encoder does
};

}  // namespace shortlist
