// DistanceComputers of codes that are slow to compare with each other.
#pragma once

#include <vector>

#include "codec/codec.h"

namespace shortlist {

// A stored vector asks as what its code decodes to. Computer offers
//   ready(q, query)                       of d floats
//   run(query, base, slots, n, out)       distances to rows of `base`, the listed ones or the first
template <class Computer, class Query>
class DecodingComputer : public DistanceComputer {
 public:
  DecodingComputer(const Codec& codec, const CodeStore& store) : decoder_(codec), store_(&store) {}

  void over(const CodeStore& store) override { store_ = &store; }
  void set_query(const float* q) override { self().ready(q, query_); }
  void set_query(slot_t stored) override { set_decoded(stored, query_); }
  void score(const slot_t* slots, size_t n, float* out) override {
    self().run(query_, store_->data(), slots, n, out);
  }
  void score_range(size_t begin, size_t n, float* out) override {
    self().run(query_, store_->row(begin), nullptr, n, out);
  }
  void prefetch(slot_t s) const override {
    shortlist::prefetch(store_->row(s), store_->code_size());
  }
  void between(slot_t a, const slot_t* b, size_t n, float* out) override {
    set_decoded(a, other_);
    self().run(other_, store_->data(), b, n, out);
  }

 private:
  const Computer& self() const { return static_cast<const Computer&>(*this); }
  void set_decoded(slot_t s, Query& query) const {
    std::vector<float> x(decoder_.d);
    decoder_.decode(store_->row(s), 1, x.data());
    self().ready(x.data(), query);
  }

  const Codec& decoder_;
  const CodeStore* store_;
  Query query_, other_;
};

}  // namespace shortlist
