// IndexSPANN: posting lists on disk, of which a search reads those of the nearest centroids (Chen
// et al. 2021, SPANN, arXiv 2111.08566).
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "index/ivf.h"
#include "spann/best.h"
#include "spann/cache.h"
#include "spann/ids.h"
#include "spann/postings.h"
#include "spann/vectors.h"

namespace shortlist {

struct SearchParametersSPANN final : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    return copy_as(*this, map);
  }
  size_t nprobe = 32;                                      // postings, at most
  float epsilon = std::numeric_limits<float>::infinity();  // see IndexSPANN
  int efSearch = 0;                                        // of the centroids' graph; 0: by nprobe
  float k_factor = 4;  // candidates that are compared again, for each of the k, if codes are coarse
  bool partial = false;  // postings that cannot be read are left out, and counted in `lost`
  std::shared_ptr<std::atomic<uint64_t>> lost = std::make_shared<std::atomic<uint64_t>>(0);
};

// What an index on disk is made of.
struct SpannParts {
  std::shared_ptr<Index> centroids;   // one for each posting, ids from 0
  std::shared_ptr<IndexIVF> codes;    // whose form postings have; its lists are not looked at
  std::shared_ptr<IndexIVF> vectors;  // likewise of whole vectors, of `vector_files` and additions
  std::vector<std::string> postings;  // files
  std::vector<std::string> vector_files;  // none where postings hold whole vectors
  std::vector<slot_t> parents;  // of the last postings: relative to whose centroid codes are
  std::string ids;              // the file of them
  size_t ntotal = 0;            // vectors in the files
  id_t next_id = 0;
  float radius = 0;  // how far vectors are from their centroid, in the mean
};

// Postings are read with one round of requests for a query, or a group of them. Of the nprobe
// nearest those are left out whose centroid is more than (1 + epsilon) times as far as the nearest,
// or as vectors are from their centroid in the mean, whichever is more.
//
// What is added or removed is kept in memory: a vector under an id that is there takes its place.
class IndexSPANN : public Index {
 public:
  // Throws what reading files does, and CorruptIndexError for parts that do not fit together.
  IndexSPANN(SpannParts parts, Metric metric, io::Backend backend, io::Caching caching);
  ~IndexSPANN() override;
  std::string class_name() const override { return "IndexSPANN"; }

  std::atomic<size_t> nprobe = 32;
  std::atomic<float> epsilon = std::numeric_limits<float>::infinity();
  std::atomic<int> efSearch = 0;
  std::atomic<float> k_factor = 4;

  // How many bytes of postings are kept in memory.
  size_t cache_bytes() const { return cache_.capacity(); }
  void set_cache_bytes(size_t bytes) { cache_.resize(bytes); }

  const std::shared_ptr<Index>& centroids() const { return parts_.centroids; }
  const spann::PostingFiles& postings() const { return postings_; }
  bool reranks() const { return vector_files_ != nullptr; }
  std::string io_backend() const { return postings_.files().backend(); }
  size_t added() const { return added_.size(); }
  size_t hidden() const { return hidden_.size(); }
  std::vector<id_t> hidden_ids() const;  // ascending

  // Since the index was opened.
  struct Stats {
    std::atomic<uint64_t> queries = 0, probes = 0, probe_bytes = 0, cached = 0, reads = 0,
                          bytes = 0, scanned = 0, compared = 0;
  };
  Stats& stats() const { return stats_; }
  // Reads every byte of the files. Throws CorruptIndexError.
  void verify() const;
  // Whether each id is there.
  std::vector<bool> has(std::span<const id_t> ids) const;
  // The ids that a selector chooses, ascending; reads the file of ids.
  std::vector<id_t> members(const Selector& sel) const;

  std::string summary() const override;
  size_t ntotal() const override {
    const size_t all = parts_.ntotal + added_.size();
    return all - std::min(all, hidden_.size());
  }
  size_t memory() const override;
  bool keeps_ids_on_remove() const override { return true; }
  id_t next_id() const override { return parts_.next_id; }
  // Ids below are not issued.
  void reserve_ids(id_t end) { parts_.next_id = std::max(parts_.next_id, end); }
  size_t sa_code_size() const override { return form_->code_size(); }

 protected:
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) override;
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override { do_reconstruct_batch(&id, 1, out); }
  void do_reconstruct_batch(const id_t* ids, size_t n, float* out) const override;

 private:
  struct Probing;
  struct Group;
  struct Scratch;
  Probing probing(const SearchParameters* params) const;
  void search_by(const Rows& x, size_t k, const Probing& how, float* distances, id_t* labels) const;
  void find_postings(const Rows& x, const Probing& how, Group& group) const;
  void scan_postings(Group& group, const Probing& how, Scratch& scratch) const;
  void read_postings(std::span<const slot_t> numbers, const Probing& how, Scratch& scratch,
                     const spann::PostingFiles::Each& each) const;
  void scan_added(Group& group, const Probing& how, Scratch& scratch) const;
  void compare_again(Group& group, const Probing& how, size_t k, Scratch& scratch) const;
  bool shown(id_t id, const Selector* sel) const {
    return (hidden_.empty() || !hidden_.contains(id)) && (!sel || sel->is_member(id));
  }
  std::unique_ptr<Scratch> scratch() const;
  // What a selector chooses: of what was added, and of what the files hold and is not hidden.
  struct Members {
    std::vector<id_t> added, in_files;
  };
  Members find_members(const Selector& sel) const;
  struct Wanted {
    uint64_t place;
    id_t id;
    size_t row;  // of what is asked for
  };
  void reconstruct_rows(std::span<const Wanted> wanted, float* out) const;
  void reconstruct_in_postings(std::span<const Wanted> wanted, float* out) const;

  SpannParts parts_;
  const spann::PostingFiles postings_;
  std::unique_ptr<const spann::VectorFiles> vector_files_;
  const spann::IdFile ids_;
  const std::shared_ptr<lists::Form> form_, whole_;
  // Vectors since the files were made: of each id its row in the list, and the ids whose vector in
  // the files counts no more; those that were added again are in both.
  std::unique_ptr<lists::List> added_codes_;
  std::vector<id_t> added_ids_;
  std::unordered_map<id_t, size_t> added_;
  std::unordered_set<id_t> hidden_;
  mutable Stats stats_;
  mutable spann::PostingCache cache_;
  mutable std::mutex spare_lock_;
  mutable std::vector<std::unique_ptr<Scratch>> spare_;
};

}  // namespace shortlist
