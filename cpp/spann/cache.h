// Postings that were read lately, in so many bytes of memory.
#pragma once

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "spann/postings.h"

namespace shortlist::spann {

// The least recently used ones make room. From many threads at once: one that finds a part of it in
// use goes without.
class PostingCache {
 public:
  // What a posting points into; it stays while somebody holds it.
  struct Held {
    PostingFiles::Posting posting;
    std::unique_ptr<std::byte[]> bytes;
  };
  using Handle = std::shared_ptr<const Held>;

  void resize(size_t bytes);
  size_t capacity() const { return capacity_; }
  size_t memory() const;

  Handle find(slot_t number);  // null if it is not there
  void put(const PostingFiles::Posting& posting, size_t code_size);

 private:
  static constexpr size_t kParts = 16;
  static constexpr size_t kOverhead = 128;  // of a posting, about
  struct Entry {
    Handle held;
    size_t bytes;
  };
  struct Part {
    mutable std::mutex lock;   // only tried: a fork may have caught it held
    std::list<Entry> entries;  // the latest first
    std::unordered_map<slot_t, std::list<Entry>::iterator> places;
    size_t bytes = 0;
  };
  void shrink(Part& part, size_t most);

  std::atomic<size_t> capacity_ = 0;
  std::array<Part, kParts> parts_;
};

}  // namespace shortlist::spann
