// Pages of the files of an index on disk: each ends with its checksum, and the first begins with
// what kind of file this is.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/crc32c.h"
#include "io/random_files.h"

namespace shortlist::spann {

inline constexpr size_t kPage = io::RandomFiles::kAlignment;

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

}  // namespace shortlist::spann
