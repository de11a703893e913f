#include "io/ring.h"

#include "base/error.h"

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace shortlist::io {
namespace {

// Of newer kernels; where the header of the build does not know it.
constexpr unsigned kCoopTaskrun = 1u << 8;

[[noreturn]] void fail(const char* what) {
  const int error = errno;
  throw IoError(error, "", text("io_uring cannot ", what, ": ", std::strerror(error)));
}

template <class T = unsigned>
T* at(void* base, size_t offset) {
  return reinterpret_cast<T*>(static_cast<std::byte*>(base) + offset);
}

}  // namespace

Ring::Ring(unsigned entries) {
  io_uring_params params{};
  params.flags = kCoopTaskrun;  // completions interrupt nobody
  fd_ = static_cast<int>(::syscall(__NR_io_uring_setup, entries, &params));
  if (fd_ < 0 && errno == EINVAL) {
    params = {};
    fd_ = static_cast<int>(::syscall(__NR_io_uring_setup, entries, &params));
  }
  if (fd_ < 0) fail("be set up");
  entries_ = params.sq_entries;
  const auto map = [&](size_t n, uint64_t what) {
    void* data = ::mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                        static_cast<off_t>(what));
    if (data == MAP_FAILED) {
      const int error = errno;
      unmap();
      errno = error;
      fail("map its queues");
    }
    return Mapping{data, n};
  };
  if (!(params.features & IORING_FEAT_SINGLE_MMAP)) {  // before Linux 5.4, which cannot read either
    unmap();
    errno = ENOSYS;
    fail("be set up");
  }
  queue_ = map(std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(unsigned),
                                params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe)),
               IORING_OFF_SQ_RING);
  entries_map_ = map(params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  tail_ = at(queue_.data, params.sq_off.tail);
  mask_ = at(queue_.data, params.sq_off.ring_mask);
  indices_ = at(queue_.data, params.sq_off.array);
  done_head_ = at(queue_.data, params.cq_off.head);
  done_tail_ = at(queue_.data, params.cq_off.tail);
  done_mask_ = at(queue_.data, params.cq_off.ring_mask);
  requests_ = entries_map_.data;
  completions_ = at<void>(queue_.data, params.cq_off.cqes);
}

Ring::~Ring() { unmap(); }

void Ring::unmap() {
  for (const Mapping& m : {queue_, entries_map_})
    if (m.data) ::munmap(m.data, m.n);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Ring::read(int fd, void* to, uint32_t n, uint64_t offset, uint64_t tag) {
  const unsigned tail = *tail_, index = tail & *mask_;
  auto& request = static_cast<io_uring_sqe*>(requests_)[index];
  request = {};
  request.opcode = IORING_OP_READ;
  request.fd = fd;
  request.addr = reinterpret_cast<uint64_t>(to);
  request.len = n;
  request.off = offset;
  request.user_data = tag;
  indices_[index] = index;
  __atomic_store_n(tail_, tail + 1, __ATOMIC_RELEASE);
  ++queued_;
}

void Ring::submit(unsigned wanted) {
  const unsigned flags = wanted ? IORING_ENTER_GETEVENTS : 0;
  const auto complete = [&] { return __atomic_load_n(done_tail_, __ATOMIC_ACQUIRE) - *done_head_; };
  while (queued_ || complete() < wanted) {
    const long taken = ::syscall(__NR_io_uring_enter, fd_, queued_, wanted, flags, nullptr, 0);
    if (taken >= 0) {
      queued_ -= static_cast<unsigned>(taken);
    } else if (errno == EINTR) {
      continue;
    } else if ((errno == EAGAIN || errno == EBUSY) && complete()) {
      return;  // the kernel is short of memory until these are taken
    } else if (errno != EAGAIN) {
      fail("start reads");
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

unsigned Ring::forget_queued() {
  __atomic_store_n(tail_, *tail_ - queued_, __ATOMIC_RELEASE);
  return std::exchange(queued_, 0);
}

std::optional<Ring::Completion> Ring::next() {
  const unsigned head = *done_head_;
  if (head == __atomic_load_n(done_tail_, __ATOMIC_ACQUIRE)) return std::nullopt;
  const auto& done = static_cast<const io_uring_cqe*>(completions_)[head & *done_mask_];
  const Completion out{done.user_data, done.res};
  __atomic_store_n(done_head_, head + 1, __ATOMIC_RELEASE);
  return out;
}

}  // namespace shortlist::io

#else

namespace shortlist::io {

Ring::Ring(unsigned) { throw IoError(0, "", "io_uring is not of this system"); }
Ring::~Ring() = default;
void Ring::read(int, void*, uint32_t, uint64_t, uint64_t) {}
void Ring::submit(unsigned) {}
std::optional<Ring::Completion> Ring::next() { return std::nullopt; }
unsigned Ring::forget_queued() { return 0; }

}  // namespace shortlist::io

#endif
