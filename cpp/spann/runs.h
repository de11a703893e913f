// What one shard of the input sends to postings, in a file: entries sorted by posting, cut into
// buckets of postings that follow one another. Merging the same bucket of all shards' runs gives
// the postings of that bucket.
//
//   header   magic, version, size of a code, what build it is of
//   entries  head and code, one behind the other
//   table    of each bucket: where it begins, how many entries, their checksum
//   footer   where the table is, its checksum
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/random_files.h"
#include "io/stream.h"

namespace shortlist::spann {

struct EntryHead {
  id_t id;
  slot_t posting;
  float distance;  // to the posting's centroid
  uint32_t rank;   // which of the vector's postings this is, from 0 for the nearest
  uint32_t zero = 0;
};
static_assert(sizeof(EntryHead) == 24);

// Bucket b holds the postings [bounds[b], bounds[b + 1]).
using Bounds = std::vector<slot_t>;

// Writes entries that are sorted by posting: entry i has the head heads[i] and the code
// codes[rows[i]], of code_size bytes.
void write_run(io::Sink& sink, const Bounds& bounds, std::span<const EntryHead> heads,
               const std::byte* codes, const uint32_t* rows, size_t code_size, uint64_t build);

class RunFile {
 public:
  // Throws IoError and CorruptIndexError.
  explicit RunFile(const std::string& path);

  size_t code_size() const { return code_size_; }
  uint64_t build() const { return build_; }
  size_t buckets() const { return buckets_.size(); }
  uint64_t entries(size_t bucket) const { return buckets_[bucket].entries; }
  // Reads every byte. Throws CorruptIndexError.
  void verify() const;

  // The entries of a bucket, in order, through a buffer of so many bytes. Throws CorruptIndexError
  // at the last of them where one is not what was written.
  class Reader {
   public:
    Reader(const RunFile& file, size_t bucket, size_t buffer);
    bool next();  // false behind the last
    const EntryHead& head() const { return head_; }
    const std::byte* code() const { return buffer_.data() + at_ + sizeof(EntryHead); }

   private:
    void refill();

    const RunFile* file_;
    const size_t bucket_, size_;
    std::vector<std::byte> buffer_;
    size_t at_, end_ = 0;
    uint64_t offset_, left_;
    uint32_t crc_ = 0;
    EntryHead head_{};
  };

 private:
  struct Bucket {
    uint64_t offset, entries;
    uint32_t crc, zero;
  };
  friend void write_run(io::Sink&, const Bounds&, std::span<const EntryHead>, const std::byte*,
                        const uint32_t*, size_t, uint64_t);
  [[noreturn]] void damaged(const char* what) const;

  std::unique_ptr<io::RandomFiles> file_;
  size_t code_size_ = 0;
  uint64_t build_ = 0;
  std::vector<Bucket> buckets_;
};

}  // namespace shortlist::spann
