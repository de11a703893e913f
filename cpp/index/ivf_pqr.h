// faiss's IndexIVFPQR: an IndexIVFPQ whose candidates are ranked again by a second code.
#pragma once

#include "index/ivf.h"
#include "lists/refined.h"

namespace shortlist {

// Both codes of a vector lie in its list, so that any ids do and any of them can go.
class IndexIVFPQR final : public IndexIVFPQ {
 public:
  // L2, of residuals. Throws DimensionError unless both quantizers are of the same dimensions.
  IndexIVFPQR(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<ProductQuantizer> pq,
              std::shared_ptr<ProductQuantizer> refine_pq);
  std::string class_name() const override { return "IndexIVFPQR"; }
  std::string summary() const override;

  const std::shared_ptr<ProductQuantizer> refine_pq;  // of what pq's codes leave
  static constexpr float kMostFactor = 1000;
  float k_factor() const { return k_factor_; }  // candidates for each result
  void set_k_factor(float factor);  // throws ArgumentError unless it is 1 to kMostFactor

 private:
  IndexIVFPQR(std::shared_ptr<Index> quantizer, size_t nlist, std::shared_ptr<ProductQuantizer> pq,
              std::shared_ptr<ProductQuantizer> refine_pq,
              std::shared_ptr<lists::RefinedForm> form);
  bool chooses_residual() const override { return false; }
  std::unique_ptr<lists::Scanner> scanner(const SearchParameters* params,
                                          bool whole) const override;
  size_t candidates(size_t k) const override;
  void rank_again(const float* q, std::vector<hit_t>& hits) const override;

  const std::shared_ptr<lists::RefinedForm> form_;
  std::atomic<float> k_factor_ = 4;
};

}  // namespace shortlist
