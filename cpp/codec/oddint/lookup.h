// One-bit codes 32 at a time: their layout for kernel lut32, and a query's tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace shortlist {

// Vectors of one block, and dimensions of one table.
inline constexpr size_t kBlockVectors = 32, kTableDims = 4;

constexpr size_t block_size(size_t m) { return m / kTableDims * (kBlockVectors / 2); }  // bytes

// Up to 32 codes of m / 8 bytes, `stride` bytes apart, to and from the block_size(m) bytes of one
// block; m is a multiple of 8. Vectors that are missing become zeros.
void pack32(const uint8_t* bits, size_t stride, size_t n, size_t m, uint8_t* block);
void unpack32(const uint8_t* block, size_t n, size_t m, uint8_t* bits, size_t stride);

// For codes b of a rotated query q': <b - 1/2, q'> ~ offset + step * sum, where sum is lut32's. Off
// by at most step / 2 for every group of four dimensions; not at all where q's values are whole
// multiples of a unit of which a byte holds the sums.
struct QueryTable {
  std::vector<uint8_t> entries;  // `groups` tables of 16
  size_t groups = 0;
  float step = 0, offset = 0;

  // m is a multiple of 16; entries are at most `most`.
  void set(const float* q, size_t m, float unit = 0, uint8_t most = 255);
};
inline constexpr uint8_t kSmallEntry = 63;  // for kernel lut32_small

// The same with sums of 16-bit entries: 256 * lut32's of `high`, plus lut32's of `low`.
struct FineQueryTable {
  std::vector<uint8_t> high, low;
  size_t groups = 0;
  double step = 0, offset = 0;

  void set(const float* q, size_t m, float unit = 0);
};

// Tables of bytes as faiss's fast scans have them: of one query in several lists, with one scale
// for all, that sums which count from the least of all lists are rounded by.
class ByteScale {
 public:
  // Lists' summands, as QueryGrid has them: m values, a multiple of 16.
  void meet(const float* v, size_t m, float base);
  // A step of what is told, in units of sums; 0 where all sums are the same.
  float step() const { return scale() > 0 ? 1 / scale() : 0; }
  // The table of one of the lists: lut32's sums tell offset + step * sum.
  void set(const float* v, size_t m, float base, FineQueryTable& out) const;

 private:
  float scale() const;

  float widest_ = 0, size_ = 0;  // of one group; of all
  float least_ = std::numeric_limits<float>::infinity();
};

}  // namespace shortlist
