// A set of slots as bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace shortlist {

class Bitmap {
 public:
  Bitmap() = default;
  explicit Bitmap(size_t n, bool value = false) { resize(n, value); }
  // From bytes, least significant bit first; bits they lack are unset.
  Bitmap(size_t n, std::span<const uint8_t> bytes) : Bitmap(n) {
    for (size_t i = 0; i < std::min(bytes.size(), words_.size() * 8); ++i)
      words_[i >> 3] |= uint64_t{bytes[i]} << (i & 7) * 8;
    trim();
  }

  size_t size() const { return n_; }
  bool operator[](size_t i) const { return words_[i >> 6] >> (i & 63) & 1; }
  void set(size_t i) { words_[i >> 6] |= uint64_t{1} << (i & 63); }
  void clear(size_t i) { words_[i >> 6] &= ~(uint64_t{1} << (i & 63)); }
  void resize(size_t n, bool value = false) {
    const size_t before = n_;
    words_.resize((n + 63) / 64, value ? ~uint64_t{0} : 0);
    n_ = n;
    if (value && n > before)
      for (size_t i = before; i < n && (i & 63); ++i) set(i);
    trim();
  }
  size_t count() const {
    size_t total = 0;
    for (uint64_t w : words_) total += static_cast<size_t>(std::popcount(w));
    return total;
  }
  // Bit j is whether 32 * i + j is a member.
  uint32_t half_word(size_t i) const { return static_cast<uint32_t>(words_[i / 2] >> i % 2 * 32); }
  // The first member that is i or more; size() if none is.
  size_t next(size_t i) const {
    if (i >= n_) return n_;
    size_t w = i >> 6;
    uint64_t bits = words_[w] >> (i & 63) << (i & 63);
    while (!bits && ++w < words_.size()) bits = words_[w];
    return bits ? w * 64 + static_cast<size_t>(std::countr_zero(bits)) : n_;
  }
  void invert() {
    for (uint64_t& w : words_) w = ~w;
    trim();
  }
  Bitmap& operator&=(const Bitmap& o) {
    return combine(o, [](uint64_t a, uint64_t b) { return a & b; });
  }
  Bitmap& operator|=(const Bitmap& o) {
    return combine(o, [](uint64_t a, uint64_t b) { return a | b; });
  }
  Bitmap& operator^=(const Bitmap& o) {
    return combine(o, [](uint64_t a, uint64_t b) { return a ^ b; });
  }

  template <class F>
  void for_each(const F& f) const {
    for (size_t w = 0; w < words_.size(); ++w)
      for (uint64_t bits = words_[w]; bits; bits &= bits - 1)
        f(static_cast<slot_t>(w * 64 + static_cast<size_t>(std::countr_zero(bits))));
  }

 private:
  template <class F>
  Bitmap& combine(const Bitmap& o, const F& f) {
    for (size_t w = 0; w < words_.size(); ++w) words_[w] = f(words_[w], o.words_[w]);
    return *this;
  }
  void trim() {
    if (n_ & 63) words_.back() &= (uint64_t{1} << (n_ & 63)) - 1;
  }

  std::vector<uint64_t> words_;
  size_t n_ = 0;
};

}  // namespace shortlist
