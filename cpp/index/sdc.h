// Odd-integer codes, compared all or along a graph.
#pragma once

#include <atomic>

#include "flat/oddint.h"
#include "index/hnsw.h"

namespace shortlist {

// Exhaustive search, in blocks.
class IndexSDC : public IndexRows {
 public:
  explicit IndexSDC(std::shared_ptr<OddIntCodec> codec);

  const OddIntCodec& codec() const { return *codec_; }
  const OddIntBlocks& blocks() const { return blocks_; }
  // Whether queries are compared by their own codes.
  std::atomic<bool> symmetric = false;
  // For readers of saved indexes.
  void restore_codes(const std::byte* codes, size_t n) { blocks_.append(codes, n); }

  std::string class_name() const override { return "IndexSDC"; }
  std::string summary() const override { return codec_->name(); }
  size_t ntotal() const override { return blocks_.size(); }
  bool is_trained() const override { return codec_->is_trained(); }
  size_t memory() const override { return blocks_.memory(); }
  size_t sa_code_size() const override { return codec_->code_size(); }
  void check_compatible_for_merge(const Index& other) const override;
  float margin(const float* q) const override {
    return symmetric ? Index::margin(q) : codec_->margin(q);
  }

 protected:
  void do_train(const Rows& x) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override { blocks_.clear(); }
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  void make_room(size_t n) override { blocks_.make_room(n); }
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed, Hits& hits) const override;
  void within(const Rows& x, float radius, const SelectedSlots* allowed, Hits& hits) const override;
  void row(size_t i, float* out) const override;

 private:
  const std::shared_ptr<OddIntCodec> codec_;
  OddIntBlocks blocks_;
};

// The same codes one by one, as graphs read them.
class IndexSDCRows final : public IndexFlatCodes {
 public:
  explicit IndexSDCRows(std::shared_ptr<OddIntCodec> codec)
      : IndexFlatCodes(codec, codec->metric), sdc(std::move(codec)) {}
  std::string class_name() const override { return "IndexSDCRows"; }
  float margin(const float* q) const override { return sdc->margin(q); }
  const std::shared_ptr<const OddIntCodec> sdc;
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
