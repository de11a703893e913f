#include "spann/ids.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/threads.h"

namespace shortlist::spann {
namespace {

constexpr char kKind = 'I';
constexpr size_t kPlaceBytes = 5;
constexpr size_t kInPage = (kPage - sizeof(uint32_t)) / (sizeof(id_t) + kPlaceBytes);
constexpr size_t kTogether = 16;    // pages that are read one behind the other
constexpr size_t kAtATime = 512;    // pages that are read at a time
constexpr uint64_t kPollEach = 64;  // pages

struct Header {
  Start start{kKind};
  uint32_t page = kPage, in_page = kInPage;
  uint64_t build = 0;
};
struct Footer {
  Start start{kKind};
  uint64_t directory = 0, size = 0;
  id_t last = -1;
  uint64_t length = 0;
  uint32_t directory_crc = 0, zero = 0;  // no padding, whose bytes would be any
};

// Entries of a directory of n, with the zeros behind them.
size_t whole_pages(size_t n) { return pages_of(n * sizeof(id_t)) * kPage / sizeof(id_t); }

id_t id_at(const std::byte* page, size_t i) {
  id_t out;
  std::memcpy(&out, page + i * sizeof out, sizeof out);
  return out;
}
uint64_t place_at(const std::byte* page, size_t i) {
  uint64_t out = 0;
  std::memcpy(&out, page + kInPage * sizeof(id_t) + i * kPlaceBytes, kPlaceBytes);
  return out;
}

}  // namespace

IdWriter::IdWriter(io::Sink& sink, uint64_t build) : sink_(sink), build_(build), page_(kPage) {
  const auto page = sealed(Header{.build = build});
  sink_.put(page.data(), page.size());
}

void IdWriter::add(const IdPlace& next) {
  if (next.id <= last_)
    throw ArgumentError(text("id ", next.id, " behind ", last_, "; ids must ascend from 0"));
  if (next.place > kMostPlace)
    throw ArgumentError(text("id ", next.id, " is at ", next.place, "; places go to ", kMostPlace));
  const size_t i = size_++ % kInPage;
  if (!i) directory_.push_back(next.id);
  std::memcpy(&page_[i * sizeof(id_t)], &next.id, sizeof(id_t));
  std::memcpy(&page_[kInPage * sizeof(id_t) + i * kPlaceBytes], &next.place, kPlaceBytes);
  last_ = next.id;
  if (i + 1 == kInPage) write_page();
}

void IdWriter::write_page() {
  seal(page_);
  sink_.put(page_.data(), page_.size());
  std::fill(page_.begin(), page_.end(), std::byte{0});
}

void IdWriter::finish() {
  if (size_ % kInPage) write_page();
  directory_.resize(whole_pages(directory_.size()));
  const size_t bytes = directory_.size() * sizeof(id_t);
  Footer footer{.directory = sink_.at(), .size = size_, .last = last_};
  footer.directory_crc = io::crc32c(0, directory_.data(), bytes);
  sink_.put(directory_.data(), bytes);
  footer.length = sink_.at() + kPage;
  const auto page = sealed(footer);
  sink_.put(page.data(), page.size());
}

IdFile::IdFile(const std::string& path, io::Backend backend, io::Caching caching)
    : file_(io::RandomFiles::open({path}, backend, caching)) {
  const uint64_t length = file_->size(0);
  if (length < 2 * kPage || length % kPage) throw damaged(path, "is no whole file of ids");
  Room room;
  std::byte* const page = room.of(kPage);
  read_pages(*file_, 0, 0, 1, page);
  Header header;
  const bool sound = unsealed(page, header);
  check_start(header.start, kKind, path, "is no file of ids");
  if (!sound || header.page != kPage || header.in_page != kInPage)
    throw damaged(path, "has a damaged header");
  read_pages(*file_, 0, length / kPage - 1, 1, page);
  Footer footer;
  if (!unsealed(page, footer) || footer.zero ||
      std::memcmp(footer.start.magic, header.start.magic, sizeof header.start.magic) != 0)
    throw damaged(path, "has a damaged footer, or was not written to its end");
  const uint64_t pages = footer.size / kInPage + (footer.size % kInPage > 0);
  if (footer.length != length || footer.size > length || footer.directory != (1 + pages) * kPage ||
      footer.length / kPage != 2 + pages + pages_of(pages * sizeof(id_t)))
    throw damaged(path, "has a footer that does not fit it");
  build_ = header.build;
  size_ = footer.size;
  last_ = footer.last;
  directory_.resize(whole_pages(pages));
  const size_t bytes = directory_.size() * sizeof(id_t);
  read_table(*file_, 0, 1 + pages, directory_.data(), bytes);
  if (io::crc32c(0, directory_.data(), bytes) != footer.directory_crc)
    throw damaged(path, "has a damaged directory");
  if (last_ == std::numeric_limits<id_t>::max() || (!pages && last_ != -1))
    throw damaged(path, "has a last id that cannot be");
  directory_.resize(pages);
  id_t end = 0;  // of the ids before a page
  for (size_t p = 0; p < pages; ++p) {
    const auto n = static_cast<id_t>(count(p));
    if (directory_[p] < end || directory_[p] > last_ || last_ - directory_[p] < n - 1)
      throw damaged(path, "has a directory that is not in order");
    end = directory_[p] + n;
  }
}

size_t IdFile::count(size_t page) const {
  return static_cast<size_t>(std::min<uint64_t>(kInPage, size_ - uint64_t{page} * kInPage));
}

size_t IdFile::page_of(id_t id) const {
  if (directory_.empty() || id < directory_[0] || id > last_) return kNone;
  return static_cast<size_t>(std::upper_bound(directory_.begin(), directory_.end(), id) -
                             directory_.begin() - 1);
}

bool IdFile::gapless(size_t page) const {
  const id_t end = page + 1 < directory_.size() ? directory_[page + 1] : last_ + 1;
  return end - directory_[page] == static_cast<id_t>(count(page));
}

void IdFile::check(size_t page, const std::byte* data) const {
  if (!is_sealed({data, kPage}) || id_at(data, 0) != directory_[page])
    throw CorruptIndexError(text("'", path(), "' is damaged at byte ", (1 + page) * kPage,
                                 "; restore it, or build it again"));
}

std::vector<uint64_t> IdFile::find(std::span<const id_t> ids) const {
  std::vector<uint64_t> out(ids.size(), kNoPlace);
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return page_of(ids[i]) == kNone; });
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a] < ids[b]; });
  struct Wanted {
    size_t page, begin, end;  // of order
  };
  std::vector<Wanted> wanted;
  std::vector<io::RandomFiles::Piece> pieces;
  Room room;
  for (size_t at = 0; at < order.size();) {
    poll_interrupt();
    wanted.clear();
    while (at < order.size()) {
      const size_t page = page_of(ids[order[at]]);
      if (wanted.empty() || wanted.back().page != page) {
        if (wanted.size() == kAtATime) break;
        wanted.push_back({page, at, at});
      }
      wanted.back().end = ++at;
    }
    pieces.clear();
    std::byte* to = room.of(wanted.size() * kPage);
    for (size_t w = 0; w < wanted.size(); ++w)
      pieces.push_back({(1 + wanted[w].page) * kPage, kPage, to + w * kPage});
    file_->read(pieces, [&](size_t w) {
      const std::byte* page = pieces[w].to;
      check(wanted[w].page, page);
      const size_t n = count(wanted[w].page);
      size_t i = 0;
      for (size_t o = wanted[w].begin; o < wanted[w].end; ++o) {
        const id_t id = ids[order[o]];
        while (i < n && id_at(page, i) < id) ++i;
        if (i < n && id_at(page, i) == id) out[order[o]] = place_at(page, i);
      }
    });
  }
  return out;
}

