// faiss's IndexBinaryIVF: lists of bits, each of the centroid that differs least.
#pragma once

#include "index/binary.h"
#include "index/ivf.h"

namespace shortlist {

class IndexBinaryIVF final : public IndexIVF, public IndexBinary {
 public:
  // As IndexIVF; the quantizer is of bits, too.
  IndexBinaryIVF(std::shared_ptr<Index> quantizer, size_t bits, size_t nlist);
  std::string class_name() const override { return "IndexBinaryIVF"; }

  using IndexIVF::search_preassigned;
  void search_preassigned(const Rows& x, const Preassigned& lists, size_t k, int32_t* distances,
                          id_t* labels, const SearchParameters* params = nullptr) const;

  bool use_heap = true;  // faiss's fields; our results are the same either way
  bool per_invlist_search = false;

 protected:
  // k-means of the bits as -1 and 1, whose centroids' signs are taken, as in faiss.
  void do_train(const Rows& x) override;
};

}  // namespace shortlist
