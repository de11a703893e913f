#include "spann/runs.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "io/crc32c.h"

namespace shortlist::spann {
namespace {

constexpr char kMagic[8] = {'\x89', 'S', 'L', 'R', 'F', '\r', '\n', '\x1a'};
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version, code_size;
  uint64_t build;
};
struct Footer {
  char magic[8];
  uint64_t table, buckets;
  uint32_t crc, zero;  // of the header and the table
};

}  // namespace

void write_run(io::Sink& sink, const Bounds& bounds, std::span<const EntryHead> heads,
               const std::byte* codes, const uint32_t* rows, size_t code_size, uint64_t build) {
  Header header{{}, kVersion, static_cast<uint32_t>(code_size), build};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  sink.write(&header, sizeof header);
  std::vector<RunFile::Bucket> table;
  uint64_t offset = sizeof header;
  size_t i = 0;
  for (size_t b = 0; b + 1 < bounds.size(); ++b) {
    RunFile::Bucket bucket{offset, 0, 0, 0};
    for (; i < heads.size() && heads[i].posting < bounds[b + 1]; ++i) {
      if (heads[i].posting < bounds[b] || (i && heads[i].posting < heads[i - 1].posting))
        throw ArgumentError("the entries of a run are not in the order of postings");
      const std::byte* code = codes + rows[i] * code_size;
      bucket.crc = io::crc32c(bucket.crc, &heads[i], sizeof heads[i]);
      bucket.crc = io::crc32c(bucket.crc, code, code_size);
      sink.write(&heads[i], sizeof heads[i]);
      sink.write(code, code_size);
      ++bucket.entries;
    }
    offset += bucket.entries * (sizeof(EntryHead) + code_size);
    table.push_back(bucket);
  }
  if (i < heads.size())
    throw ArgumentError(text("posting ", heads[i].posting, " is in no bucket; they end at ",
                             bounds.empty() ? 0 : bounds.back()));
  const size_t bytes = table.size() * sizeof table[0];
  Footer footer{{}, offset, table.size(), io::crc32c(0, &header, sizeof header), 0};
  footer.crc = io::crc32c(footer.crc, table.data(), bytes);
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  sink.write(table.data(), bytes);
  sink.write(&footer, sizeof footer);
}

RunFile::RunFile(const std::string& path)
    : file_(io::RandomFiles::open({path}, io::Backend::pread, io::Caching::buffered)) {
  const auto read = [&](uint64_t offset, void* to, size_t n) {
    const io::RandomFiles::Piece piece{offset, n, static_cast<std::byte*>(to)};
    file_->read({&piece, 1}, [](size_t) {});
  };
  const uint64_t size = file_->size(0);
  if (size < sizeof(Header) + sizeof(Footer)) damaged("is too short for a run");
  Header header;
  Footer footer;
  read(0, &header, sizeof header);
  read(size - sizeof footer, &footer, sizeof footer);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kVersion)
    damaged("is no run of this release");
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0) damaged("was not written to its end");
  if (footer.table > size || footer.buckets > size / sizeof(Bucket) ||
      footer.table + footer.buckets * sizeof(Bucket) + sizeof footer != size)
    damaged("has a footer that does not fit it");
  buckets_.resize(footer.buckets);
  const size_t bytes = buckets_.size() * sizeof(Bucket);
  read(footer.table, buckets_.data(), bytes);
  const uint32_t crc = io::crc32c(io::crc32c(0, &header, sizeof header), buckets_.data(), bytes);
  if (crc != footer.crc || footer.zero) damaged("has a damaged table");
  code_size_ = header.code_size;
  build_ = header.build;
  uint64_t next = sizeof header;
  for (const Bucket& b : buckets_) {
    if (b.offset != next || b.entries > size) damaged("has a table with gaps");
    next += b.entries * (sizeof(EntryHead) + code_size_);
  }
  if (next != footer.table) damaged("has a table that does not fit it");
}

void RunFile::damaged(const char* what) const {
  throw CorruptIndexError(text("'", file_->path(0), "' ", what, "; remove it, and build on"));
}

void RunFile::verify() const {
  constexpr size_t kBuffer = size_t{1} << 20;
  for (size_t b = 0; b < buckets(); ++b)
    for (Reader reader(*this, b, kBuffer); reader.next();) poll_interrupt();
}

RunFile::Reader::Reader(const RunFile& file, size_t bucket, size_t buffer)
    : file_(&file),
      bucket_(bucket),
      size_(sizeof(EntryHead) + file.code_size()),
      buffer_(std::max(buffer / size_, size_t{1}) * size_),
      at_(buffer_.size()),
      end_(buffer_.size()),
      offset_(file.buckets_[bucket].offset),
      left_(file.buckets_[bucket].entries) {}

bool RunFile::Reader::next() {
  if (at_ + size_ < end_) {
    at_ += size_;
  } else {
    if (!left_) {
      if (crc_ != file_->buckets_[bucket_].crc) file_->damaged("is damaged");
      return false;
    }
    refill();
  }
  std::memcpy(&head_, buffer_.data() + at_, sizeof head_);
  return true;
}

void RunFile::Reader::refill() {
  const auto n = static_cast<size_t>(std::min<uint64_t>(left_, buffer_.size() / size_));
  const io::RandomFiles::Piece piece{offset_, n * size_, buffer_.data()};
  file_->file_->read({&piece, 1}, [](size_t) {});
  crc_ = io::crc32c(crc_, buffer_.data(), n * size_);
  left_ -= n;
  offset_ += n * size_;
  at_ = 0;
  end_ = n * size_;
}

}  // namespace shortlist::spann