std::vector<bool> IdFile::has(std::span<const id_t> ids) const {
  std::vector<bool> out(ids.size());
  std::vector<id_t> asked;
  std::vector<size_t> which;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t page = page_of(ids[i]);
    if (page == kNone) continue;
    const bool sure = gapless(page);
    out[i] = sure;
    if (sure) continue;
    asked.push_back(ids[i]);
    which.push_back(i);
  }
  const auto places = find(asked);
  for (size_t i = 0; i < which.size(); ++i) out[which[i]] = places[i] != kNoPlace;
  return out;
}

bool IdFile::Reader::next() {
  if (at_ == end_) {
    if (read_ == file_->size_) return false;
    const auto first = static_cast<size_t>(read_ / kInPage);
    const size_t pages = std::min(kTogether, file_->directory_.size() - first);
    if (first % kPollEach == 0) poll_interrupt();
    std::byte* to = room_.of(pages * kPage);
    read_pages(*file_->file_, 0, 1 + first, pages, to);
    at_ = end_ = 0;
    for (size_t p = 0; p < pages; ++p) {
      file_->check(first + p, to + p * kPage);
      end_ += file_->count(first + p);
    }
    read_ += end_;
    pages_ = to;
  }
  const std::byte* page = pages_ + at_ / kInPage * kPage;
  const size_t i = at_++ % kInPage;
  const IdPlace found{id_at(page, i), place_at(page, i)};
  if (found.id <= now_.id) throw damaged(file_->path(), "has ids that are not in order");
  now_ = found;
  return true;
}

void IdFile::verify() const {
  Reader reader(*this);
  while (reader.next()) {
  }
  if (reader.now().id != last_) throw damaged(path(), "does not end with its last id");
}

}  // namespace shortlist::spann
