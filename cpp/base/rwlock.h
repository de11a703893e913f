// Many readers or one writer, who may let readers in between two parts of its work; and a fork does
// not leave it stuck.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/error.h"
#include "base/threads.h"

namespace shortlist {

// How long a writer works, about, before it lets readers in.
class Turn {
 public:
  bool over() const { return Clock::now() - start_ > std::chrono::milliseconds(5); }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
};

// Threads that held the lock do not exist in a forked child. Readers there are forgotten; a
// writer there left the object half-changed, so the child is told instead of reading it.
class RwLock {
 public:
  void lock_shared() {
    uint32_t s;
    if (try_lock_shared(s)) return;
    const Queued queued(*this);
    while (!try_lock_shared(s)) wait_for_writer(s);
  }
  void unlock_shared() {
    --reading();
    const uint32_t before = state_.fetch_sub(1, std::memory_order_release);
    if ((before & kCount) == 1) state_.notify_all();
  }
  void lock() {
    for (;;) {
      const uint32_t s = refresh();
      if (!(s & (kWriter | kPaused | kCount))) {
        if (take(s)) return;
      } else if (s & kWriter) {
        wait_for_writer(s);
      } else if ((s & kCount) && reading()) {
        throw BusyError(
            "the index is being read by this very call (a callback tried to change it); change it "
            "after the call has returned");
      } else if (s & kPaused) {
        state_.wait(s, std::memory_order_relaxed);
      } else {
        wait_for_readers(s);
      }
    }
  }
  void unlock() {
    writer_ = nullptr;
    state_.fetch_and(~kWriter, std::memory_order_release);
    state_.notify_all();
  }
  // For the writer, between two parts of its work: lets the readers in that wait by now, and goes
  // on after them. Other writers stay out.
  void pause() {
    if (!queued()) return;
    state_.fetch_xor(kWriter | kPaused, std::memory_order_release);
    state_.notify_all();
    for (uint32_t q; (q = queue_.load(std::memory_order_relaxed)) & kCount;)
      queue_.wait(q, std::memory_order_relaxed);
    for (;;) {
      const uint32_t s = refresh();
      if (s & kCount)
        wait_for_readers(s);
      else if (take(s))
        return;
    }
  }

 private:
  static constexpr uint32_t kWriter = 1u << 31;
  static constexpr uint32_t kBroken = 1u << 30;
  static constexpr uint32_t kWaiting = 1u << 29;  // a writer waits for the readers to leave
  static constexpr uint32_t kPaused = 1u << 28;   // a writer let readers in and will go on
  static constexpr int kForkShift = 20;
  static constexpr uint32_t kForks = 0xffu << kForkShift;
  static constexpr uint32_t kCount = (1u << kForkShift) - 1;

  // A reader that waits; a writer that pauses waits for it. Other generations' are not here.
  class Queued {
   public:
    explicit Queued(RwLock& lock) : lock_(lock) { lock_.change_queue(1); }
    ~Queued() { lock_.change_queue(static_cast<uint32_t>(-1)); }
    Queued(const Queued&) = delete;

   private:
    RwLock& lock_;
  };
  void change_queue(uint32_t by) {
    uint32_t q = queue_.load(std::memory_order_relaxed), changed;
    do changed = (now() | queued(q)) + by;
    while (!queue_.compare_exchange_weak(q, changed, std::memory_order_relaxed));
    if (!queued(changed)) queue_.notify_all();
  }
  static uint32_t queued(uint32_t q) { return (q & kForks) == now() ? q & kCount : 0; }
  bool queued() const { return queued(queue_.load(std::memory_order_relaxed)); }

  static uint32_t now() { return (fork_generation() << kForkShift) & kForks; }
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
    const uint32_t forks = now();
    while ((s & kForks) != forks) {
      uint32_t fresh = forks | (s & kBroken) | (s & kWriter ? kBroken : 0);
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

  // False with the state that kept it out.
  bool try_lock_shared(uint32_t& s) {
    // A thread that reads already must not queue behind a writer that waits for it.
    const uint32_t others = reading() ? kWriter : kWriter | kWaiting;
    while (!((s = refresh()) & others))
      if (state_.compare_exchange_weak(s, s + 1, std::memory_order_acquire)) {
        ++reading();
        return true;
      }
    return false;
  }

  bool take(uint32_t s) {
    const uint32_t taken = (s & ~(kWaiting | kPaused)) | kWriter;
    if (!state_.compare_exchange_weak(s, taken, std::memory_order_acquire)) return false;
    writer_ = this_thread();
    return true;
  }

  // New readers stay out until a writer has been in.
  void wait_for_readers(uint32_t s) {
    if (s & kWaiting)
      state_.wait(s, std::memory_order_relaxed);
    else
      state_.compare_exchange_weak(s, s | kWaiting, std::memory_order_relaxed);
  }

  void wait_for_writer(uint32_t s) {
    if (writer_.load(std::memory_order_relaxed) == this_thread())
      throw BusyError(
          "the index is being changed by this very call (a progress or selector callback used "
          "it); use it after the call has returned");
    state_.wait(s, std::memory_order_relaxed);
  }

  std::atomic<uint32_t> state_{0}, queue_{0};
  std::atomic<const void*> writer_{nullptr};
};

}  // namespace shortlist
