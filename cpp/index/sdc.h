// Odd-integer codes, compared all or along a graph.
#pragma once

#include "flat/oddint.h"
#include "index/hnsw.h"
#include "index/in_blocks.h"

namespace shortlist {

// Exhaustive search, in blocks.
class IndexSDC : public IndexInBlocks<OddIntCodec, OddIntBlocks> {
 public:
  explicit IndexSDC(std::shared_ptr<OddIntCodec> codec)
      : IndexInBlocks(codec, codec->metric), sdc(std::move(codec)) {}
  std::string class_name() const override { return "IndexSDC"; }
  float margin(const float* q) const override { return sdc->margin(q); }
  const std::shared_ptr<OddIntCodec> sdc;

 protected:
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
               const SearchParameters* params, Hits& hits) const override;
  void within(const Rows& x, float radius, const SelectedSlots* allowed,
              const SearchParameters* params, Hits& hits) const override;
  virtual OddIntBlocks::How how(const SearchParameters* /*params*/) const {
    return {.coded = sdc->symmetric};
  }
};

// The same codes one by one, as graphs read them.
class IndexSDCRows final : public IndexFlatCodes {
 public:
  explicit IndexSDCRows(std::shared_ptr<OddIntCodec> codec)
      : IndexFlatCodes(codec, codec->metric), sdc(std::move(codec)) {}
  std::string class_name() const override { return "IndexSDCRows"; }
  float margin(const float* q) const override { return sdc->margin(q); }
  const std::shared_ptr<OddIntCodec> sdc;
};

class IndexHNSWSDC final : public IndexHNSW {
 public:
  IndexHNSWSDC(std::shared_ptr<OddIntCodec> codec, size_t M)
      : IndexHNSW(std::make_shared<IndexSDCRows>(std::move(codec)), M) {}
  IndexHNSWSDC(std::shared_ptr<IndexFlatCodes> storage, size_t M)
      : IndexHNSW(std::move(storage), M) {}
  std::string class_name() const override { return "IndexHNSWSDC"; }
};

}  // namespace shortlist
