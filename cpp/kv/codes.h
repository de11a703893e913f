// Which tokens of a long context each attention head should look at, told from codes of their keys
// (A2ATS, arXiv 2502.12665).
#pragma once

#include <memory>
#include <vector>

#include "base/rwlock.h"
#include "base/types.h"
#include "cluster/assign.h"

namespace shortlist::kv {

// What calibration found for the `heads` KV heads of one layer; in all three, one matrix follows
// another. A key k has the code of the nearest of `centroids` to k * root, and scores as the
// codeword of that code, which is centroid * root^-1.
class Codebook {
 public:
  // Throws ArgumentError for codewords, dimensions or values that no calibration gives.
  Codebook(size_t heads, size_t size, size_t d, std::vector<float> roots /* transposed */,
           std::vector<float> centroids, std::vector<float> codewords);

  size_t heads() const { return heads_; }
  size_t size() const { return size_; }  // codewords of a head
  size_t d() const { return d_; }
  const float* codewords(size_t head) const { return codewords_.data() + head * size_ * d_; }
  // The codes of n keys of one head.
  void encode(size_t head, const float* keys, size_t n, slot_t* codes) const;

 private:
  size_t heads_, size_, d_;
  std::vector<float> roots_, centroids_, codewords_;
  std::vector<cluster::Nearest> nearest_;
};

// Token ids, ascending, in lists: list i is [offsets[i], offsets[i + 1]).
struct Lists {
  std::vector<id_t> ids;
  std::vector<int64_t> offsets{0};
};

struct Wanted {
  size_t k;             // tokens of each query head, besides the next two
  size_t sink, window;  // the first tokens, and the last up to the query's own, are always there
  bool unite;           // one list for all query heads of a KV head, else one for each
};

// The codes of the tokens of one sequence.
class Codes {
 public:
  explicit Codes(std::shared_ptr<const Codebook> book);

  const std::shared_ptr<const Codebook>& book() const { return book_; }
  size_t size() const;
  // The next n tokens, from their keys before RoPE (heads, n, d). All of them or, if it throws,
  // none.
  void append(const float* keys, size_t n);
  // The same from their codes (heads, n).
  void append_codes(const uint16_t* codes, size_t n);
  std::vector<uint16_t> codes() const;  // (heads, size)
  // Forgets all tokens from the n-th on.
  void truncate(size_t n);

  // The tokens for each of the last t, from their queries (query_heads, t, d), turned to the far
  // position: the best k by <query, codeword>, of those older than the window. Of tokens that score
  // the same, the newer. Lists are ordered by head, then by token.
  Lists topk(const float* queries, size_t query_heads, size_t t, const Wanted& wanted) const;

 private:
  // Tokens of one code are a chain, from the newest to older ones, so that only those of the best
  // codes are ever looked at.
  struct Head {
    std::vector<uint16_t> codes;
    std::vector<slot_t> older, newest;  // of each token, of each code; kNoSlot ends a chain
  };
  struct Scratch;

  void link(Head& head, const uint16_t* codes, size_t n);
  void select(size_t head, size_t group, size_t position, const float* queries, size_t stride,
              const Wanted& wanted, Scratch& scratch, std::vector<id_t>* lists) const;

  std::shared_ptr<const Codebook> book_;
  std::vector<Head> heads_;
  mutable RwLock lock_;
};

}  // namespace shortlist::kv
