#include "spann/postings.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "io/crc32c.h"

namespace shortlist::spann {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'\x89', 'S', 'L', 'P', 'F', '\r', '\n', '\x1a'};
constexpr uint16_t kMajor = 1, kMinor = 0;
constexpr uint32_t kByteOrder = 0x01020304, kPostingMagic = 0x4f504c53;
constexpr size_t kMostCode = size_t{1} << 20;

struct Header {
  char magic[8];
  uint16_t major, minor;
  uint32_t byte_order, page;
  uint32_t code_size;
  uint64_t build;
};
struct Footer {
  char magic[8];
  uint64_t directory, postings, entries, length;
  uint32_t directory_crc;
};
struct PostingHead {
  uint32_t magic, count;
  uint64_t number;
  uint32_t crc;  // of what stands before, ids and codes
  uint32_t zero[3];
};
static_assert(sizeof(PostingHead) == 32);

uint64_t pages(uint64_t bytes) { return (bytes + kPage - 1) / kPage; }

uint32_t checksum(PostingHead head, const void* ids, size_t id_bytes, const void* codes,
                  size_t code_bytes) {
  const uint32_t crc = io::crc32c(io::crc32c(0, &head, offsetof(PostingHead, crc)), ids, id_bytes);
  return io::crc32c(crc, codes, code_bytes);
}

// A page that begins with `fields` and ends with its own checksum.
template <class Fields>
std::vector<std::byte> sealed(const Fields& fields) {
  std::vector<std::byte> page(kPage);
  std::memcpy(page.data(), &fields, sizeof fields);
  const uint32_t crc = io::crc32c(0, page.data(), kPage - sizeof(uint32_t));
  std::memcpy(page.data() + kPage - sizeof crc, &crc, sizeof crc);
  return page;
}
template <class Fields>
bool unsealed(const std::byte* page, Fields& fields) {
  uint32_t crc;
  std::memcpy(&crc, page + kPage - sizeof crc, sizeof crc);
  std::memcpy(&fields, page, sizeof fields);
  return crc == io::crc32c(0, page, kPage - sizeof crc);
}

// Bytes at an address that direct reads take.
class Pages {
 public:
  explicit Pages(size_t n) : room_((n + 1) * kPage) {
    const auto begin = reinterpret_cast<uintptr_t>(room_.data());
    data_ = room_.data() + (kPage - begin % kPage) % kPage;
  }
  std::byte* data() { return data_; }

 private:
  struct Uninitialised {
    explicit Uninitialised(size_t n) { bytes.grow(n); }
    std::byte* data() { return bytes.data(); }
    Array<std::byte> bytes;
  } room_;
  std::byte* data_;
};

}  // namespace

PostingWriter::PostingWriter(io::Sink& sink, size_t code_size, uint64_t build)
    : sink_(sink), code_size_(code_size) {
  if (code_size < 1 || code_size > kMostCode)
    throw ArgumentError(text("code_size = ", code_size, "; it must be from 1 to ", kMostCode));
  Header header{{}, kMajor, kMinor, kByteOrder, kPage, static_cast<uint32_t>(code_size), build};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  const auto page = sealed(header);
  put(page.data(), page.size());
}

void PostingWriter::put(const void* data, size_t n) {
  sink_.write(data, n);
  at_ += n;
}

void PostingWriter::fill_page() {
  static constexpr std::byte kZeros[kPage]{};
  if (at_ % kPage) put(kZeros, kPage - at_ % kPage);
}

void PostingWriter::add(const id_t* ids, const std::byte* codes, size_t n) {
  if (n > kMostInPosting)
    throw ArgumentError(text("a posting of ", n, " vectors; at most ", kMostInPosting, " fit"));
  const uint64_t page = at_ / kPage;
  if (page > UINT32_MAX)
    throw ArgumentError("a file of postings holds at most 16 TiB; write them to several");
  directory_.push_back({static_cast<uint32_t>(page), static_cast<uint32_t>(n)});
  entries_ += n;
  if (n == 0) return;
  PostingHead head{kPostingMagic, static_cast<uint32_t>(n), directory_.size() - 1, 0, {}};
  head.crc = checksum(head, ids, n * sizeof(id_t), codes, n * code_size_);
  put(&head, sizeof head);
  put(ids, n * sizeof(id_t));
  put(codes, n * code_size_);
  fill_page();
}

void PostingWriter::finish() {
  Footer footer{{}, at_, directory_.size(), entries_, 0, 0};
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  const size_t bytes = directory_.size() * sizeof(PostingPlace);
  footer.directory_crc = io::crc32c(0, directory_.data(), bytes);
  put(directory_.data(), bytes);
  fill_page();
  footer.length = at_ + kPage;
  const auto page = sealed(footer);
  put(page.data(), page.size());
}

