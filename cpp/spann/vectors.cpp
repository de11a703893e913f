#include "spann/vectors.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/threads.h"
#include "io/crc32c.h"
#include "spann/pages.h"

namespace shortlist::spann {
namespace {

constexpr char kKind = 'V';
constexpr size_t kAtATime = size_t{2} << 20;  // bytes that are read
constexpr size_t kMostRow = size_t{1} << 24;

struct Header {
  Start start{kKind};
  uint32_t row_bytes = 0, block_bytes = 0;
  uint64_t build = 0, rows = 0, before = 0;
};

// The fewest pages of which whole rows leave at most an eighth empty.
size_t block_of(size_t row_bytes) {
  for (size_t bytes = kPage;; bytes += kPage) {
    const size_t used = (bytes - sizeof(uint32_t)) / row_bytes * row_bytes;
    if (bytes - used <= bytes / 8) return bytes;
  }
}

}  // namespace

VectorWriter::VectorWriter(io::Sink& sink, size_t row_bytes, uint64_t rows, uint64_t build,
                           uint64_t before)
    : sink_(sink), row_bytes_(row_bytes), rows_(rows) {
  if (row_bytes < 1 || row_bytes > kMostRow)
    throw ArgumentError(text("rows of ", row_bytes, " bytes; they must have 1 to ", kMostRow));
  block_.resize(block_of(row_bytes));
  const auto page = sealed(Header{.row_bytes = static_cast<uint32_t>(row_bytes),
                                  .block_bytes = static_cast<uint32_t>(block_.size()),
                                  .build = build,
                                  .rows = rows,
                                  .before = before});
  sink_.write(page.data(), page.size());
}

void VectorWriter::add(const std::byte* rows, size_t n) {
  added_ += n;
  for (size_t i = 0; i < n; ++i) {
    if (used_ + row_bytes_ > block_.size() - sizeof(uint32_t)) write_block();
    std::copy_n(rows + i * row_bytes_, row_bytes_, block_.data() + used_);
    used_ += row_bytes_;
  }
}

void VectorWriter::write_block() {
  std::fill(block_.begin() + static_cast<ptrdiff_t>(used_), block_.end(), std::byte{0});
  seal(block_);
  sink_.write(block_.data(), block_.size());
  used_ = 0;
}

void VectorWriter::finish() {
  if (added_ != rows_)
    throw ArgumentError(text(added_, " rows were added; the file was to have ", rows_));
  if (used_) write_block();
}

VectorFiles::VectorFiles(const std::vector<std::string>& paths, io::Backend backend,
                         io::Caching caching)
    : files_(io::RandomFiles::open(paths, backend, caching)), first_{0} {
  Room room;
  for (size_t f = 0; f < paths.size(); ++f) {
    if (files_->size(f) < kPage) throw damaged(paths[f], "is too short for a file of vectors");
    std::byte* const page = room.of(kPage);
    read_pages(*files_, f, 0, 1, page);
    Header header;
    const bool sound = unsealed(page, header);
    check_start(header.start, kKind, paths[f], "is no file of vectors");
    if (!sound || header.row_bytes < 1 || header.row_bytes > kMostRow ||
        header.block_bytes != block_of(header.row_bytes))
      throw damaged(paths[f], "has a damaged header");
    if (f && (header.row_bytes != row_bytes_ || header.build != build_))
      throw damaged(paths[f], "is not of the same build as the files before it");
    if (f && header.before != before_ + first_.back())
      throw damaged(paths[f], "is not the file that follows those before it");
    if (!f) before_ = header.before;
    row_bytes_ = header.row_bytes;
    block_bytes_ = header.block_bytes;
    build_ = header.build;
    in_block_ = (block_bytes_ - sizeof(uint32_t)) / row_bytes_;
    if (header.rows > files_->size(f) ||
        kPage + (header.rows + in_block_ - 1) / in_block_ * block_bytes_ != files_->size(f))
      throw damaged(paths[f], "was not written to its end, or was cut short");
    first_.push_back(first_.back() + header.rows);
  }
}

void VectorFiles::read(std::span<const uint64_t> rows, Room& room, const Each& each) const {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a] < rows[b]; });
  struct Block {
    size_t begin, end;  // of order
  };
  std::vector<io::RandomFiles::Piece> pieces;
  std::vector<Block> blocks;
  const auto place = [&](uint64_t row) {
    if (row >= this->rows())
      throw ArgumentError(text("row ", row, " is not there; there are ", this->rows()));
    const auto f = static_cast<size_t>(std::upper_bound(first_.begin(), first_.end(), row) -
                                       first_.begin() - 1);
    return std::pair(f, kPage + (row - first_[f]) / in_block_ * block_bytes_);
  };
  for (size_t i = 0; i < order.size(); ++i) {
    const auto [file, offset] = place(rows[order[i]]);
    if (pieces.empty() || pieces.back().offset != offset || pieces.back().file != file) {
      pieces.push_back({offset, block_bytes_, nullptr, static_cast<uint32_t>(file)});
      blocks.push_back({i, i});
    }
    blocks.back().end = i + 1;
  }
  const size_t together = std::max<size_t>(1, kAtATime / block_bytes_);
  for (size_t at = 0; at < pieces.size(); at += together) {
    const std::span some(&pieces[at], std::min(together, pieces.size() - at));
    std::byte* to = room.of(some.size() * block_bytes_);
    for (auto& piece : some) {
      piece.to = to;
      to += block_bytes_;
    }
    files_->read(some, [&](size_t of_some) {
      const size_t p = at + of_some;
      if (!is_sealed({pieces[p].to, block_bytes_}))
        throw CorruptIndexError(text("'", files_->path(pieces[p].file), "' is damaged at byte ",
                                     pieces[p].offset, "; restore it, or build it again"));
      for (size_t i = blocks[p].begin; i < blocks[p].end; ++i) {
        const uint64_t row = rows[order[i]] - first_[pieces[p].file];
        each(order[i], pieces[p].to + row % in_block_ * row_bytes_);
      }
    });
  }
}

void VectorFiles::verify() const {
  constexpr size_t kTogether = 256;  // blocks
  std::vector<uint64_t> some;
  Room room;
  for (size_t f = 0; f + 1 < first_.size(); ++f)
    for (uint64_t row = first_[f]; row < first_[f + 1];) {
      poll_interrupt();
      some.clear();
      for (; row < first_[f + 1] && some.size() < kTogether; row += in_block_) some.push_back(row);
      read(some, room, [](size_t, const std::byte*) {});
    }
}

}  // namespace shortlist::spann
