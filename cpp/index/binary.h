// faiss's binary indexes: the structures of the other indexes over bits.
#pragma once

#include <algorithm>
#include <cfloat>
#include <limits>
#include <vector>

#include "codec/bits.h"
#include "index/hnsw.h"
#include "index/wrap.h"

namespace shortlist {

// What is asked of them in their own words: vectors of d bits come as rows of d / 8 bytes, and
// distances are whole numbers. Each is also an Index of these bytes, which does the work; that
// one's d is the number of bytes.
class IndexBinary {
 public:
  virtual ~IndexBinary() = default;

  const Index& of_bytes() const { return dynamic_cast<const Index&>(*this); }
  Index& of_bytes() { return dynamic_cast<Index&>(*this); }
  size_t bits() const { return 8 * code_size(); }
  size_t code_size() const { return of_bytes().d; }

  // Missing results are (kNoId, INT32_MAX).
  void search(const Rows& x, size_t k, int32_t* distances, id_t* labels,
              const SearchParameters* params = nullptr) const;
  void search_exact(const Rows& x, size_t k, int32_t* distances, id_t* labels) const;
  void reconstruct_batch(const id_t* ids, size_t n, uint8_t* out) const;
};

// Distances of bits are whole numbers: search(out) writes n of them as floats.
template <class Search>
void search_whole(const Search& search, size_t n, int32_t* distances) {
  std::vector<float> found(n);
  search(found.data());
  std::transform(found.begin(), found.end(), distances, [](float x) {
    return x == FLT_MAX ? std::numeric_limits<int32_t>::max() : static_cast<int32_t>(x);
  });
}

class IndexBinaryFlat final : public IndexFlatCodes, public IndexBinary {
 public:
  explicit IndexBinaryFlat(size_t bits);  // throws DimensionError unless a multiple of 8
  std::string class_name() const override { return "IndexBinaryFlat"; }

  bool use_heap = true;  // faiss's fields; our results are the same either way
  int query_batch_size = 32;

 protected:
  void do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions& options) override;
};

class IndexBinaryHNSW final : public IndexHNSW, public IndexBinary {
 public:
  IndexBinaryHNSW(size_t bits, size_t M);
  IndexBinaryHNSW(std::shared_ptr<IndexFlatCodes> storage, size_t M)
      : IndexHNSW(std::move(storage), M) {}
  std::string class_name() const override { return "IndexBinaryHNSW"; }
};

class IndexBinaryIDMap : public IndexIDMap, public IndexBinary {
 public:
  using IndexIDMap::IndexIDMap;
  std::string class_name() const override { return "IndexBinaryIDMap"; }
};

class IndexBinaryIDMap2 final : public IndexBinaryIDMap {
 public:
  using IndexBinaryIDMap::IndexBinaryIDMap;
  std::string class_name() const override { return "IndexBinaryIDMap2"; }
  bool finds_by_id() const override { return true; }
};

}  // namespace shortlist
