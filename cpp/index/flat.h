// IndexFlat, IndexScalarQuantizer, IndexPQ and IndexLSH: every code is compared. One structure,
// some codecs.
#pragma once

#include "codec/flat.h"
#include "codec/lsh.h"
#include "codec/product.h"
#include "codec/scalar.h"
#include "flat/flat.h"
#include "index/rows.h"

namespace shortlist {

// Codes of one codec, back to back.
class IndexFlatCodes : public IndexRows {
 public:
  IndexFlatCodes(std::shared_ptr<Codec> codec, Metric metric);

  const Codec& codec() const { return *codec_; }
  const CodeStore& codes() const { return store_; }
  CodeStore& mutable_codes() { return store_; }  // for readers of saved indexes
  void check_compatible_for_merge(const Index& other) const override;
  Vectors vectors() const { return {*codec_, metric_type, store_}; }

  std::string summary() const override { return codec_->name(); }
  size_t ntotal() const override { return store_.size(); }
  bool is_trained() const override { return codec_->is_trained(); }
  size_t memory() const override { return store_.memory(); }
  size_t sa_code_size() const override { return codec_->code_size(); }

 protected:
  void do_train(const Rows& x) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  size_t do_remove(const Selector& sel) override;
  void do_reset() override { store_.clear(); }
  void do_merge(Index& other, id_t add_id) override;
  void do_sa_encode(const Rows& x, std::byte* codes) const override;
  void do_sa_decode(const std::byte* codes, size_t n, float* x) const override;
  void make_room(size_t n) override { store_.make_room(n); }
  void nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
               const SearchParameters* params, Hits& hits) const override;
  void within(const Rows& x, float radius, const SelectedSlots* allowed,
              const SearchParameters* params, Hits& hits) const override;
  void row(size_t i, float* out) const override;

 private:
  std::shared_ptr<Codec> codec_;
  CodeStore store_;
};

class IndexFlat : public IndexFlatCodes {
 public:
  // Storage other than f32 is the scalar quantizer's fp16, 8bit_direct or 8bit_direct_signed.
  IndexFlat(size_t d, Metric metric, DType dtype = DType::f32);
  std::string class_name() const override { return "IndexFlat"; }
  const DType dtype;
};
class IndexFlatL2 final : public IndexFlat {
 public:
  explicit IndexFlatL2(size_t d, DType dtype = DType::f32) : IndexFlat(d, Metric::l2, dtype) {}
  std::string class_name() const override { return "IndexFlatL2"; }
};
class IndexFlatIP final : public IndexFlat {
 public:
  explicit IndexFlatIP(size_t d, DType dtype = DType::f32)
      : IndexFlat(d, Metric::inner_product, dtype) {}
  std::string class_name() const override { return "IndexFlatIP"; }
};

class IndexScalarQuantizer final : public IndexFlatCodes {
 public:
  IndexScalarQuantizer(size_t d, QuantizerType qtype, Metric metric = Metric::l2);
  IndexScalarQuantizer(std::shared_ptr<ScalarQuantizer> sq, Metric metric);
  std::string class_name() const override { return "IndexScalarQuantizer"; }
  const std::shared_ptr<ScalarQuantizer> sq;  // shared: an alias may outlive the index
};

class IndexPQ final : public IndexFlatCodes {
 public:
  // Throws UnsupportedError for products with an offset.
  IndexPQ(std::shared_ptr<ProductQuantizer> pq, Metric metric);
  std::string class_name() const override { return "IndexPQ"; }
  bool takes_offset() const override { return pq->offset; }
  const std::shared_ptr<ProductQuantizer> pq;  // shared: an alias may outlive the index
  // faiss's fields of other ways to search, for its files.
  int search_type = 0, polysemous_ht;
  bool encode_signs = false;
};

class IndexLSH final : public IndexFlatCodes {
 public:
  explicit IndexLSH(std::shared_ptr<LshCodec> lsh) : IndexFlatCodes(lsh, Metric::l2), lsh(lsh) {}
  std::string class_name() const override { return "IndexLSH"; }
  std::string summary() const override;
  const std::shared_ptr<LshCodec> lsh;
};

}  // namespace shortlist
