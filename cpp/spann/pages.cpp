#include "spann/pages.h"

#include <algorithm>

namespace shortlist::spann {

std::byte* Room::of(size_t bytes) {
  if (bytes_.capacity_bytes() < bytes + kPage) {
    bytes_ = {};
    bytes_.grow(bytes + kPage);
  }
  const auto begin = reinterpret_cast<uintptr_t>(bytes_.data());
  return bytes_.data() + (kPage - begin % kPage) % kPage;
}

void PageSink::fill_page() {
  static constexpr std::byte kZeros[kPage]{};
  if (at_ % kPage) put(kZeros, kPage - at_ % kPage);
}

void read_pages(const io::RandomFiles& files, size_t file, uint64_t page, size_t n, std::byte* to) {
  const io::RandomFiles::Piece piece{page * kPage, n * kPage, to, static_cast<uint32_t>(file)};
  files.read({&piece, 1}, [](size_t) {});
}

void read_table(const io::RandomFiles& files, size_t file, uint64_t page, void* to,
                uint64_t bytes) {
  constexpr size_t kAtATime = 256;  // pages
  Room room;
  for (uint64_t at = 0; at < bytes; at += kAtATime * kPage) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(kAtATime * kPage, bytes - at));
    const auto some = static_cast<size_t>(pages_of(n));
    std::byte* const read = room.of(some * kPage);
    read_pages(files, file, page + at / kPage, some, read);
    std::memcpy(static_cast<std::byte*>(to) + at, read, n);
  }
}

}  // namespace shortlist::spann
