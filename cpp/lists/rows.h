// Lists of codes back to back, compared by the codec's own computer: any codec.
#pragma once

#include <cstring>

#include "codec/codec.h"
#include "lists/lists.h"

namespace shortlist::lists {

class RowsList final : public List {
 public:
  explicit RowsList(size_t code_size) : store(code_size) {}
  size_t size() const override { return store.size(); }
  size_t memory() const override { return store.memory(); }
  void append(const std::byte* codes, size_t n) override {
    std::memcpy(store.grow(n), codes, n * store.code_size());
  }
  void codes(size_t begin, size_t n, std::byte* out) const override {
    std::memcpy(out, store.row(begin), n * store.code_size());
  }
  void truncate(size_t n) override { store.truncate(n); }
  void prefetch() const override { fetch(store.data(), store.size() * store.code_size()); }

  CodeStore store;
};

class RowsForm : public Form {
 public:
  RowsForm(std::shared_ptr<Codec> codec, Metric metric, bool residual)
      : Form(residual), codec_(std::move(codec)), metric_(metric) {}

  size_t code_size() const override { return codec_->code_size(); }
  std::unique_ptr<List> list() const override;
  std::unique_ptr<Scanner> scanner() const override;
  void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const override;
  void to_faiss(const std::byte* codes, size_t n, std::byte* out) const override;
  void from_faiss(const std::byte* in, size_t n, const float* centroid,
                  std::byte* codes) const override;
  bool is_trained() const override { return codec_->is_trained(); }
  void train(Matrix<const float> x, const float* const* centroids) override;
  bool same_as(const Form& other) const override;

 private:
  const std::shared_ptr<Codec> codec_;
  const Metric metric_;
};

// Vectors less the centroid of each.
std::vector<float> residuals(Matrix<const float> x, const float* const* centroids);
std::vector<float> residuals(Matrix<const float> x, const float* centroid);

}  // namespace shortlist::lists
