// Which ids an index on disk holds, and where the vector of each is: in a file, sorted by id, so
// that one read finds an id.
//
//   header     one page: magic, version, byte order, ids of a page, what build it is of
//   pages      ids, as many as a page holds; the place of each, 5 bytes; a checksum
//   directory  the first id of every page
//   footer     one page: where the directory is, its checksum, totals
//
// A place is the row of the vector among the whole vectors, or, where postings hold those, the
// number of a posting which it is in.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "spann/pages.h"

namespace shortlist::spann {

struct IdPlace {
  id_t id;
  uint64_t place;
  bool operator<(const IdPlace& other) const {
    return id != other.id ? id < other.id : place < other.place;
  }
};
inline constexpr uint64_t kNoPlace = UINT64_MAX;
inline constexpr uint64_t kMostPlace = (uint64_t{1} << 40) - 1;

class IdWriter {
 public:
  IdWriter(io::Sink& sink, uint64_t build);

  // Ids from 0 on, ascending. Throws ArgumentError for others, and for places above kMostPlace.
  void add(const IdPlace& next);
  // Without it the file is not complete, and readers refuse it.
  void finish();
  uint64_t size() const { return size_; }
  uint64_t build() const { return build_; }

 private:
  void write_page();

  PageSink sink_;
  const uint64_t build_;
  uint64_t size_ = 0;
  id_t last_ = -1;
  std::vector<std::byte> page_;
  std::vector<id_t> directory_;
};

class IdFile {
 public:
  // Reads the directory, a fortieth of a byte for each id. Throws IoError, CorruptIndexError,
  // UnsupportedError.
  explicit IdFile(const std::string& path, io::Backend backend = io::Backend::pread,
                  io::Caching caching = io::Caching::buffered);

  uint64_t size() const { return size_; }
  uint64_t build() const { return build_; }
  size_t memory() const { return directory_.capacity() * sizeof(id_t); }
  const std::string& path() const { return file_->path(0); }

  // The place of each id, kNoPlace where it is not there. Throws IoError, CorruptIndexError.
  std::vector<uint64_t> find(std::span<const id_t> ids) const;
  // Whether each is there; of pages whose ids have no gap nothing is read.
  std::vector<bool> has(std::span<const id_t> ids) const;
  // Reads every byte. Throws CorruptIndexError.
  void verify() const;

  // All of them, ascending. Throws as find does.
  class Reader {
   public:
    explicit Reader(const IdFile& file) : file_(&file) {}
    bool next();  // false behind the last
    const IdPlace& now() const { return now_; }

   private:
    const IdFile* file_;
    Room room_;
    const std::byte* pages_ = nullptr;
    uint64_t read_ = 0, at_ = 0, end_ = 0;  // ids
    IdPlace now_{-1, 0};
  };

 private:
  static constexpr size_t kNone = SIZE_MAX;
  size_t count(size_t page) const;
  size_t page_of(id_t id) const;  // kNone if none can hold it
  bool gapless(size_t page) const;
  void check(size_t page, const std::byte* data) const;

  std::unique_ptr<io::RandomFiles> file_;
  uint64_t size_ = 0, build_ = 0;
  id_t last_ = -1;
  std::vector<id_t> directory_;
};

}  // namespace shortlist::spann
