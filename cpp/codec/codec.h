// How a vector is stored and compared. A structure talks to a codec through DistanceComputer only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/threads.h"
#include "base/types.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {

// Codes of n vectors, back to back; row i is slot i.
class CodeStore {
 public:
  explicit CodeStore(size_t code_size) : code_size_(code_size) {}
  size_t code_size() const { return code_size_; }
  size_t size() const { return code_size_ ? bytes_.size() / code_size_ : 0; }
  const std::byte* data() const { return bytes_.data(); }
  const std::byte* row(size_t i) const { return bytes_.data() + i * code_size_; }
  std::byte* row(size_t i) { return bytes_.data() + i * code_size_; }
  std::byte* grow(size_t n) { return bytes_.grow(n * code_size_); }
  void make_room(size_t n) { bytes_.make_room(n * code_size_); }
  void reserve(size_t n) { bytes_.reserve(n * code_size_); }
  void truncate(size_t n) { bytes_.resize(n * code_size_); }
  void clear() { bytes_.release(); }
  size_t memory() const { return bytes_.capacity_bytes(); }

 private:
  size_t code_size_;
  Array<std::byte> bytes_;
};

// One query bound to one store; one per thread, reused from query to query. Distances are
// "smaller is nearer": squared L2, or the negated inner product.
class DistanceComputer {
 public:
  virtual ~DistanceComputer() = default;
  // Binds it to another store of codes of the same codec; the query stays bound.
  virtual void over(const CodeStore& store) = 0;
  virtual void set_query(const float* q) = 0;
  virtual void set_query(slot_t stored) = 0;
  virtual void score(const slot_t* slots, size_t n, float* out) = 0;
  virtual void score_range(size_t begin, size_t n, float* out) = 0;
  virtual void prefetch(slot_t s) const = 0;  // what score() reads of s
  // Distances from stored vector `a`; the query stays bound.
  virtual void between(slot_t a, const slot_t* b, size_t n, float* out) = 0;
};

// A query made ready for one rows kernel: distance = bias + scale * kernel(query, row).
struct PreparedQuery {
  kernels::RowsFn kernel = nullptr;
  const void* query = nullptr;  // into `own`, or a stored row
  std::vector<float> own;
  float scale = 1, bias = 0;

  void use_floats() { query = own.data(); }
};

// Parameters only; owns no vectors. Immutable once trained, so it can be shared.
class Codec {
 public:
  explicit Codec(size_t d) : d(d) {}
  virtual ~Codec() = default;

  const size_t d;
  virtual std::string name() const = 0;
  virtual bool same_as(const Codec& other) const = 0;  // codes of both mean the same
  virtual size_t code_size() const = 0;
  virtual bool is_trained() const { return true; }
  virtual bool needs_training() const { return false; }
  virtual void train(Matrix<const float>) {}

  // Throws UnsupportedError where its codes are made for another metric, or not of residuals.
  virtual void check_serves(Metric, bool /*residuals*/) const {}

  // The dtype whose rows are codes byte for byte, so that they are stored without conversion.
  virtual bool stores(DType) const { return false; }
  virtual void encode(Matrix<const float> x, std::byte* codes) const = 0;
  virtual void decode(const std::byte* codes, size_t n, float* x) const = 0;

  virtual std::unique_ptr<DistanceComputer> distance_computer(Metric metric,
                                                              const CodeStore& store) const = 0;
  // Whether a code is compared as the vector it decodes to, and with another as fast.
  virtual bool compares_decoded() const { return true; }
  // Changes a query into what it is compared as: for types whose codes wrap.
  virtual void as_compared(float* /*q*/) const {}

  // Codes that are plain integers are compared exactly in batches, as s16. The first form widens n
  // codes; the second widens queries, or says false if one of them is not made of codes.
  virtual void widen(const std::byte*, size_t /*n*/, int16_t*) const {}
  virtual bool widen(Matrix<const float>, int16_t*) const { return false; }

  // Codes that are bits, whose distance is how many of them differ.
  virtual bool is_bits() const { return false; }

  // Turns n codes in place between our form and the bytes faiss stores; its own inverse.
  virtual void swap_faiss_form(std::byte*, size_t /*n*/) const {}
};

// Codes that one rows kernel compares.
class RowsCodec : public Codec {
 public:
  using Codec::Codec;
  bool same_as(const Codec& other) const override { return other.name() == name() && other.d == d; }
  // Readies `q` (d floats), or stored code `code`, for the kernel.
  virtual void prepare(const float* q, Metric metric, PreparedQuery& out) const = 0;
  virtual void prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const;
  virtual size_t compared_values() const { return d; }  // of a code, by that kernel
  std::unique_ptr<DistanceComputer> distance_computer(Metric metric,
                                                      const CodeStore& store) const override;
};

// Throws ArgumentError unless codes of both mean the same.
void check_same_codes(const Codec& a, const Codec& b);

// Encodes rows of any dtype, and decodes codes, in parallel.
void encode_rows(const Codec& codec, const Rows& rows, std::byte* codes,
                 const ProgressFn* progress = nullptr);
void decode_rows(const Codec& codec, const std::byte* codes, size_t n, float* x);

}  // namespace shortlist
