// What turns vectors into odd-integer codes. A code is a whole number c_i from 0 to 2^bits - 1 for
// each of m dimensions, and stands for u_i = c_i - (2^bits - 1) / 2: halves of the odd integers of
// BEBR (arXiv 2302.08714) and the grid of RaBitQ (arXiv 2409.09913).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/oddint/rotation.h"

namespace shortlist {

// Values of a code lie in groups of 16; those past m are zeros, in codes and in what they are
// compared with.
constexpr size_t padded_dims(size_t m) { return (m + 15) / 16 * 16; }

// A linear map T from d to m dimensions, and codes such that x ~ f T' u: then a query q is compared
// with codes as <q, x> ~ f <u, T q>. All of it is relative to centres that are not known here.
class OddIntEncoder {
 public:
  OddIntEncoder(size_t d, size_t m);  // throws DimensionError unless both are usual
  virtual ~OddIntEncoder() = default;

  const size_t d, m;
  virtual std::string name() const = 0;
  virtual bool brings_centres() const { return false; }        // which training then keeps
  virtual bool same_as(const OddIntEncoder& other) const = 0;  // codes of both mean the same
  virtual void turn(const float* x, float* out) const = 0;     // T x: d values to padded_dims(m)
  // The same of a query, whose values may be rounded as finely as scans tell them apart.
  virtual void turn_query(const float* q, float* out) const { turn(q, out); }
  virtual void turn_back(const float* u, float* out) const = 0;  // T' u: m values to d
  // The codes of n vectors x, one value a byte, m of them to a vector; `turned` holds T x.
  virtual void code(const float* x, const float* turned, size_t n, int bits, uint8_t* c) const = 0;
  // The f of x for its own code, or for any other u.
  virtual float rescale(const float* x, const float* turned, const float* u) const = 0;
};

// The code nearest in angle to m values.
void nearest_in_angle(const float* x, size_t m, int bits, uint8_t* c);

// RaBitQ's code of 1 to 8 bits: u is the point of the grid nearest in angle, and f makes
// <q, x> ~ f <u, T q> unbiased over rotations T.
class AngleEncoder : public OddIntEncoder {
 public:
  using OddIntEncoder::OddIntEncoder;
  void code(const float* x, const float* turned, size_t n, int bits, uint8_t* c) const override;
  float rescale(const float* x, const float* turned, const float* u) const override;
};

// With a random rotation of its own.
class RabitqEncoder final : public AngleEncoder {
 public:
  // m is a multiple of 64, and at least d; zeros make up for what d lacks.
  RabitqEncoder(size_t d, size_t m);
  // Vectors of d values, coded in as many dimensions as the rotation needs.
  explicit RabitqEncoder(size_t d) : RabitqEncoder(d, (d + 63) / 64 * 64) {}

  std::string name() const override { return "rabitq"; }
  bool same_as(const OddIntEncoder& other) const override {
    return other.name() == name() && other.d == d && other.m == m;
  }
  void turn(const float* x, float* out) const override;
  void turn_back(const float* u, float* out) const override;

 private:
  const Rotation rotation_;
};

}  // namespace shortlist