PostingFile::PostingFile(const std::string& path, io::Backend backend, io::Caching caching)
    : file_(io::RandomFile::open(path, backend, caching)) {
  const auto damaged = [&](const char* what) -> CorruptIndexError {
    return CorruptIndexError(text("'", path, "' ", what, "; restore it, or build it again"));
  };
  Pages page(1);
  if (file_->size() < sizeof kMagic) throw damaged("is too short for a file of postings");
  const bool whole = file_->size() >= 2 * kPage && file_->size() % kPage == 0;
  if (whole) read_pages(0, 1, page.data());
  Header header;
  const bool sound = whole && unsealed(page.data(), header);
  if (!whole) throw damaged("is no whole file of postings");
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
    throw damaged("is no file of postings");
  if (header.byte_order != kByteOrder) throw damaged("has another machine's byte order");
  if (header.major != kMajor)
    throw UnsupportedError(text("'", path, "' has version ", header.major, ".", header.minor,
                                ", this release reads ", kMajor, ".x; read it with a newer one"));
  if (!sound || header.page != kPage || header.code_size < 1 || header.code_size > kMostCode)
    throw damaged("has a damaged header");
  code_size_ = header.code_size;
  build_ = header.build;

  read_pages(file_->size() / kPage - 1, 1, page.data());
  Footer footer;
  if (!unsealed(page.data(), footer) || std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0)
    throw damaged("has a damaged footer, or was not written to its end");
  const uint64_t bytes = footer.postings * sizeof(PostingPlace);
  if (footer.length != file_->size() || footer.directory % kPage ||
      footer.postings > file_->size() / sizeof(PostingPlace) ||
      footer.directory / kPage + pages(bytes) + 1 != file_->size() / kPage)
    throw damaged("has a footer that does not fit it");
  directory_.resize(footer.postings);
  constexpr size_t kAtATime = 256;  // pages
  Pages some(kAtATime);
  auto* to = reinterpret_cast<std::byte*>(directory_.data());
  for (uint64_t at = 0; at < bytes; at += kAtATime * kPage) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(kAtATime * kPage, bytes - at));
    read_pages((footer.directory + at) / kPage, static_cast<size_t>(pages(n)), some.data());
    std::memcpy(to + at, some.data(), n);
  }
  if (io::crc32c(0, directory_.data(), bytes) != footer.directory_crc)
    throw damaged("has a damaged directory");
  uint64_t next = 1;
  for (const PostingPlace& p : directory_) {
    if (p.page != next || p.count > kMostInPosting) throw damaged("has a directory with gaps");
    next += extent(p.count) / kPage;
    entries_ += p.count;
  }
  if (next * kPage != footer.directory || entries_ != footer.entries)
    throw damaged("has a directory that does not fit it");
}

size_t PostingFile::extent(size_t n) const {
  return n ? pages(sizeof(PostingHead) + n * (sizeof(id_t) + code_size_)) * kPage : 0;
}

void PostingFile::read_pages(uint64_t page, size_t n, std::byte* to) const {
  const io::RandomFile::Piece piece{page * kPage, n * kPage, to};
  file_->read({&piece, 1}, [](size_t) {});
}

PostingFile::Posting PostingFile::checked(slot_t number, const std::byte* data) const {
  PostingHead head;
  std::memcpy(&head, data, sizeof head);
  const size_t n = directory_[number].count, ids = n * sizeof(id_t), codes = n * code_size_;
  const std::byte* first = data + sizeof head;
  const bool plain = !head.zero[0] && !head.zero[1] && !head.zero[2];
  if (!plain || head.magic != kPostingMagic || head.count != n || head.number != number ||
      head.crc != checksum(head, first, ids, first + ids, codes))
    throw CorruptIndexError(text("'", file_->path(), "': posting ", number,
                                 " is damaged; restore the file, or build it again"));
  return {number, n, reinterpret_cast<const id_t*>(first), first + ids};
}

void PostingFile::read(std::span<const slot_t> numbers, const Each& each) const {
  std::vector<io::RandomFile::Piece> pieces;
  std::vector<slot_t> of;
  size_t total = 0;
  for (const slot_t p : numbers) {
    if (p >= postings())
      throw ArgumentError(text("posting ", p, " is not there; there are ", postings()));
    if (!count(p)) continue;
    pieces.push_back({directory_[p].page * uint64_t{kPage}, bytes(p), nullptr});
    of.push_back(p);
    total += bytes(p);
  }
  Pages room(total / kPage);
  std::byte* to = room.data();
  for (auto& piece : pieces) {
    piece.to = to;
    to += piece.n;
  }
  file_->read(pieces, [&](size_t i) { each(checked(of[i], pieces[i].to)); });
}

void PostingFile::verify() const {
  constexpr size_t kTogether = 64;
  std::vector<slot_t> some;
  for (slot_t first = 0; first < postings(); first += kTogether) {
    poll_interrupt();
    some.clear();
    for (slot_t p = first; p < std::min<size_t>(postings(), first + kTogether); ++p)
      some.push_back(p);
    read(some, [&](const Posting& p) {
      const std::byte* end = p.codes + p.n * code_size_;
      const std::byte* last =
          reinterpret_cast<const std::byte*>(p.ids) - sizeof(PostingHead) + bytes(p.number);
      if (std::any_of(end, last, [](std::byte x) { return x != std::byte{0}; }))
        throw CorruptIndexError(text("'", file_->path(), "': bytes behind posting ", p.number,
                                     " are not zero; restore the file, or build it again"));
    });
  }
}

}  // namespace shortlist::spann
