// Lists of product-quantised codes, each with a second one of what the first leaves of a vector
// (Jegou, Tavenard, Douze and Amsaleg 2011, "Searching in one billion vectors: re-rank with source
// coding").
#pragma once

#include "codec/product.h"
#include "lists/rows.h"

namespace shortlist::lists {

// A code is the first and then the second. scanner() compares the first; whole_scanner() compares
// what both decode to, which takes longer. L2, and of residuals.
class RefinedForm final : public RowsForm {
 public:
  RefinedForm(const std::shared_ptr<ProductQuantizer>& pq,
              std::shared_ptr<ProductQuantizer> refine_pq);

  std::unique_ptr<List> list() const override;
  std::unique_ptr<Scanner> whole_scanner() const;
  size_t code_size() const override { return first_size() + second_->code_size(); }
  void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const override;
  bool is_trained() const override { return RowsForm::is_trained() && second_->is_trained(); }
  void train(Matrix<const float> x, const float* const* centroids) override;
  bool same_as(const Form& other) const override;

 private:
  size_t first_size() const { return codec_->code_size(); }
  void check_serve() const;

  const std::shared_ptr<ProductQuantizer> second_;
};

}  // namespace shortlist::lists
