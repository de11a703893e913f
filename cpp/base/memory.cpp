#include "base/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace shortlist {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kCopyChunk = size_t{64} << 20;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

#if defined(__linux__)
constexpr bool kCanMap = true;
bool mapped(size_t capacity) { return capacity >= kHugePage; }

std::byte* map_aligned(size_t bytes) {
  const size_t wide = bytes + kHugePage;
  void* raw = ::mmap(nullptr, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  const auto start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = round_up(start, kHugePage);
  if (aligned > start) ::munmap(raw, aligned - start);
  if (const size_t tail = start + wide - (aligned + bytes))
    ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  auto* data = reinterpret_cast<std::byte*>(aligned);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}
void unmap(std::byte* data, size_t bytes) { ::munmap(data, bytes); }
#else
constexpr bool kCanMap = false;
bool mapped(size_t) { return false; }
std::byte* map_aligned(size_t) { throw std::bad_alloc(); }
void unmap(std::byte*, size_t) {}
#endif

void free_block(std::byte* data, size_t capacity) {
  if (mapped(capacity))
    unmap(data, capacity);
  else
    std::free(data);
}

}  // namespace

Block::~Block() {
  if (data_) free_block(data_, capacity_);
}

void Block::reallocate(size_t capacity, size_t used) {
  if (capacity > SIZE_MAX / 2) throw std::bad_alloc();
  const bool huge = kCanMap && capacity >= kHugePage;
  capacity = round_up(std::max(capacity, kLine), huge ? kHugePage : kLine);
  std::byte* fresh = nullptr;
  if (huge) {
    fresh = map_aligned(capacity);
  } else {
    fresh = static_cast<std::byte*>(std::aligned_alloc(kLine, capacity));
    if (!fresh) throw std::bad_alloc();
  }
  size_t copied = 0;
  if (data_ && mapped(capacity_)) {
    for (; copied + kCopyChunk <= used; copied += kCopyChunk) {
      std::memcpy(fresh + copied, data_ + copied, kCopyChunk);
      unmap(data_ + copied, kCopyChunk);
    }
  }
  if (used > copied) std::memcpy(fresh + copied, data_ + copied, used - copied);
  if (data_) {
    if (mapped(capacity_))
      unmap(data_ + copied, capacity_ - copied);
    else
      std::free(data_);
  }
  data_ = fresh;
  capacity_ = capacity;
}

size_t available_memory() {
  size_t least = SIZE_MAX;
  if (std::ifstream in("/proc/meminfo"); in) {
    std::string name, unit;
    for (size_t kilobytes = 0; in >> name >> kilobytes; std::getline(in, unit))
      if (name == "MemAvailable:") least = kilobytes << 10;
  }
  const auto read = [](const char* path, size_t& value) {
    std::ifstream in(path);
    return static_cast<bool>(in >> value);  // "max" is no number
  };
  size_t most = 0, used = 0;
  if (read("/sys/fs/cgroup/memory.max", most) && read("/sys/fs/cgroup/memory.current", used))
    least = std::min(least, most - std::min(used, most));
  return least;
}

void release_freed() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

}  // namespace shortlist
