// Reads of many places of a file at once, by whatever this machine offers for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace shortlist::io {

// How reads are made: io_uring asks the kernel for all of them at once; pread has threads wait for
// one each. `automatic` is io_uring where a read by it succeeds, once for the process.
enum class Backend { automatic, io_uring, pread };
// Past the page cache, or through it; `automatic` is through it for files that fit into half of the
// memory that is available.
enum class Caching { automatic, direct, buffered };

Backend backend_named(const std::string& name);  // throws ArgumentError
Caching caching_named(const std::string& name);

class RandomFile {
 public:
  // Offsets, lengths and addresses of direct reads are multiples of this.
  static constexpr size_t kAlignment = 4096;

  struct Piece {
    uint64_t offset;
    size_t n;
    std::byte* to;
  };
  using Done = std::function<void(size_t)>;

  // Throws IoError. Where the file system refuses direct reads, or io_uring is not to be had, the
  // next best takes its place.
  static std::unique_ptr<RandomFile> open(const std::string& path,
                                          Backend backend = Backend::automatic,
                                          Caching caching = Caching::automatic);
  virtual ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  // Reads all pieces and calls done(i) on this thread for each that is whole, in any order. No read
  // is under way when it ends, also by an exception: IoError, CorruptIndexError where the file ends
  // early, or what done throws. From many threads at once.
  virtual void read(std::span<const Piece> pieces, const Done& done) const = 0;

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  bool direct() const { return direct_; }
  std::string backend() const;  // such as "io_uring, direct"

 protected:
  RandomFile(std::string path, int fd, uint64_t size, bool direct, const char* name)
      : path_(std::move(path)), fd_(fd), size_(size), direct_(direct), name_(name) {}

  const std::string path_;
  const int fd_;
  const uint64_t size_;
  const bool direct_;

 private:
  const char* const name_;
};

// Why io_uring is not used in this process; empty if it is, or was not tried.
std::string why_no_io_uring();

}  // namespace shortlist::io
