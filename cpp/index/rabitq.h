// faiss's RaBitQ indexes: the scan of IndexSDC over codes in faiss's terms.
#pragma once

#include "codec/oddint/rabitq_codec.h"
#include "index/sdc.h"

namespace shortlist {

struct RaBitQSearchParameters final : SearchParameters {
  std::shared_ptr<SearchParameters> copy(const SelectorMap& map) const override {
    return copy_as(*this, map);
  }
  QueryGrid grid{.bits = 4};
};

class IndexRaBitQ : public IndexSDC {
 public:
  explicit IndexRaBitQ(std::shared_ptr<RaBitQCodec> codec);

  static constexpr int kMostQueryBits = 8;
  std::atomic<int> qb = 4;  // how queries are rounded: QueryGrid
  std::atomic<bool> centered = false;

  const std::shared_ptr<RaBitQCodec> rabitq;
  // n codes from row `begin` on in faiss's bytes, and rows of such codes put behind the others.
  void faiss_codes(size_t begin, size_t n, std::byte* out) const;
  void append_faiss_codes(const std::byte* codes, size_t n);
  // What training finds besides the centre, from what the stored codes stand for.
  void learn_from_codes();

  std::string class_name() const override { return "IndexRaBitQ"; }
  std::string summary() const override;
  float margin(const float* q) const override;
  size_t sa_code_size() const override { return rabitq->faiss_size(); }

 protected:
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  OddIntBlocks::How how(const SearchParameters* params) const override;
  virtual QueryGrid grid() const { return {.bits = qb, .centered = centered}; }
};

class IndexRaBitQFastScan final : public IndexRaBitQ {
 public:
  // Throws ArgumentError unless bbs is a multiple of 32 up to kMostBlock.
  IndexRaBitQFastScan(std::shared_ptr<RaBitQCodec> codec, int bbs);
  IndexRaBitQFastScan(const IndexRaBitQ& from, int bbs);  // a copy

  const int bbs;  // vectors in a block of faiss's files; ours are of 32
  std::string class_name() const override { return "IndexRaBitQFastScan"; }

 protected:
  QueryGrid grid() const override { return {.bits = qb, .centered = centered, .in_bytes = true}; }
};

}  // namespace shortlist
