// Index: a structure times a codec, under a metric, in faiss's words.
//
// The public functions check their arguments, take the lock and call the do_* function of the
// class. Searching is safe from many threads; changing an index waits for its readers. What takes
// long is done in turns of some milliseconds, between which readers get in.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rwlock.h"
#include "base/selector.h"
#include "base/threads.h"
#include "base/types.h"

namespace shortlist {

struct SearchParameters {
  using SelectorPtr = std::shared_ptr<const Selector>;
  using SelectorMap = std::function<SelectorPtr(const SelectorPtr&)>;

  virtual ~SearchParameters() = default;
  // A copy, of nested parameters too, whose selectors went through `map`.
  virtual std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const {
    return copy_as(*this, map);
  }

  SelectorPtr sel;  // null: every id

 protected:
  template <class T>
  static std::shared_ptr<T> copy_as(const T& params, const SelectorMap& map) {
    auto out = std::make_shared<T>(params);
    if (out->sel) out->sel = map(out->sel);
    return out;
  }
};
struct SearchParametersHNSW final : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    return copy_as(*this, map);
  }
  int efSearch = 16;
  bool check_relative_distance = true;  // faiss's field; our search always stops on distance
  bool bounded_queue = true;            // faiss's field; our queue is always bounded
};
struct IndexRefineSearchParameters final : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    auto out = copy_as(*this, map);
    if (out->base_index_params) out->base_index_params = out->base_index_params->copy(map);
    return out;
  }
  float k_factor = 1;
  std::shared_ptr<const SearchParameters> base_index_params;
};

struct SearchParametersPreTransform final : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    auto out = copy_as(*this, map);
    if (out->index_params) out->index_params = out->index_params->copy(map);
    return out;
  }
  std::shared_ptr<const SearchParameters> index_params;
};
// What an inner index is searched with: its own parameters, or none (null), and the outer selector
// beside theirs.
std::shared_ptr<SearchParameters> inner_parameters(const SearchParameters* own,
                                                   const SearchParameters::SelectorPtr& outer);

// Results of range_search: those of query i are [lims[i], lims[i + 1]).
struct RangeResult {
  std::vector<uint64_t> lims;
  std::vector<float> distances;
  std::vector<id_t> labels;
};

struct AddOptions {
  bool allow_nan = false;
  ProgressFn progress;
};

class Index {
 public:
  Index(size_t d, Metric metric);  // throws ArgumentError unless 1 <= d <= 2^20
  virtual ~Index() = default;
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  size_t d;  // changes only where an IndexPreTransform gets a transform more
  const Metric metric_type;
  bool verbose = false;

  virtual std::string class_name() const = 0;  // the name faiss and Python know
  virtual std::string summary() const = 0;     // what else a one-line description should say
  virtual size_t ntotal() const = 0;           // vectors a search can return
  virtual bool is_trained() const { return true; }
  virtual size_t memory() const = 0;                          // bytes held by codes, links and ids
  virtual bool keeps_ids_on_remove() const { return false; }  // false: rows behind are renumbered
  // Whether the last of the d values is no dimension, but what is added to distances: see
  // ProductQuantizer.
  virtual bool takes_offset() const { return false; }
  // How far a distance that a search for q tells may be above the true one, but for one vector in a
  // thousand; +inf where that is not known.
  virtual float margin(const float* /*q*/) const { return std::numeric_limits<float>::infinity(); }
  virtual id_t next_id() const { return static_cast<id_t>(ntotal()); }  // what add issues next

  void train(const Rows& x);
  // For queries like these, where a QueryAwareTransform stands before the index.
  void train_for(const Rows& x, const Rows& queries, std::optional<Objective> objective);
  void add(const Rows& x, const AddOptions& options = {});
  void add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options = {});
  // D and I hold n * k values; missing results are (kNoId, +-FLT_MAX).
  void search(const Rows& x, size_t k, float* distances, id_t* labels,
              const SearchParameters* params = nullptr) const;
  // As search, but over every vector, whatever the structure: exact for the stored codes.
  void search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const;
  RangeResult range_search(const Rows& x, float radius,
                           const SearchParameters* params = nullptr) const;
  size_t remove_ids(const Selector& sel);
  void reset();
  // `width` is what the caller took d for, unless 0: throws DimensionError where it is another now.
  void reconstruct_batch(const id_t* ids, size_t n, float* out, size_t width = 0) const;
  // Moves the vectors of `other` behind ours and leaves it empty; ids grow by add_id where ids are
  // kept.
  void merge_from(Index& other, id_t add_id);
  virtual void check_compatible_for_merge(const Index& other) const;

  // Codes of vectors outside any index.
  virtual size_t sa_code_size() const;
  void sa_encode(const Rows& x, std::byte* codes) const;
  void sa_decode(const std::byte* codes, size_t n, float* x, size_t width = 0) const;

  // Rewraps an exact range/knn distance between ours ("smaller is nearer") and the user's sign.
  float outward(float distance) const { return metric_type == Metric::l2 ? distance : -distance; }

  // Shared while reading, exclusive while changing; wrappers lock themselves, then what they wrap.
  RwLock& lock() const { return lock_; }

 protected:
  friend class IndexIDMap;
  friend class IndexPreTransform;
  friend class IndexRefine;

  virtual void do_train(const Rows&) {}
  virtual void do_train_for(const Rows& x, const Rows& queries, std::optional<Objective> objective);
  // Before any of the rows is stored (under `ids`, unless null): throws where that cannot be, and
  // takes the memory in one piece.
  virtual void do_expect(const Rows&, const id_t* /*ids*/) {}
  virtual void do_add(const Rows& x, const AddOptions& options) = 0;
  virtual void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options);
  virtual void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                         const SearchParameters* params) const = 0;
  virtual void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const = 0;
  virtual RangeResult do_range_search(const Rows& x, float radius,
                                      const SearchParameters* params) const;
  virtual size_t do_remove(const Selector& sel);
  // What changes leave to be done, for a turn; returns whether some is left.
  virtual bool do_settle() { return false; }
  virtual void do_reset() = 0;
  virtual void do_reconstruct(id_t id, float* out) const = 0;
  virtual void do_reconstruct_batch(const id_t* ids, size_t n, float* out) const;
  virtual void do_merge(Index& other, id_t add_id);
  virtual void do_sa_encode(const Rows& x, std::byte* codes) const;
  virtual void do_sa_decode(const std::byte* codes, size_t n, float* x) const;

  // How many rows are added before searches get in: a number, not a time, so that the same input
  // makes the same index.
  virtual size_t rows_in_turn() const { return 4096; }
  // Stores x in such parts; store(part, at, options) stores the rows from `at` on.
  using Store = std::function<void(const Rows& part, size_t at, const AddOptions& options)>;
  void in_turns(const Rows& x, const AddOptions& options, const Store& store);
  void settle();

  void check_dimension(const Rows& x) const;
  void check_width(size_t width) const;
  void check_search(const Rows& x, size_t k) const;
  void check_trained(const char* verb) const;
  [[noreturn]] void unsupported(const char* what, const char* fix) const;

 private:
  mutable RwLock lock_;
};

// Copies an index, whatever its class (through the native container).
std::shared_ptr<Index> clone_index(const Index& index);

}  // namespace shortlist
