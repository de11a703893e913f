// Pages of the files of an index on disk: each ends with its checksum, and the first begins with
// what kind of file this is.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "io/crc32c.h"
#include "io/random_files.h"
#include "io/stream.h"

namespace shortlist::spann {

inline constexpr size_t kPage = io::RandomFiles::kAlignment;
inline uint64_t pages_of(uint64_t bytes) { return (bytes + kPage - 1) / kPage; }

// Bytes at an address that direct reads take; kept from read to read.
class Room {
 public:
  std::byte* of(size_t bytes);
  size_t memory() const { return bytes_.capacity_bytes(); }

 private:
  Array<std::byte> bytes_;
};

struct Start {
  static constexpr uint16_t kMajor = 1, kMinor = 0;
  static constexpr uint32_t kByteOrder = 0x01020304;

  char magic[8];
  uint16_t major = kMajor, minor = kMinor;
  uint32_t byte_order = kByteOrder;

  // `kind` tells the files apart.
  explicit Start(char kind) : magic{'\x89', 'S', 'L', kind, 'F', '\r', '\n', '\x1a'} {}
};

inline CorruptIndexError damaged(const std::string& path, const char* what) {
  return CorruptIndexError(text("'", path, "' ", what, "; restore it, or build it again"));
}
// Throws CorruptIndexError for another kind of file, UnsupportedError for one of a newer release.
inline void check_start(const Start& start, char kind, const std::string& path,
                        const char* another) {
  if (std::memcmp(start.magic, Start(kind).magic, sizeof start.magic) != 0)
    throw damaged(path, another);
  if (start.byte_order != Start::kByteOrder)
    throw damaged(path, "has another machine's byte order");
  if (start.major != Start::kMajor)
    throw UnsupportedError(text("'", path, "' has version ", start.major, ".", start.minor,
                                ", this release reads ", Start::kMajor,
                                ".x; read it with a newer one"));
}

inline uint32_t checksum_of(std::span<const std::byte> bytes) {
  return io::crc32c(0, bytes.data(), bytes.size() - sizeof(uint32_t));
}
inline void seal(std::span<std::byte> bytes) {
  const uint32_t crc = checksum_of(bytes);
  std::memcpy(bytes.data() + bytes.size() - sizeof crc, &crc, sizeof crc);
}
inline bool is_sealed(std::span<const std::byte> bytes) {
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + bytes.size() - sizeof crc, sizeof crc);
  return crc == checksum_of(bytes);
}

// A page that begins with `fields`.
template <class Fields>
std::vector<std::byte> sealed(const Fields& fields) {
  std::vector<std::byte> page(kPage);
  std::memcpy(page.data(), &fields, sizeof fields);
  seal(page);
  return page;
}
template <class Fields>
bool unsealed(const std::byte* page, Fields& fields) {
  std::memcpy(&fields, page, sizeof fields);
  return is_sealed({page, kPage});
}

// Bytes that go into a file one behind the other.
class PageSink {
 public:
  explicit PageSink(io::Sink& sink) : sink_(sink) {}
  void put(const void* data, size_t n) {
    sink_.write(data, n);
    at_ += n;
  }
  void fill_page();  // with zeros
  uint64_t at() const { return at_; }

 private:
  io::Sink& sink_;
  uint64_t at_ = 0;
};

void read_pages(const io::RandomFiles& files, size_t file, uint64_t page, size_t n, std::byte* to);
// Bytes that begin at a page, a few pages at a time.
void read_table(const io::RandomFiles& files, size_t file, uint64_t page, void* to, uint64_t bytes);

}  // namespace shortlist::spann
