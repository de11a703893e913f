#include "io/container.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "io/crc32c.h"
#include "io/foreign.h"

namespace shortlist::io {
namespace {

constexpr size_t kAlign = 64;
constexpr uint32_t kByteOrder = 0x01020304;
constexpr uint32_t kSectionTag = 0x54434553;    // "SECT"
constexpr uint32_t kDirectoryTag = 0x44524944;  // "DIRD"
constexpr std::string_view kFooterMagic{"SLIX-END", 8};
constexpr std::string_view kDirectoryName = "directory";

struct FileHeader {
  char magic[8];
  uint16_t major, minor;
  uint32_t byte_order;
  char zero[44];
  uint32_t crc;
};
static_assert(sizeof(FileHeader) == kAlign);

struct SectionHead {
  uint32_t tag, name_length;
  uint64_t length;
  char name[108];
  uint32_t crc;
};
static_assert(sizeof(SectionHead) == 2 * kAlign);

struct Footer {
  char magic[8];
  uint64_t directory_at, length;
  uint32_t count;
  char zero[32];
  uint32_t crc;
};
static_assert(sizeof(Footer) == kAlign);

template <class T>
uint32_t crc_of(const T& block) {  // of all but the checksum, which comes last
  return crc32c(0, &block, sizeof(T) - sizeof(uint32_t));
}

// Zeros between a payload and its checksum, so that the next head is aligned.
size_t padding(uint64_t payload_end) {
  return (kAlign - (payload_end + sizeof(uint32_t)) % kAlign) % kAlign;
}

template <class T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof(T));
}
void append(std::vector<std::byte>& to, std::string_view value) {
  append(to, static_cast<uint32_t>(value.size()));
  const auto* bytes = reinterpret_cast<const std::byte*>(value.data());
  to.insert(to.end(), bytes, bytes + value.size());
}

std::vector<std::byte> directory_of(const std::vector<Section>& sections) {
  std::vector<std::byte> out;
  for (const Section& s : sections) {
    append(out, s.at);
    append(out, s.length);
    append(out, s.crc);
    append(out, std::string_view(s.name));
  }
  return out;
}

Footer footer_of(uint64_t directory_at, uint64_t length, size_t count) {
  Footer f{};
  std::memcpy(f.magic, kFooterMagic.data(), sizeof f.magic);
  f.directory_at = directory_at;
  f.length = length;
  f.count = static_cast<uint32_t>(count);
  f.crc = crc_of(f);
  return f;
}

[[noreturn]] void damaged(const std::string& what) {
  throw CorruptIndexError(
      text("the file is damaged: ", what, "; copy it again or rebuild the index"));
}

bool looks_like_faiss(std::string_view head) {
  return head.size() >= 4 && head[0] == 'I' &&
         std::all_of(head.begin(), head.begin() + 4,
                     [](unsigned char c) { return std::isalnum(c); });
}

[[noreturn]] void refuse(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (looks_like_faiss(head))
    throw CorruptIndexError(text("this is no shortlist file but looks like a faiss file ('",
                                 head.substr(0, 4), "'): read it with read_index"));
  if (const std::string what = describe_foreign(bytes); !what.empty())
    throw CorruptIndexError(text("this is no shortlist file but ", what));
  throw CorruptIndexError(
      "this is no shortlist file, or its first bytes are damaged; files of write_index are read "
      "with read_index");
}

}  // namespace

ContainerWriter::ContainerWriter(Sink& sink) : sink_(sink) {
  FileHeader h{};
  std::memcpy(h.magic, kContainerMagic.data(), sizeof h.magic);
  h.major = kMajorVersion;
  h.minor = kMinorVersion;
  h.byte_order = kByteOrder;
  h.crc = crc_of(h);
  put(&h, sizeof h);
}

void ContainerWriter::put(const void* data, size_t n) {
  sink_.write(data, n);
  at_ += n;
}

void ContainerWriter::head(uint32_t tag, std::string_view name, uint64_t length) {
  SectionHead h{};
  if (name.size() > sizeof h.name)
    throw UnsupportedError("the index is nested too deeply to be saved; unwrap a part of it");
  h.tag = tag;
  h.name_length = static_cast<uint32_t>(name.size());
  h.length = length;
  std::memcpy(h.name, name.data(), name.size());
  h.crc = crc_of(h);
  put(&h, sizeof h);
  open_ = {std::string(name), at_, length, 0};
  left_ = length;
}

void ContainerWriter::begin(std::string_view name, uint64_t length) {
  head(kSectionTag, name, length);
}

void ContainerWriter::write(const void* data, size_t n) {
  if (n > left_) throw Error(text("section ", open_.name, " is longer than announced"));
  left_ -= n;
  // The checksum is taken of what is still, or already, in the cache.
  const auto* at = static_cast<const std::byte*>(data);
  for (size_t piece; n; n -= piece, at += piece) {
    piece = std::min(n, kBufferBytes);
    open_.crc = crc32c(open_.crc, at, piece);
    put(at, piece);
  }
}

void ContainerWriter::end() {
  if (left_) throw Error(text("section ", open_.name, " is shorter than announced"));
  constexpr std::byte kZeros[kAlign]{};
  put(kZeros, padding(at_));
  put(&open_.crc, sizeof open_.crc);
  sections_.push_back(std::move(open_));
}

void ContainerWriter::section(std::string_view name, const void* data, size_t n) {
  begin(name, n);
  write(data, n);
  end();
}

