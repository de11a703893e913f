// IndexInBlocks: codes that lie in blocks, all compared; what its indexes share.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "codec/oddint/lookup.h"
#include "index/rows.h"
#include "kernels/floats.h"

namespace shortlist {

// Vectors in a block of faiss's fast-scan files; ours are of 32. Throws ArgumentError unless it is
// a multiple of 32 up to kMostBlock.
inline constexpr int kMostBlock = 1 << 20;
int checked_block(int bbs);

// Blocks: appended to, read, truncated and cleared by rows of the codec's codes.
template <class CodecType, class Blocks>
class IndexInBlocks : public IndexRows {
 public:
  IndexInBlocks(std::shared_ptr<CodecType> codec, Metric metric)
      : IndexRows(codec->d, metric), codec_(std::move(codec)), blocks_(*codec_) {}

  const CodecType& codec() const { return *codec_; }
  const Blocks& blocks() const { return blocks_; }
  // For readers of saved indexes.
  void restore_codes(const std::byte* codes, size_t n) { blocks_.append(codes, n); }

  std::string summary() const override { return codec_->name(); }
  size_t ntotal() const override { return blocks_.size(); }
  bool is_trained() const override { return codec_->is_trained(); }
  size_t memory() const override { return blocks_.memory(); }
  size_t sa_code_size() const override { return codec_->code_size(); }
  void check_compatible_for_merge(const Index& other) const override {
    Index::check_compatible_for_merge(other);
    check_same_codes(*codec_, dynamic_cast<const IndexInBlocks&>(other).codec());
  }

 protected:
  void do_train(const Rows& x) override {
    check_empty();
    codec_->check_serves(metric_type, false);
    std::vector<float> scratch;
    codec_->train({as_floats(x, scratch), x.n, x.d});
  }
  void do_add(const Rows& x, const AddOptions& options) override {
    codec_->check_serves(metric_type, false);
    std::vector<std::byte> codes(x.n * codec_->code_size());
    encode_rows(*codec_, x, codes.data(), &options.progress);
    blocks_.append(codes.data(), x.n);
  }
  size_t do_remove(const Selector& sel) override {
    const Bitmap gone = sel.slots({.slots = ntotal()});
    const size_t before = ntotal(), size = codec_->code_size(), first = gone.next(0);
    if (first == before) return 0;
    // What stays behind the first that goes is appended again.
    const size_t from = first / kBlockVectors * kBlockVectors;
    std::vector<std::byte> kept, codes(kRows * size);
    for (size_t at = from; at < before; at += kRows) {
      const size_t n = std::min(kRows, before - at);
      blocks_.codes(at, n, codes.data());
      for (size_t i = 0; i < n; ++i)
        if (!gone[at + i]) kept.insert(kept.end(), &codes[i * size], &codes[i * size] + size);
    }
    blocks_.truncate(from);
    blocks_.append(kept.data(), kept.size() / size);
    return before - ntotal();
  }
  void do_reset() override { blocks_.clear(); }
  void do_merge(Index& other, id_t) override {
    auto& from = dynamic_cast<IndexInBlocks&>(other);
    const size_t n = from.ntotal();
    check_fits(n);
    blocks_.make_room(n);
    std::vector<std::byte> codes(kRows * codec_->code_size());
    for (size_t at = 0; at < n; at += kRows) {
      from.blocks_.codes(at, std::min(kRows, n - at), codes.data());
      blocks_.append(codes.data(), std::min(kRows, n - at));
    }
    from.blocks_.clear();
  }
  void do_sa_encode(const Rows& x, std::byte* codes) const override {
    encode_rows(*codec_, x, codes);
  }
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override {
    decode_rows(*codec_, codes, n, x);
  }
  void make_room(size_t n) override { blocks_.make_room(n); }
  void row(size_t i, float* out) const override {
    std::vector<std::byte> code(codec_->code_size());
    blocks_.codes(i, 1, code.data());
    codec_->decode(code.data(), 1, out);
  }

 private:
  static constexpr size_t kRows = 1024;  // of codes handled at a time

  const std::shared_ptr<CodecType> codec_;
  Blocks blocks_;
};

}  // namespace shortlist
