// Growable arrays for codes and graphs: 64-byte aligned, on huge pages once they are large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace shortlist {

// GCC takes a function that only prefetches for one without effect and drops its calls; the empty
// asm is an effect.
inline void prefetch(const void* p) {
  __builtin_prefetch(p);
  asm volatile("" ::"r"(p));
}

// All lines that hold any of n bytes.
inline void prefetch(const void* p, size_t n) {
  constexpr size_t kLine = 64;
  const auto begin = reinterpret_cast<uintptr_t>(p) / kLine * kLine;
  const auto end = reinterpret_cast<uintptr_t>(p) + n;
  for (uintptr_t at = begin; at < end; at += kLine) prefetch(reinterpret_cast<const void*>(at));
}

// Bytes this process may still take without others being pushed out, as the system and its cgroup
// tell; SIZE_MAX where they do not.
size_t available_memory();
// Gives what was freed back to the system, as far as the allocator can.
void release_freed();

// Untyped block. Growing never holds two full copies: the old pages are given back while
// they are copied, so the peak is the new size plus one chunk.
class Block {
 public:
  Block() = default;
  ~Block();
  Block(Block&& other) noexcept { swap(other); }
  Block& operator=(Block&& other) noexcept {
    Block(std::move(other)).swap(*this);
    return *this;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::byte* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  // Keeps the first `used` bytes; throws std::bad_alloc.
  void reallocate(size_t capacity, size_t used);
  void swap(Block& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t capacity_ = 0;
};

template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() = default;
  explicit Array(size_t n, T value = T{}) { resize(n, value); }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    Array(std::move(other)).swap(*this);
    return *this;
  }
  Array(const Array& other) : Array() { append(other.data(), other.size()); }
  Array& operator=(const Array& other) {
    Array(other).swap(*this);
    return *this;
  }

  T* data() { return reinterpret_cast<T*>(block_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(block_.data()); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return block_.capacity() / sizeof(T); }
  size_t capacity_bytes() const { return block_.capacity(); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

  void reserve(size_t n) {
    if (n > capacity()) block_.reallocate(n * sizeof(T), size_ * sizeof(T));
  }
  // For n more elements; by half at least, as one at a time must not copy the others each time.
  void make_room(size_t n) {
    const size_t want = size_ + n, geometric = size_ + size_ / 2;
    if (want > capacity()) reserve(want > geometric ? want : geometric);
  }
  // New elements are left as the allocator gave them; the caller writes them.
  T* grow(size_t n) {
    make_room(n);
    T* fresh = data() + size_;
    size_ += n;
    return fresh;
  }
  void resize(size_t n, T value = T{}) {
    if (n <= size_) {
      size_ = n;
    } else {
      const size_t before = size_;
      grow(n - size_);
      for (size_t i = before; i < n; ++i) data()[i] = value;
    }
  }
  void append(const T* values, size_t n) {
    if (n) std::memcpy(grow(n), values, n * sizeof(T));
  }
  void push_back(T value) { append(&value, 1); }
  void clear() { size_ = 0; }
  void release() {
    Block().swap(block_);
    size_ = 0;
  }
  void swap(Array& other) noexcept {
    block_.swap(other.block_);
    std::swap(size_, other.size_);
  }
  std::span<const T> view() const { return {data(), size_}; }

 private:
  Block block_;
  size_t size_ = 0;
};

}  // namespace shortlist
