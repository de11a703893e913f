// Vectors in files by row, to compare again those that codes found: in blocks of some pages, each
// with a checksum, so that one read fetches a row and damage shows.
//
//   header   one page: magic, version, bytes of a row, what build it is of, rows, how many there
//   are
//            in the files before
//   blocks   as many whole rows as fit, zeros, a checksum
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/stream.h"
#include "spann/postings.h"

namespace shortlist::spann {

class VectorWriter {
 public:
  VectorWriter(io::Sink& sink, size_t row_bytes, uint64_t rows, uint64_t build,
               uint64_t before = 0);
  void add(const std::byte* rows, size_t n);
  // Throws ArgumentError unless all rows were added.
  void finish();

 private:
  void write_block();

  io::Sink& sink_;
  const size_t row_bytes_;
  const uint64_t rows_;
  uint64_t added_ = 0;
  size_t used_ = 0;  // bytes of block_
  std::vector<std::byte> block_;
};

class VectorFiles {
 public:
  // Files whose rows follow one another. Throws IoError, CorruptIndexError, UnsupportedError.
  VectorFiles(const std::vector<std::string>& paths, io::Backend backend, io::Caching caching);

  uint64_t rows() const { return first_.back(); }
  size_t row_bytes() const { return row_bytes_; }
  uint64_t build() const { return build_; }
  const io::RandomFiles& files() const { return *files_; }
  size_t block_bytes() const { return block_bytes_; }

  // Calls each(i, bytes) for every rows[i], in any order. Throws IoError, CorruptIndexError where a
  // block is not what was written, ArgumentError for a row that is not there.
  using Each = std::function<void(size_t, const std::byte*)>;
  void read(std::span<const uint64_t> rows, Room& room, const Each& each) const;
  // Reads every byte. Throws CorruptIndexError.
  void verify() const;

 private:
  std::unique_ptr<io::RandomFiles> files_;
  std::vector<uint64_t> first_;  // row of each file, and the end
  size_t row_bytes_ = 0, block_bytes_ = 0, in_block_ = 0;
  uint64_t build_ = 0, before_ = 0;
};

}  // namespace shortlist::spann
