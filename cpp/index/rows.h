// IndexRows: what indexes share that keep vectors in the order they came and look at all of them.
#pragma once

#include "base/hit.h"
#include "index/index.h"

namespace shortlist {

// Ids are row numbers, so removing renumbers the rows behind (as in faiss).
class IndexRows : public Index {
 public:
  using Index::Index;

 protected:
  using Hits = std::vector<std::vector<hit_t>>;  // of each query

  void do_expect(const Rows& x, const id_t* ids) override;
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  RangeResult do_range_search(const Rows& x, float radius,
                              const SearchParameters* params) const override;
  void do_reconstruct(id_t id, float* out) const override;

  virtual void make_room(size_t n) = 0;
  virtual void nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
                       const SearchParameters* params, Hits& hits) const = 0;
  virtual void within(const Rows& x, float radius, const SelectedSlots* allowed,
                      const SearchParameters* params, Hits& hits) const = 0;
  virtual void row(size_t i, float* out) const = 0;

  void check_fits(size_t n) const;  // n rows more; throws ArgumentError
  void check_empty() const;         // before training anew; throws ArgumentError
  void write(const Hits& hits, size_t k, float* distances, id_t* labels) const;
};

// Writes hits as faiss's (distances, labels) rows of k, padded; `ids` may be null (id == slot).
void write_hits(const Index& index, const std::vector<hit_t>& hits, size_t k, const id_t* ids,
                float* distances, id_t* labels);
RangeResult gather_ranges(const Index& index, const std::vector<hit_t>* hits, size_t n,
                          const id_t* ids);

}  // namespace shortlist
