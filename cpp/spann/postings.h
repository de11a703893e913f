// Posting lists in files: each from the beginning of a page, with its number and a checksum, so
// that one read fetches it and damage shows.
//
//   header     one page: magic, version, byte order, page size, size of a code, what build it is of
//              and which of its files
//   postings   each from a page of its own: number, count, checksum; ids; codes; zeros
//   directory  first page and count of every posting
//   footer     one page: where the directory is, its checksum, totals
//
// The postings of an index lie in several files, one behind the other. Those that a file has
// because postings grew too long, its splits, come behind the others of all files.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/types.h"
#include "io/random_files.h"
#include "io/stream.h"
#include "spann/pages.h"

namespace shortlist::spann {

inline constexpr size_t kMostInPosting = (size_t{1} << 24) - 1;
inline constexpr size_t kMostFiles = 256;

struct PostingPlace {
  uint32_t page;
  uint32_t count : 24, file : 8;
};

class PostingWriter {
 public:
  // `build` names the build that the file belongs to, `number` the file among those of an index.
  PostingWriter(io::Sink& sink, size_t code_size, uint64_t build, uint64_t number = 0);

  // The next posting; it may be empty. Splits come last. Throws ArgumentError for more than
  // kMostInPosting vectors.
  void add(const id_t* ids, const std::byte* codes, size_t n, bool split = false);
  // Without it the file is not complete, and readers refuse it.
  void finish();
  size_t code_size() const { return code_size_; }
  uint64_t build() const { return build_; }

 private:
  PageSink sink_;
  const size_t code_size_;
  const uint64_t build_;
  uint64_t entries_ = 0, splits_ = 0;
  std::vector<PostingPlace> directory_;
};

class PostingFiles {
 public:
  struct Posting {
    slot_t number;
    size_t n;
    const id_t* ids;         // aligned
    const std::byte* codes;  // back to back
  };
  using Each = std::function<void(const Posting&)>;

  // Reads the directories. Throws IoError, CorruptIndexError for a damaged or foreign file, and for
  // files that are not of one build and in order, and UnsupportedError for one of a newer release.
  PostingFiles(const std::vector<std::string>& paths, io::Backend backend, io::Caching caching);

  size_t postings() const { return directory_.size(); }
  size_t splits() const { return splits_; }      // the last of them
  uint64_t entries() const { return entries_; }  // ids in all postings, replicas counted
  size_t code_size() const { return code_size_; }
  uint64_t build() const { return build_; }
  size_t count(slot_t posting) const { return directory_[posting].count; }
  size_t bytes(slot_t posting) const { return extent(directory_[posting].count); }  // whole pages
  size_t memory() const { return directory_.capacity() * sizeof(PostingPlace); }
  const io::RandomFiles& files() const { return *files_; }

  // Reads the postings of these numbers and calls each(posting) as they come, in any order; empty
  // ones are left out. Throws IoError, and CorruptIndexError where one is not what was written.
  void read(std::span<const slot_t> numbers, Room& room, const Each& each) const;
  // Reads every byte. Throws CorruptIndexError.
  void verify() const;

 private:
  struct File {
    uint64_t first;  // posting
    uint64_t regular, first_split;
  };
  size_t extent(size_t n) const;
  void open(size_t file, std::vector<PostingPlace>& directory);
  uint64_t number_in_file(slot_t posting) const;
  Posting checked(slot_t number, const std::byte* data) const;

  std::unique_ptr<io::RandomFiles> files_;
  std::vector<File> parts_;
  size_t code_size_ = 0, splits_ = 0;
  uint64_t build_ = 0, number_ = 0, entries_ = 0;
  std::vector<PostingPlace> directory_;
};

}  // namespace shortlist::spann
