// Odd-integer codes of vectors: SDC (BEBR, arXiv 2302.08714) and RaBitQ of 1 to 8 bits.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <vector>

#include "codec/codec.h"
#include "codec/oddint/encoder.h"

namespace shortlist {

// For u of a code, f of its vector, and centres c of vectors and b of queries, q' = T (q - b) and
// r = x - c:
//   IP: -<q, x> ~ -<q, c> - <b, r> - f <u, q'>
//   L2: |q - x|^2 ~ |q - c|^2 + (|r|^2 - 2 <b - c, r>) - 2 f <u, q'>
// that is near + add + rescale * <u, q'>. A code is `bits` planes of padded_dims(m) / 8 bytes, the
// high bits first; then add and the rescale of the first plane alone as bfloat16; then, of several
// bits, add and rescale as float32.
class OddIntCodec : public Codec {
 public:
  OddIntCodec(std::shared_ptr<const OddIntEncoder> encoder, int bits, Metric metric);

  const std::shared_ptr<const OddIntEncoder> encoder;
  const int bits;
  const Metric metric;
  std::vector<float> centre, query_centre;  // d values; empty until trained
  // Whether searches compare queries by their own codes: symmetric distances.
  std::atomic<bool> symmetric = false;
  // How far the estimate of the first plane alone is above that of all, in lengths of q' and units
  // of that plane's rescale, but for one vector in a hundred. At first what theory says of a random
  // rotation; of one bit, nothing.
  float slack;
  // How far an estimate is above the distance, in lengths of q - b, but for one vector in a
  // thousand; +inf where that is not known: of trained encoders, which know the vectors they learnt
  // from better than others, and before training.
  float error = std::numeric_limits<float>::infinity();

  std::string name() const override;
  bool same_as(const Codec& other) const override;
  size_t code_size() const override { return fine_at() + fine_size(); }
  bool needs_training() const override { return true; }
  bool is_trained() const override { return !centre.empty(); }
  // Centres, unless the encoder brings them, slack and error.
  void train(Matrix<const float> x) override;
  // What train learns, or the encoder brings. Throws ArgumentError where sizes do not fit.
  virtual void set_centres(std::vector<float> of_vectors, std::vector<float> of_queries);
  void measure_slack(Matrix<const float> x);  // some of the vectors ask for others
  // `error` for a query; +inf of symmetric distances.
  float margin(const float* q) const;
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  // The same relative to a centroid of a list, in place of c: distances are told from that to it,
  // and <q - centroid, r> ~ f <u, q' - T (centroid - b)>, which is the better the nearer it is.
  virtual void encode_in_list(Matrix<const float> x, const float* centroid, std::byte* codes) const;
  void decode_in_list(const std::byte* codes, size_t n, const float* centroid, float* x) const;
  bool compares_decoded() const override { return false; }
  // The metric is the codec's.
  std::unique_ptr<DistanceComputer> distance_computer(Metric,
                                                      const CodeStore& store) const override;

  size_t m() const { return encoder->m; }
  size_t padded() const { return padded_dims(m()); }
  size_t plane_size() const { return padded() / 8; }
  struct Coarse {
    uint16_t add, rescale;  // bfloat16
  };
  struct Fine {
    float add, rescale;
  };
  size_t coarse_at() const { return static_cast<size_t>(bits) * plane_size(); }
  size_t fine_at() const { return coarse_at() + sizeof(Coarse); }
  virtual size_t fine_size() const { return bits == 1 ? 0 : sizeof(Fine); }
  // Of the fine_size() bytes at `at`; of one bit, of the coarse factors.
  virtual Fine fine(const std::byte* at, Coarse coarse) const;
  Fine factors(const std::byte* code) const;
  // What fine factors of codes in a list leave out of their addend.
  virtual float of_centroid(const float* /*centroid*/) const { return 0; }

  // A query made ready.
  struct Query {
    std::vector<float> turned;  // q' / scale
    float scale = 1;
    float near = 0;
    float sum = 0;                // of `turned`
    float length = 0;             // of q'
    std::vector<std::byte> code;  // `turned` as kernel bit_planes wants it, where it is whole
  };
  void set_query(const float* q, Query& out) const;
  // Puts the code of q' in its place, as odd integers.
  void code_query(Query& q) const;
  // Rounds q' far finer than codes are, to whole numbers; not where codes are too fine for that.
  void round_query(Query& q) const;
  void round_query(Query& q, int planes) const;  // to as many bits
  void finish(Query& q) const;                   // tells `sum` and `length`
  // Estimates of what cannot be less are told as this.
  float least = -std::numeric_limits<float>::infinity();
  // <c, turned> of rows that hold the last `planes` planes; rows as in kernels::RowsFn.
  void products(const Query& q, const std::byte* base, size_t stride, const slot_t* rows, size_t n,
                size_t planes, double* out) const;
  // The distance, from <c, turned>.
  float distance(const Query& q, Fine f, double product) const {
    const auto u = static_cast<float>(product - static_cast<double>(half_range()) * q.sum);
    return std::max(q.near + f.add + f.rescale * q.scale * u, least);  // which keeps NaN
  }
  // Writes the padded() values u of a code; returns f.
  float values(const std::byte* code, float* u) const;
  float half_range() const { return static_cast<float>((1 << bits) - 1) / 2; }

 protected:
  // One vector being encoded: r = x - c, T r, u of its code and of the first plane alone.
  struct Encoded {
    const float *x, *r, *turned, *u, *sign;
    bool found;  // else it has NaN or Inf, r is zero, and searches must not find it
    const float* centroid = nullptr;  // of a list
    const float* of_list = nullptr;   // T (centroid - b)
  };
  // Writes the factors behind the planes.
  virtual void put_factors(const Encoded& v, std::byte* code) const;

 private:
  static constexpr int kMostQueryPlanes = 9;  // that kernel bit_planes takes
  void put_planes(Query& q, int planes) const;
  void measure_error(Matrix<const float> x);
  void encode(Matrix<const float> x, const float* from, const float* of_list,
              std::byte* codes) const;
  void decode(const std::byte* codes, size_t n, const float* from, float* x) const;
  float times() const { return metric == Metric::l2 ? -2.f : -1.f; }
};

}  // namespace shortlist
