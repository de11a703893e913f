// Posting lists: the vectors nearest to one centroid each, laid out for scans. What keeps vectors
// in lists talks to a Form, which is made for a codec, and to what the Form makes: Lists and a
// Scanner.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <variant>

#include "base/memory.h"
#include "base/selector.h"
#include "base/types.h"
#include "flat/groups.h"

namespace shortlist::lists {

// Has the first lines of what is read soon on their way; the rest the hardware sees coming.
inline void fetch(const void* data, size_t bytes) {
  constexpr size_t kFirst = 1024;
  prefetch(data, std::min(bytes, kFirst));
}

// Codes of one list.
class List {
 public:
  virtual ~List() = default;
  virtual size_t size() const = 0;
  virtual size_t memory() const = 0;
  // Codes as the codec makes them, in and out.
  virtual void append(const std::byte* codes, size_t n) = 0;
  virtual void codes(size_t begin, size_t n, std::byte* out) const = 0;
  virtual void truncate(size_t n) = 0;
  virtual void prefetch() const = 0;  // what a scan reads first
};

// What scans find: the k nearest, sorted by (distance, slot), or all nearer than a radius, as they
// came. Both are sinks, as flat/groups.h has them.
using Found = std::variant<TopK, flat::Within>;

// One query against lists; one for each of the queries of a thread, and then for others.
class Scanner {
 public:
  virtual ~Scanner() = default;
  virtual void set_query(const float* q) = 0;
  // Whether that takes no work, which its lists do instead: one scanner then serves all queries.
  virtual bool serves_any() const { return false; }
  // All lists that are scanned next for that query, kNoSlot for none, and the centroids of all.
  virtual void set_probes(const slot_t* /*lists*/, size_t /*n*/, const float* /*centroids*/) {}
  // The list's centroid, and the query's distance to it ("smaller is nearer").
  virtual void set_list(const float* centroid, float near) = 0;
  // Scans a list of that centroid, whose slots begin at `first`.
  virtual void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) = 0;
};

class Form {
 public:
  explicit Form(bool by_residual) : by_residual(by_residual) {}
  virtual ~Form() = default;

  bool by_residual;  // codes are of what the centroid leaves of a vector; fixed once there are any
  virtual size_t code_size() const = 0;
  virtual std::unique_ptr<List> list() const = 0;
  virtual std::unique_ptr<Scanner> scanner() const = 0;
  // Codes of vectors of one list, and back.
  virtual void encode(Matrix<const float> x, const float* centroid, std::byte* codes) const = 0;
  virtual void decode(const std::byte* codes, size_t n, const float* centroid, float* x) const = 0;
  // The bytes that faiss has for codes of one list, in its files and from sa_encode.
  virtual size_t faiss_size() const { return code_size(); }
  virtual void to_faiss(const std::byte* codes, size_t n, std::byte* out) const;
  virtual void from_faiss(const std::byte* in, size_t n, const float* centroid,
                          std::byte* codes) const;
  virtual bool needs_training() const = 0;
  virtual bool is_trained() const = 0;
  // On vectors and the centroid of each. Throws what the codec throws.
  virtual void train(Matrix<const float> x, const float* const* centroids) = 0;
  virtual bool same_as(const Form& other) const = 0;  // codes of both mean the same
};

inline void Form::to_faiss(const std::byte* codes, size_t n, std::byte* out) const {
  std::copy_n(codes, n * code_size(), out);
}

inline void Form::from_faiss(const std::byte* in, size_t n, const float*, std::byte* codes) const {
  std::copy_n(in, n * code_size(), codes);
}

// Lists begin at slots that are multiples of this, so that filters have whole words of a block.
inline constexpr size_t kSlotStep = 64;

}  // namespace shortlist::lists
