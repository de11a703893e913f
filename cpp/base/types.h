// The numbers and views every layer speaks in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace shortlist {

using slot_t = uint32_t;    // position inside one structure
using id_t = int64_t;       // the user's name for a vector
using offset_t = uint64_t;  // position in a file or a concatenation

inline constexpr size_t kMaxDimension = size_t{1} << 20;  // faiss's readers accept no more
inline constexpr slot_t kNoSlot = std::numeric_limits<slot_t>::max();
inline constexpr id_t kNoId = -1;

// faiss's numbering, which is also what its files store.
enum class Metric : int { inner_product = 0, l2 = 1 };

// What codes that know the queries are to keep: the nearest, or the products themselves.
enum class Objective : int { recall = 0, score = 1 };

enum class DType : uint8_t { f32, f16, u8, i8 };

constexpr size_t size_of(DType t) { return t == DType::f32 ? 4 : t == DType::f16 ? 2 : 1; }
std::string_view name_of(DType t);
std::string_view name_of(Metric m);
std::string_view name_of(Objective o);

template <class T>
struct Matrix {  // row-major, contiguous, not owned
  T* data = nullptr;
  size_t rows = 0, cols = 0;
  T* row(size_t i) const { return data + i * cols; }
  Matrix slice(size_t begin, size_t end) const { return {row(begin), end - begin, cols}; }
};

// Vectors as the user handed them over: any storage type, row-major, not owned.
struct Rows {
  const void* data = nullptr;
  size_t n = 0, d = 0;
  DType dtype = DType::f32;

  const std::byte* row(size_t i) const {
    return static_cast<const std::byte*>(data) + i * d * size_of(dtype);
  }
  Rows slice(size_t begin, size_t end) const { return {row(begin), end - begin, d, dtype}; }
};

inline Rows as_rows(Matrix<const float> x) { return {x.data, x.rows, x.cols, DType::f32}; }

}  // namespace shortlist
