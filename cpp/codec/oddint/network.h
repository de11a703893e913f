// The encoder that BEBR trains (arXiv 2302.08714): signs, and then signs of what they leave over.
#pragma once

#include <vector>

#include "codec/oddint/encoder.h"

namespace shortlist {

// Codes of a vector x as odd integers o = 2 u, L = 2^bits - 1 the largest:
//   b = sign(W x);  then for i = 0 .. bits - 2:  b += 2^-(i + 1) sign(R_i(x - B_i(b)));
//   o = 2^(bits - 1) b
// and then `sweeps` times for j = 0 .. m - 1 the o_j nearest to o_j + (T x - T T' o)_j / (T T')_jj:
// coordinate descent on |x - T' o|. f gives T' u the length of x.
class NetworkEncoder final : public OddIntEncoder {
 public:
  // y = skip x + bias + outer relu(inner x + inner_bias); the last term where there is an inner.
  struct Map {
    std::vector<float> skip, bias, inner, inner_bias, outer;
  };
  // `turns` is T, m x d by rows; `maps` are W, then B_0, R_0, B_1, R_1 and so on. Throws
  // ArgumentError where sizes do not fit.
  NetworkEncoder(size_t d, size_t m, int bits, int sweeps, std::vector<float> turns,
                 std::vector<Map> maps);

  const int bits, sweeps;
  const std::vector<float>& turns() const { return turns_; }
  const std::vector<Map>& maps() const { return maps_; }

  std::string name() const override { return "trained"; }
  bool brings_centres() const override { return true; }
  bool same_as(const OddIntEncoder& other) const override;
  void turn(const float* x, float* out) const override;
  void turn_query(const float* q, float* out) const override;
  void turn_back(const float* u, float* out) const override;
  void code(const float* x, const float* turned, size_t n, int bits, uint8_t* c) const override;
  float rescale(const float* x, const float* turned, const float* u) const override;

 private:
  void descend(const float* turned, float* o) const;

  const std::vector<float> turns_;
  const std::vector<Map> maps_;
  std::vector<float> products_;  // T T'
  // T / scale_ as halves: a query reads all of it, from memory that a scan has emptied caches of.
  std::vector<uint16_t> halves_;
  float scale_ = 0;  // the largest value
};

}  // namespace shortlist