void ContainerWriter::finish() {
  const uint64_t directory_at = at_;
  const size_t count = sections_.size();
  const std::vector<std::byte> directory = directory_of(sections_);
  head(kDirectoryTag, kDirectoryName, directory.size());
  write(directory.data(), directory.size());
  end();
  const Footer f = footer_of(directory_at, at_ + sizeof(Footer), count);
  put(&f, sizeof f);
}

ContainerReader::ContainerReader(Source& source) : source_(source) {
  if (source.remaining() == 0) refuse({});
  FileHeader h{};
  // Little of a foreign file may be there; what is there decides how it is described.
  take(&h, std::min(sizeof h, source.remaining()));
  if (std::string_view(h.magic, sizeof h.magic) != kContainerMagic)
    refuse({reinterpret_cast<const std::byte*>(&h), static_cast<size_t>(at_)});
  if (at_ < sizeof h) throw_ended_early(sizeof h - at_);
  if (h.byte_order != kByteOrder) damaged("its byte order is not little-endian");
  if (h.major != kMajorVersion)
    throw CorruptIndexError(text("the file has format version ", h.major, ".", h.minor,
                                 ", this release reads version ", kMajorVersion,
                                 "; read it with the release that wrote it, or upgrade"));
  if (h.crc != crc_of(h)) damaged("the checksum of its header is wrong");
}

void ContainerReader::take(void* data, size_t n) {
  source_.read(data, n);
  at_ += n;
}

uint32_t ContainerReader::next() {
  SectionHead h;
  take(&h, sizeof h);
  if (h.crc != crc_of(h))
    damaged(text("a section head before byte ", at_, " has a wrong checksum"));
  if (h.name_length > sizeof h.name) damaged("a section's name is too long");
  open_ = {std::string(h.name, h.name_length), at_, h.length, 0};
  left_ = h.length;
  if (const size_t there = source_.remaining(); left_ > there) throw_ended_early(left_ - there);
  return h.tag;
}

uint64_t ContainerReader::open(std::string_view name) {
  for (;;) {
    if (next() != kSectionTag) damaged(text("its section '", name, "' is missing"));
    if (open_.name == name) return left_;
    skip();
  }
}

void ContainerReader::read(void* data, size_t n) {
  if (n > left_)
    damaged(
        text("its section '", open_.name, "' has ", left_, " bytes left where ", n, " are needed"));
  left_ -= n;
  auto* at = static_cast<std::byte*>(data);
  for (size_t piece; n; n -= piece, at += piece) {
    piece = std::min(n, kBufferBytes);
    take(at, piece);
    open_.crc = crc32c(open_.crc, at, piece);
  }
}

size_t ContainerReader::remaining() const {
  return source_.remaining() == SIZE_MAX ? SIZE_MAX : static_cast<size_t>(left_);
}

void ContainerReader::close() {
  if (left_) damaged(text("its section '", open_.name, "' is ", left_, " bytes too long"));
  std::byte tail[kAlign + sizeof(uint32_t)];
  const size_t zeros = padding(at_);
  take(tail, zeros + sizeof(uint32_t));
  uint32_t crc;
  std::memcpy(&crc, tail + zeros, sizeof crc);
  const bool clean = std::all_of(tail, tail + zeros, [](std::byte b) { return b == std::byte{0}; });
  if (!clean || crc != open_.crc)
    damaged(text("its section '", open_.name, "' has a wrong checksum"));
  sections_.push_back(std::move(open_));
}

void ContainerReader::skip() {
  std::vector<std::byte> piece(std::min<uint64_t>(left_, kBufferBytes));
  while (left_) read(piece.data(), std::min<uint64_t>(left_, piece.size()));
  close();
}

void ContainerReader::finish() {
  uint64_t directory_at = at_;
  while (next() != kDirectoryTag) {
    skip();
    directory_at = at_;
  }
  const std::vector<std::byte> expected = directory_of(sections_);
  const size_t count = sections_.size();
  if (open_.name != kDirectoryName || left_ != expected.size())
    damaged("its directory does not match its sections");
  const auto stored = read_vector<std::byte>(*this, expected.size());
  close();
  if (stored != expected) damaged("its directory does not match its sections");
  Footer f;
  take(&f, sizeof f);
  const Footer right = footer_of(directory_at, at_, count);
  if (std::memcmp(&f, &right, sizeof f) != 0) damaged("its footer is wrong");
  if (const size_t rest = source_.remaining(); rest != 0 && rest != SIZE_MAX)
    damaged(text(rest, " bytes follow its end"));
}

void write_fields(ContainerWriter& out, std::string_view name, const Fields& fields) {
  std::vector<std::byte> bytes;
  append(bytes, static_cast<uint32_t>(fields.size()));
  for (const auto& [key, value] : fields) {
    if (std::max(key.size(), value.size()) > UINT32_MAX)
      throw ArgumentError("a metadata value is longer than 4 GiB; save it in a file of its own");
    append(bytes, std::string_view(key));
    append(bytes, std::string_view(value));
  }
  out.section(name, bytes.data(), bytes.size());
}

Fields read_fields(ContainerReader& in, std::string_view name) {
  const uint64_t length = in.open(name);
  const auto bytes = read_vector<std::byte>(in, length);
  in.close();
  const auto source = memory_source(bytes.data(), bytes.size());
  const auto number = [&] {
    uint32_t n;
    source->read(&n, sizeof n);
    return n;
  };
  const auto word = [&] {
    const auto chars = read_vector<char>(*source, number());
    return std::string(chars.begin(), chars.end());
  };
  Fields fields;
  for (uint32_t left = number(); left; --left) {
    std::string key = word();
    fields[std::move(key)] = word();
  }
  if (source->remaining()) damaged(text("its section '", name, "' holds more than its fields"));
  return fields;
}

}  // namespace shortlist::io
