// Lists of codes in blocks of 32, scanned by tables.
#pragma once

#include "codec/oddint/query_grid.h"
#include "codec/oddint/rabitq_codec.h"
#include "codec/product.h"
#include "lists/rows.h"

namespace shortlist::lists {

// Product-quantised codes of 4 bits.
class ProductForm final : public CodecForm {
 public:
  ProductForm(std::shared_ptr<ProductQuantizer> pq, Metric metric, bool residual)
      : CodecForm(pq, metric, residual), pq_(std::move(pq)) {}
  std::unique_ptr<List> list() const override;
  std::unique_ptr<Scanner> scanner() const override;

 private:
  const std::shared_ptr<ProductQuantizer> pq_;
};

// Odd-integer codes: of what the centroid leaves of a vector, or, where an encoder was trained for
// vectors, of them.
class OddIntForm : public Form {
 public:
  explicit OddIntForm(std::shared_ptr<OddIntCodec> codec)
      : Form(!codec->encoder->brings_centres()), codec_(std::move(codec)) {}

  size_t code_size() const override { return codec_->code_size(); }
  std::unique_ptr<List> list() const override;
  std::unique_ptr<Scanner> scanner() const override;
  void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const override;
  bool needs_training() const override { return true; }
  bool is_trained() const override { return codec_->is_trained(); }
  void train(Matrix<const float> x, const float* const* centroids) override;
  bool same_as(const Form& other) const override;

 private:
  const std::shared_ptr<OddIntCodec> codec_;
};

// faiss's RaBitQ codes, always of what the centroid leaves.
class RaBitQForm final : public OddIntForm {
 public:
  explicit RaBitQForm(std::shared_ptr<RaBitQCodec> codec);

  std::unique_ptr<Scanner> scanner() const override { return scanner({}); }
  std::unique_ptr<Scanner> scanner(QueryGrid grid) const;
  void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const override;
  size_t faiss_size() const override { return codec_->faiss_size(); }
  void to_faiss(const std::byte* codes, size_t n, std::byte* out) const override;
  void from_faiss(const std::byte* in, size_t n, const float* centroid,
                  std::byte* codes) const override;
  void train(Matrix<const float> x, const float* const* centroids) override;
  // What train learns, from residuals.
  void learn(Matrix<const float> residuals);

 private:
  const std::shared_ptr<RaBitQCodec> codec_;
};

}  // namespace shortlist::lists
