// IndexSDCVersions: codes of several embedding models, searched together by queries of the newest.
#pragma once

#include "codec/oddint/reading.h"
#include "index/sdc.h"

namespace shortlist {

// Rows are those of the oldest part first; what is added is of the newest model.
class IndexSDCVersions final : public IndexRows {
 public:
  struct Older {
    std::shared_ptr<IndexSDC> index;
    OddIntReading reading;
  };
  // Parts stay shared; change them through this index only. The centres of readings are those of
  // `newest`. Throws ArgumentError where a reading does not fit, UnsupportedError unless the metric
  // of all is the inner product.
  IndexSDCVersions(std::vector<Older> older, std::shared_ptr<IndexSDC> newest);

  const std::vector<Older>& older() const { return older_; }
  const std::shared_ptr<IndexSDC> newest;
  // The version of each row, 0 for the oldest part's.
  std::vector<int32_t> versions() const;

  std::string class_name() const override { return "IndexSDCVersions"; }
  std::string summary() const override;
  size_t ntotal() const override;
  bool is_trained() const override { return newest->is_trained(); }
  size_t memory() const override;
  size_t sa_code_size() const override { return newest->sa_code_size(); }

 protected:
  void do_train(const Rows& x) override { newest->train(x); }
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  void make_room(size_t) override {}  // adding does it
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
               const SearchParameters* params, Hits& hits) const override;
  void within(const Rows& x, float radius, const SelectedSlots* allowed,
              const SearchParameters* params, Hits& hits) const override;
  void row(size_t i, float* out) const override;

 private:
  // Calls visit(part, its reading or null, its first row), from the oldest on, each part locked for
  // reading.
  template <class Visit>
  void each_part(const Visit& visit) const;
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed, bool sure, Hits& hits) const;

  const std::vector<Older> older_;
};

}  // namespace shortlist
