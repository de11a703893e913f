// faiss's IndexIVFRaBitQ: lists of RaBitQ codes of what the centroids leave.
#pragma once

#include "codec/oddint/rabitq_codec.h"
#include "index/ivf.h"
#include "lists/blocks.h"

namespace shortlist {

struct IVFRaBitQSearchParameters final : SearchParametersIVF {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    return copy_as(*this, map);
  }
  QueryGrid grid{.bits = 4};
};

class IndexIVFRaBitQ : public IndexIVF {
 public:
  IndexIVFRaBitQ(std::shared_ptr<Index> quantizer, size_t nlist,
                 std::shared_ptr<RaBitQCodec> codec);

  std::atomic<int> qb = 4;  // how queries are rounded: QueryGrid

  const std::shared_ptr<RaBitQCodec> rabitq;
  std::string class_name() const override { return "IndexIVFRaBitQ"; }
  std::string summary() const override;

  void learn_from_codes();  // for readers of faiss's files, after the last list

 protected:
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  virtual QueryGrid grid() const { return {.bits = qb}; }
  virtual bool scans_bytes() const { return false; }

 private:
  IndexIVFRaBitQ(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<RaBitQCodec> codec,
                 std::shared_ptr<lists::RaBitQForm> form);
  bool chooses_residual() const override { return false; }
  std::unique_ptr<lists::Scanner> scanner(const SearchParameters* params,
                                          bool whole) const override;
  const std::shared_ptr<lists::RaBitQForm> form_;
};

class IndexIVFRaBitQFastScan final : public IndexIVFRaBitQ {
 public:
  // Throws ArgumentError unless bbs is a multiple of 32 up to kMostBlock.
  IndexIVFRaBitQFastScan(std::shared_ptr<Index> quantizer, size_t nlist,
                         std::shared_ptr<RaBitQCodec> codec, int bbs = 32);
  // A copy, over the same quantizer.
  IndexIVFRaBitQFastScan(const IndexIVFRaBitQ& from, int bbs);

  const int bbs;  // vectors in a block of faiss's files; ours are of 32
  std::string class_name() const override { return "IndexIVFRaBitQFastScan"; }
  std::atomic<bool> centered = false;
  // faiss's fields of how it searches, for its files.
  int implem = 0;
  size_t qbs2 = 0;

 protected:
  QueryGrid grid() const override { return {.bits = qb, .centered = centered}; }
  bool scans_bytes() const override { return true; }
};

}  // namespace shortlist
