// Pages of the files of an index on disk: each ends with its checksum.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "io/crc32c.h"
#include "io/random_files.h"

namespace shortlist::spann {

inline constexpr size_t kPage = io::RandomFiles::kAlignment;
inline constexpr uint32_t kByteOrder = 0x01020304;

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
