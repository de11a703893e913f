// Lists of codes of vectors, or of what the centroid leaves of them.
#pragma once

#include <algorithm>

#include "codec/codec.h"
#include "lists/lists.h"

namespace shortlist::lists {

// What does not depend on how the codes lie.
class CodecForm : public Form {
 public:
  CodecForm(std::shared_ptr<Codec> codec, Metric metric, bool residual)
      : Form(residual), codec_(std::move(codec)), metric_(metric) {}

  size_t code_size() const override { return codec_->code_size(); }
  void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const override;
  void to_faiss(const std::byte* codes, size_t n, std::byte* out) const override;
  void from_faiss(const std::byte* in, size_t n, const float* centroid,
                  std::byte* codes) const override;
  bool needs_training() const override { return codec_->needs_training(); }
  bool is_trained() const override { return codec_->is_trained(); }
  void train(Matrix<const float> x, const float* const* centroids) override;
  bool same_as(const Form& other) const override;

 protected:
  const std::shared_ptr<Codec> codec_;
  const Metric metric_;
};

class RowsList : public List {
 public:
  explicit RowsList(size_t code_size) : store(code_size) {}
  size_t size() const override { return store.size(); }
  size_t memory() const override { return store.memory(); }
  void append(const std::byte* codes, size_t n) override {
    std::copy_n(codes, n * store.code_size(), store.grow(n));
  }
  void codes(size_t begin, size_t n, std::byte* out) const override {
    std::copy_n(store.row(begin), n * store.code_size(), out);
  }
  void truncate(size_t n) override { store.truncate(n); }
  void prefetch() const override { fetch(store.data(), store.size() * store.code_size()); }

  CodeStore store;
};

// Back to back, compared by the codec's own computer: any codec.
class RowsForm : public CodecForm {
 public:
  using CodecForm::CodecForm;
  std::unique_ptr<List> list() const override;
  std::unique_ptr<Scanner> scanner() const override;
};

// Scans a list in parts of kRows at most; tell(at, n, out) writes the distances of n codes from
// `at` on.
template <size_t kRows, class Tell>
void scan_in_parts(const List& list, size_t first, const SelectedSlots* allowed, Found& found,
                   const Tell& tell) {
  float distances[kRows];
  const auto scan = [&](auto& sink) {
    for (size_t at = 0; at < list.size(); at += kRows) {
      const size_t n = std::min(kRows, list.size() - at);
      tell(at, n, distances);
      for (size_t i = 0; i < n; ++i) {
        const size_t slot = first + at + i;
        if (distances[i] <= sink.limit() && (!allowed || (*allowed)[slot]))
          sink.push(distances[i], static_cast<slot_t>(slot));
      }
    }
  };
  std::visit(scan, found);
}

// Asks a list by the query less its centroid, where distances need that, and tells distances to
// residuals from the centroid's otherwise.
class CodecScanner : public Scanner {
 public:
  CodecScanner(size_t d, Metric metric, bool by_residual)
      : moves_(by_residual && metric == Metric::l2),
        adds_(by_residual && metric == Metric::inner_product),
        residual_(d) {}
  void set_query(const float* q) final;
  bool serves_any() const final { return moves_; }
  void set_list(const float* centroid, float near) final;

 protected:
  virtual void ask(const float* q) = 0;
  float near() const { return near_; }  // to be added to distances

 private:
  const bool moves_, adds_;
  const float* q_ = nullptr;
  float near_ = 0;
  std::vector<float> residual_;
};

// Vectors less the centroid of each.
std::vector<float> residuals(Matrix<const float> x, const float* const* centroids);

}  // namespace shortlist::lists
