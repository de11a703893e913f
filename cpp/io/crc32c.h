// CRC-32C (Castagnoli): the checksum that x86 computes in hardware.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist::io {

// The checksum of what `crc` covers followed by n bytes; start with 0.
uint32_t crc32c(uint32_t crc, const void* data, size_t n);

}  // namespace shortlist::io
