// io_uring by raw system calls: no library, and no header newer than the kernel's of the build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace shortlist::io {

// A submission and a completion queue shared with the kernel, for one thread at a time.
class Ring {
 public:
  struct Completion {
    uint64_t tag;
    int32_t result;  // bytes, or a negated errno
  };

  // Throws IoError where the kernel, a sandbox or a limit does not allow one.
  explicit Ring(unsigned entries);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  unsigned entries() const { return entries_; }
  // Queues a read; at most entries() are to be queued or under way. Nothing starts before submit().
  void read(int fd, void* to, uint32_t n, uint64_t offset, uint64_t tag);
  // Starts what is queued and waits until at least `wanted` are complete. Throws IoError.
  void submit(unsigned wanted);
  std::optional<Completion> next();  // one that is complete, if any
  // Takes back what is queued; returns how many.
  unsigned forget_queued();

 private:
  struct Mapping {
    void* data = nullptr;
    size_t n = 0;
  };
  void unmap();

  int fd_ = -1;
  unsigned entries_ = 0, queued_ = 0;
  Mapping queue_, entries_map_;
  unsigned *tail_ = nullptr, *mask_ = nullptr;                                   // of submissions
  unsigned *done_head_ = nullptr, *done_tail_ = nullptr, *done_mask_ = nullptr;  // of completions
  unsigned* indices_ = nullptr;
  void *requests_ = nullptr, *completions_ = nullptr;
};

}  // namespace shortlist::io
