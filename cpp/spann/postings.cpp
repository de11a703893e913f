#include "spann/postings.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "io/crc32c.h"
#include "spann/pages.h"

namespace shortlist::spann {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kKind = 'P';
constexpr uint32_t kPostingMagic = 0x4f504c53;
constexpr size_t kMostCode = size_t{1} << 20;

struct Header {
  Start start{kKind};
  uint32_t page = kPage, code_size = 0;
  uint64_t build = 0, number = 0;
};
struct Footer {
  Start start{kKind};
  uint64_t directory = 0, postings = 0, splits = 0, entries = 0, length = 0;
  uint32_t directory_crc = 0, zero = 0;  // no padding, whose bytes would be any
};
struct PostingHead {
  uint32_t magic, count;
  uint64_t number;
  uint32_t crc;  // of what stands before, ids and codes
  uint32_t zero[3];
};
static_assert(sizeof(PostingHead) == 32);

uint32_t checksum(PostingHead head, const void* ids, size_t id_bytes, const void* codes,
                  size_t code_bytes) {
  const uint32_t crc = io::crc32c(io::crc32c(0, &head, offsetof(PostingHead, crc)), ids, id_bytes);
  return io::crc32c(crc, codes, code_bytes);
}

}  // namespace

PostingWriter::PostingWriter(io::Sink& sink, size_t code_size, uint64_t build, uint64_t number)
    : sink_(sink), code_size_(code_size), build_(build) {
  if (code_size < 1 || code_size > kMostCode)
    throw ArgumentError(text("code_size = ", code_size, "; it must be from 1 to ", kMostCode));
  const auto page = sealed(
      Header{.code_size = static_cast<uint32_t>(code_size), .build = build, .number = number});
  sink_.put(page.data(), page.size());
}

void PostingWriter::add(const id_t* ids, const std::byte* codes, size_t n, bool split) {
  if (n > kMostInPosting)
    throw ArgumentError(text("a posting of ", n, " vectors; at most ", kMostInPosting, " fit"));
  const uint64_t page = sink_.at() / kPage;
  if (page > UINT32_MAX)
    throw ArgumentError("a file of postings holds at most 16 TiB; write them to several");
  directory_.push_back({static_cast<uint32_t>(page), static_cast<uint32_t>(n), 0});
  entries_ += n;
  splits_ += split;
  if (n == 0) return;
  PostingHead head{kPostingMagic, static_cast<uint32_t>(n), directory_.size() - 1, 0, {}};
  head.crc = checksum(head, ids, n * sizeof(id_t), codes, n * code_size_);
  sink_.put(&head, sizeof head);
  sink_.put(ids, n * sizeof(id_t));
  sink_.put(codes, n * code_size_);
  sink_.fill_page();
}

void PostingWriter::finish() {
  Footer footer{.directory = sink_.at(),
                .postings = directory_.size(),
                .splits = splits_,
                .entries = entries_};
  const size_t bytes = directory_.size() * sizeof(PostingPlace);
  footer.directory_crc = io::crc32c(0, directory_.data(), bytes);
  sink_.put(directory_.data(), bytes);
  sink_.fill_page();
  footer.length = sink_.at() + kPage;
  const auto page = sealed(footer);
  sink_.put(page.data(), page.size());
}

PostingFiles::PostingFiles(const std::vector<std::string>& paths, io::Backend backend,
                           io::Caching caching)
    : files_(io::RandomFiles::open(paths, backend, caching)) {
  if (paths.empty() || paths.size() > kMostFiles)
    throw ArgumentError(
        text(paths.size(), " files of postings; an index has from 1 to ", kMostFiles));
  std::vector<PostingPlace> splits;
  for (size_t f = 0; f < paths.size(); ++f) open(f, splits);
  if (directory_.size() + splits.size() >= kNoSlot)
    throw UnsupportedError(
        text(directory_.size() + splits.size(), " postings; at most ", kNoSlot - 1, " are read"));
  for (File& part : parts_) part.first_split += directory_.size();
  splits_ = splits.size();
  directory_.insert(directory_.end(), splits.begin(), splits.end());
  for (const PostingPlace& p : directory_) entries_ += p.count;
}

