// Many readers or one writer, and a fork in between does not leave it stuck.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "base/threads.h"

namespace shortlist {

// Threads that held the lock do not exist in a forked child. Readers there are forgotten; a
// writer there left the object half-changed, so the child is told instead of reading it.
class RwLock {
 public:
  void lock_shared() {
    for (;;) {
      uint32_t s = refresh();
      // A thread that reads already must not queue behind a writer that waits for it.
      if (!(s & (reading() ? kWriter : kWriter | kWaiting))) {
        if (state_.compare_exchange_weak(s, s + 1, std::memory_order_acquire)) {
          ++reading();
          return;
        }
      } else {
        wait_for_writer(s);
      }
    }
  }
  void unlock_shared() {
    --reading();
    const uint32_t before = state_.fetch_sub(1, std::memory_order_release);
    if ((before & kCount) == 1) state_.notify_all();
  }
  void lock() {
    for (;;) {
      uint32_t s = refresh();
      if (!(s & (kWriter | kCount))) {
        const uint32_t taken = (s & ~kWaiting) | kWriter;
        if (state_.compare_exchange_weak(s, taken, std::memory_order_acquire)) {
          writer_ = this_thread();
          return;
        }
      } else if (s & kWriter) {
        wait_for_writer(s);
      } else if (reading()) {
        throw BusyError(
            "the index is being read by this very call (a callback tried to change it); change it "
            "after the call has returned");
      } else if (s & kWaiting) {
        state_.wait(s, std::memory_order_relaxed);
      } else {  // new readers stay out until a writer has been in
        state_.compare_exchange_weak(s, s | kWaiting, std::memory_order_relaxed);
      }
    }
  }
  void unlock() {
    writer_ = nullptr;
    state_.fetch_and(~kWriter, std::memory_order_release);
    state_.notify_all();
  }

 private:
  static constexpr uint32_t kWriter = 1u << 31;
  static constexpr uint32_t kCount = (1u << 20) - 1;
  static constexpr uint32_t kBroken = 1u << 30;
  static constexpr uint32_t kWaiting = 1u << 29;  // a writer waits for the readers to leave
  static constexpr int kForkShift = 20;
  static constexpr uint32_t kForks = 0x1ffu << kForkShift;

  static int& reading() {  // shared locks of any kind that this thread holds
    static thread_local int held = 0;
    return held;
  }
  static const void* this_thread() {
    static thread_local const char here = 0;
    return &here;
  }

  uint32_t refresh() {
    uint32_t s = state_.load(std::memory_order_relaxed);
    const uint32_t now = (fork_generation() << kForkShift) & kForks;
    while ((s & kForks) != now) {
      uint32_t fresh = now | (s & kBroken) | (s & kWriter ? kBroken : 0);
      if (state_.compare_exchange_weak(s, fresh, std::memory_order_relaxed)) {
        writer_ = nullptr;
        s = fresh;
      }
    }
    if (s & kBroken)
      throw BusyError(
          "this process was forked while another thread was changing the index, so this copy is "
          "incomplete; load or build it again in the child, or fork before changing it");
    return s;
  }

  void wait_for_writer(uint32_t s) {
    if (writer_.load(std::memory_order_relaxed) == this_thread())
      throw BusyError(
          "the index is being changed by this very call (a progress or selector callback used "
          "it); use it after the call has returned");
    state_.wait(s, std::memory_order_relaxed);
  }

  std::atomic<uint32_t> state_{0};
  std::atomic<const void*> writer_{nullptr};
};

}  // namespace shortlist
