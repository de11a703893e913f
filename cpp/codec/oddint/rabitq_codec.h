// RaBitQ's code of vectors that are not rotated, in the bytes that faiss stores.
#pragma once

#include "codec/oddint/codec.h"

namespace shortlist {

// T is the identity: who wants a rotation puts one in front.
class UnturnedEncoder final : public AngleEncoder {
 public:
  explicit UnturnedEncoder(size_t d) : AngleEncoder(d, d) {}
  std::string name() const override { return "unturned"; }
  bool same_as(const OddIntEncoder& other) const override {
    return other.name() == name() && other.d == d;
  }
  void turn(const float* x, float* out) const override;
  void turn_back(const float* u, float* out) const override;
};

// The codes of faiss's RaBitQuantizer. With r = x - c, a code there is
//   the signs of r, a bit a dimension; |r|^2 (less |x|^2 for inner products); |r|^2 sqrt(d) /
//   |r|_1; and of several bits: how far the signs' estimate may be off, for |q - c| = 1; the lower
//   bits, dimension by dimension; an addend and a factor of <u, q - c>.
// We keep these numbers as they are, so that nothing is lost in between, and compare queries as
// they are. In lists c is the centroid, and codes are compared with what it leaves of a query.
class RaBitQCodec final : public OddIntCodec {
 public:
  // Throws ArgumentError unless there are 1 to 8 bits.
  RaBitQCodec(size_t d, int nb_bits, Metric metric);

  size_t fine_size() const override { return sign_factors_size() + (bits == 1 ? 0 : sizeof(Fine)); }
  Fine fine(const std::byte* at, Coarse coarse) const override;
  float of_centroid(const float* centroid) const override;
  void set_centres(std::vector<float> centre, std::vector<float> query_centre) override;

  // faiss's bytes of one code, and back, in a list of that centroid; padding is zeros.
  size_t faiss_size() const;
  void to_faiss(const std::byte* code, std::byte* out) const;
  void from_faiss(const std::byte* in, std::byte* code, const float* centroid = nullptr) const;

 protected:
  void put_factors(const Encoded& v, std::byte* code) const override;

 private:
  struct Signs {
    float square, multiplier;  // faiss's or_minus_c_l2sqr and dp_multiplier
  };
  size_t sign_factors_size() const { return sizeof(Signs) + (bits == 1 ? 0 : sizeof(float)); }
  size_t lower_size() const { return (d * static_cast<size_t>(bits - 1) + 7) / 8; }
  Fine of_signs(const std::byte* at, float centre_square) const;
  void put_derived(std::byte* code, const float* centroid) const;

  float centre_square_ = 0;
};

}  // namespace shortlist