void PostingFiles::open(size_t file, std::vector<PostingPlace>& splits) {
  const std::string& path = files_->path(file);
  const uint64_t size = files_->size(file);
  Room room;
  std::byte* const page = room.of(kPage);
  if (size < 2 * kPage || size % kPage) throw damaged(path, "is no whole file of postings");
  read_pages(*files_, file, 0, 1, page);
  Header header;
  const bool sound = unsealed(page, header);
  check_start(header.start, kKind, path, "is no file of postings");
  if (!sound || header.page != kPage || header.code_size < 1 || header.code_size > kMostCode)
    throw damaged(path, "has a damaged header");
  if (file && (header.code_size != code_size_ || header.build != build_))
    throw damaged(path, "is not of the same build as the files before it");
  if (file && header.number != number_ + file)
    throw damaged(path, "is not the file that follows those before it");
  code_size_ = header.code_size;
  build_ = header.build;
  if (!file) number_ = header.number;

  read_pages(*files_, file, size / kPage - 1, 1, page);
  Footer footer;
  if (!unsealed(page, footer) || footer.zero ||
      std::memcmp(footer.start.magic, header.start.magic, sizeof header.start.magic) != 0)
    throw damaged(path, "has a damaged footer, or was not written to its end");
  const uint64_t bytes = footer.postings * sizeof(PostingPlace);
  if (footer.length != size || footer.directory % kPage ||
      footer.postings > size / sizeof(PostingPlace) || footer.splits > footer.postings ||
      footer.directory / kPage + pages_of(bytes) + 1 != size / kPage)
    throw damaged(path, "has a footer that does not fit it");
  std::vector<PostingPlace> places(footer.postings);
  read_table(*files_, file, footer.directory / kPage, places.data(), bytes);
  if (io::crc32c(0, places.data(), bytes) != footer.directory_crc)
    throw damaged(path, "has a damaged directory");
  uint64_t next = 1, entries = 0;
  for (PostingPlace& p : places) {
    if (p.page != next || p.file != 0) throw damaged(path, "has a directory with gaps");
    next += extent(p.count) / kPage;
    entries += p.count;
    p.file = static_cast<uint8_t>(file);
  }
  if (next * kPage != footer.directory || entries != footer.entries)
    throw damaged(path, "has a directory that does not fit it");
  const uint64_t regular = footer.postings - footer.splits;
  parts_.push_back({directory_.size(), regular, splits.size()});
  const auto end = places.begin() + static_cast<ptrdiff_t>(regular);
  directory_.insert(directory_.end(), places.begin(), end);
  splits.insert(splits.end(), end, places.end());
}

size_t PostingFiles::extent(size_t n) const {
  return n ? pages_of(sizeof(PostingHead) + n * (sizeof(id_t) + code_size_)) * kPage : 0;
}

uint64_t PostingFiles::number_in_file(slot_t posting) const {
  const File& part = parts_[directory_[posting].file];
  const bool split = posting >= postings() - splits_;
  return split ? part.regular + posting - part.first_split : posting - part.first;
}

PostingFiles::Posting PostingFiles::checked(slot_t number, const std::byte* data) const {
  PostingHead head;
  std::memcpy(&head, data, sizeof head);
  const size_t n = directory_[number].count, ids = n * sizeof(id_t), codes = n * code_size_;
  const std::byte* first = data + sizeof head;
  const bool plain = !head.zero[0] && !head.zero[1] && !head.zero[2];
  if (!plain || head.magic != kPostingMagic || head.count != n ||
      head.number != number_in_file(number) ||
      head.crc != checksum(head, first, ids, first + ids, codes))
    throw CorruptIndexError(text("'", files_->path(directory_[number].file), "': posting ",
                                 head.number, " is damaged; restore the file, or build it again"));
  return {number, n, reinterpret_cast<const id_t*>(first), first + ids};
}

void PostingFiles::read(std::span<const slot_t> numbers, Room& room, const Each& each) const {
  constexpr size_t kAtATime = size_t{2} << 20;  // bytes, but for a posting that is larger
  std::vector<io::RandomFiles::Piece> pieces;
  std::vector<slot_t> of;
  for (size_t at = 0; at < numbers.size();) {
    pieces.clear();
    of.clear();
    size_t total = 0;
    for (; at < numbers.size(); ++at) {
      const slot_t p = numbers[at];
      if (p >= postings())
        throw ArgumentError(text("posting ", p, " is not there; there are ", postings()));
      if (total && total + bytes(p) > kAtATime) break;
      if (!count(p)) continue;
      pieces.push_back(
          {directory_[p].page * uint64_t{kPage}, bytes(p), nullptr, directory_[p].file});
      of.push_back(p);
      total += bytes(p);
    }
    std::byte* to = room.of(total);
    for (auto& piece : pieces) {
      piece.to = to;
      to += piece.n;
    }
    files_->read(pieces, [&](size_t i) { each(checked(of[i], pieces[i].to)); });
  }
}

void PostingFiles::verify() const {
  constexpr size_t kTogether = 64;
  std::vector<slot_t> some;
  Room room;
  for (slot_t first = 0; first < postings(); first += kTogether) {
    poll_interrupt();
    some.clear();
    for (slot_t p = first; p < std::min<size_t>(postings(), first + kTogether); ++p)
      some.push_back(p);
    read(some, room, [&](const Posting& p) {
      const std::byte* end = p.codes + p.n * code_size_;
      const std::byte* last =
          reinterpret_cast<const std::byte*>(p.ids) - sizeof(PostingHead) + bytes(p.number);
      if (std::any_of(end, last, [](std::byte x) { return x != std::byte{0}; }))
        throw CorruptIndexError(text("'", files_->path(directory_[p.number].file),
                                     "': bytes behind posting ", number_in_file(p.number),
                                     " are not zero; restore the file, or build it again"));
    });
  }
}

}  // namespace shortlist::spann
