// The native file: named sections, each with its checksum, listed again in a directory at the
// end. Written and read in one pass, so that pipes work; payloads are 64-byte aligned, so that
// files can be mapped.
//
//   header     64 bytes: magic, version, byte order, checksum
//   sections   head (128 bytes: name, length, checksum), payload, zeros, payload checksum
//   directory  a section listing offset, length, checksum and name of every other
//   footer     64 bytes: magic, offset of the directory, length of the file, checksum
//
// Every byte is covered by a checksum or known to be zero.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/stream.h"

namespace shortlist::io {

inline constexpr uint16_t kMajorVersion = 1;  // readers refuse others
inline constexpr uint16_t kMinorVersion = 0;  // grows when sections are added that readers may skip
inline constexpr std::string_view kContainerMagic{"\x89SLIX\r\n\x1a", 8};

struct Section {
  std::string name;
  uint64_t at = 0, length = 0;  // of the payload
  uint32_t crc = 0;
};

class ContainerWriter {
 public:
  explicit ContainerWriter(Sink& sink);
  // A section of exactly `length` bytes, in as many writes as wanted.
  void begin(std::string_view name, uint64_t length);
  void write(const void* data, size_t n);
  void end();
  void section(std::string_view name, const void* data, size_t n);
  // Without it the file is not complete, and readers refuse it.
  void finish();

 private:
  void put(const void* data, size_t n);
  void head(uint32_t tag, std::string_view name, uint64_t length);

  Sink& sink_;
  uint64_t at_ = 0, left_ = 0;
  Section open_;
  std::vector<Section> sections_;
};

class ContainerReader {
 public:
  explicit ContainerReader(Source& source);
  // Goes forward to the section `name`, past others (a later minor version may have added them),
  // and returns its length.
  uint64_t open(std::string_view name);
  void read(void* data, size_t n);  // within the section; not to be trusted before close()
  size_t remaining() const;         // of the section, or SIZE_MAX if the source's end is unknown
  void close();                     // the section was read whole and its checksum is right
  // Reads on to the end and verifies the directory and the footer.
  void finish();

 private:
  uint32_t next();  // reads a section's head into open_ and returns its tag
  void skip();
  void take(void* data, size_t n);

  Source& source_;
  uint64_t at_ = 0, left_ = 0;
  Section open_;
  std::vector<Section> sections_;
};

// Named values, in a section of their own.
using Fields = std::map<std::string, std::string>;
void write_fields(ContainerWriter& out, std::string_view name, const Fields& fields);
Fields read_fields(ContainerReader& in, std::string_view name);

}  // namespace shortlist::io
