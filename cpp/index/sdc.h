// IndexSDC: exhaustive search over odd-integer codes.
#pragma once

#include <atomic>

#include "flat/oddint.h"
#include "index/rows.h"

namespace shortlist {

class IndexSDC : public IndexRows {
 public:
  IndexSDC(std::shared_ptr<const OddIntEncoder> encoder, int bits, Metric metric);

  const OddIntCodec& codec() const { return codec_; }
  const OddIntBlocks& blocks() const { return blocks_; }
  // Whether queries are compared by their own codes.
  std::atomic<bool> symmetric = false;
  // What train learns, or the encoder brings. Throws ArgumentError where sizes do not fit.
  void set_centres(std::vector<float> centre, std::vector<float> query_centre);
  // For readers of saved indexes: what train learns besides, and rows of codes.
  void restore_slack(float slack) { codec_.slack = slack; }
  void restore_codes(const std::byte* codes, size_t n) { blocks_.append(codes, n); }

  std::string class_name() const override { return "IndexSDC"; }
  std::string summary() const override;
  size_t ntotal() const override { return blocks_.size(); }
  bool is_trained() const override { return codec_.is_trained(); }
  size_t memory() const override { return blocks_.memory(); }
  size_t sa_code_size() const override { return codec_.code_size(); }
  void check_compatible_for_merge(const Index& other) const override;

 protected:
  explicit IndexSDC(std::unique_ptr<OddIntCodec> codec);
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
  OddIntCodec& mutable_codec() { return codec_; }

 private:
  const std::unique_ptr<OddIntCodec> owned_;
  OddIntCodec& codec_ = *owned_;
  OddIntBlocks blocks_;
};

}  // namespace shortlist
