// faiss's MultiIndexQuantizer: the cells of an inverted multi-index (Babenko and Lempitsky 2012),
// one for each way to choose a centroid for every part of a vector.
#pragma once

#include "codec/product.h"
#include "index/index.h"

namespace shortlist {

// The quantizer of an IndexIVF of 2^(M * nbits) lists. Training makes all cells; none is added.
// The centroid of part m has the bits from m * nbits on of a cell's number.
class MultiIndexQuantizer final : public Index {
 public:
  static constexpr size_t kMostBits = 62;  // of a cell's number
  // L2. Throws ArgumentError for more bits, UnsupportedError for products with an offset.
  explicit MultiIndexQuantizer(std::shared_ptr<ProductQuantizer> pq);
  std::string class_name() const override { return "MultiIndexQuantizer"; }

  const std::shared_ptr<ProductQuantizer> pq;  // shared: an alias may outlive the index

  std::string summary() const override;
  size_t ntotal() const override { return is_trained() ? size_t{1} << bits() : 0; }
  bool is_trained() const override { return pq->is_trained(); }
  size_t memory() const override { return pq->centroids().capacity() * sizeof(float); }

 protected:
  void do_train(const Rows& x) override;
  void do_add(const Rows& x, const AddOptions& options) override;
  void do_search(const Rows& x, size_t k, float* distances, id_t* labels,
                 const SearchParameters* params) const override;
  void do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const override;
  void do_reset() override;
  void do_reconstruct(id_t id, float* out) const override;

 private:
  size_t bits() const { return pq->M * static_cast<size_t>(pq->nbits); }
};

}  // namespace shortlist
