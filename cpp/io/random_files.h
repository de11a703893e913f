// Reads of many places of some files at once, by whatever this machine offers for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace shortlist::io {

// How reads are made: io_uring asks the kernel for all of them at once; pread has threads wait for
// one each. `automatic` is io_uring where a read by it succeeds, once for the process.
enum class Backend { automatic, io_uring, pread };
// Past the page cache, or through it; `automatic` is through it for files that fit into half of the
// memory that is available.
enum class Caching { automatic, direct, buffered };

Backend backend_named(const std::string& name);  // throws ArgumentError
Caching caching_named(const std::string& name);

class RandomFiles {
 public:
  // Offsets, lengths and addresses of direct reads are multiples of this.
  static constexpr size_t kAlignment = 4096;

  struct Piece {
    uint64_t offset;
    size_t n;
    std::byte* to;
    uint32_t file = 0;
  };
  using Done = std::function<void(size_t)>;

  // Throws IoError. Where the file system refuses direct reads, or io_uring is not to be had, the
  // next best takes its place.
  static std::unique_ptr<RandomFiles> open(const std::vector<std::string>& paths,
                                           Backend backend = Backend::automatic,
                                           Caching caching = Caching::automatic);
  virtual ~RandomFiles() = default;
  RandomFiles(const RandomFiles&) = delete;
  RandomFiles& operator=(const RandomFiles&) = delete;

  // Reads all pieces and calls done(i) on this thread for each that is whole, in any order. No read
  // is under way when it ends, also by an exception: IoError, CorruptIndexError where the file ends
  // early, or what done throws. From many threads at once.
  virtual void read(std::span<const Piece> pieces, const Done& done) const = 0;

  size_t files() const { return files_.size(); }
  uint64_t size(size_t file) const { return files_[file].size; }
  const std::string& path(size_t file) const { return files_[file].path; }
  bool direct() const { return direct_; }
  std::string backend() const;  // such as "io_uring, direct"

 protected:
  // Closed in the end.
  struct Opened {
    Opened(std::string path, int flags);
    Opened(Opened&& other) noexcept;
    ~Opened();
    std::string path;
    int fd;
    uint64_t size;
  };
  RandomFiles(std::vector<Opened> files, bool direct, const char* name)
      : files_(std::move(files)), direct_(direct), name_(name) {}
  int fd(const Piece& piece) const { return files_[piece.file].fd; }

  const std::vector<Opened> files_;
  const bool direct_;

 private:
  const char* const name_;
};

// Why io_uring is not used in this process; empty if it is, or was not tried.
std::string why_no_io_uring();

}  // namespace shortlist::io
