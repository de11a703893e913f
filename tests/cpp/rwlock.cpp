// RwLock: exclusion, reentrant readers, the refusals, and what a forked child sees.
#include "base/rwlock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "check.h"

namespace shortlist::test {
namespace {

void writers_exclude_everybody() {
  RwLock lock;
  long a = 0, b = 0;  // equal whenever no writer is in
  std::atomic<int> wrong{0};
  std::vector<std::thread> all;
  for (int t = 0; t < 3; ++t)
    all.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        const std::shared_lock hold(lock);
        const std::shared_lock again(lock);  // must not queue behind a waiting writer
        if (a != b) ++wrong;
      }
    });
  for (int t = 0; t < 2; ++t)
    all.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        const std::lock_guard hold(lock);
        ++a;
        ++b;
      }
    });
  for (auto& t : all) t.join();
  CHECK_EQ(wrong.load(), 0);
  CHECK_EQ(a, 2000L);
}

// Readers that come and go without a gap must not keep a writer out.
void writers_are_not_starved() {
  RwLock lock;
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&] {
      while (!stop) {
        const std::shared_lock hold(lock);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
  for (int i = 0; i < 100; ++i) const std::lock_guard hold(lock);
  stop = true;
  for (auto& t : readers) t.join();
}

// At every pause the writers' numbers are equal, and only the writer that pauses changes them.
void a_pause_is_for_readers_only() {
  RwLock lock;
  long a = 0, b = 0;
  std::atomic<int> wrong{0}, writing{2};
  std::vector<std::thread> all;
  for (int t = 0; t < 3; ++t)
    all.emplace_back([&] {
      while (writing) {
        const std::shared_lock hold(lock);
        const std::shared_lock again(lock);
        if (a != b) ++wrong;
      }
    });
  for (int t = 0; t < 2; ++t)
    all.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const std::lock_guard hold(lock);
        for (long next = a + 1, end = a + 10; next <= end; ++next) {
          ++a;
          ++b;
          lock.pause();
          if (a != next) ++wrong;
        }
      }
      --writing;
    });
  for (auto& t : all) t.join();
  CHECK_EQ(wrong.load(), 0);
  CHECK_EQ(a, 4000L);
}

void a_reader_that_waits_gets_in_at_a_pause() {
  RwLock lock;
  std::atomic<bool> read{false};
  lock.lock();
  std::thread reader([&] {
    const std::shared_lock hold(lock);
    read = true;
  });
  while (!read) lock.pause();
  CHECK_THROWS(BusyError, lock.lock_shared());  // it is this thread's again
  lock.unlock();
  reader.join();
}

// Waiting for itself would never end.
void neither_use_turns_into_a_change() {
  RwLock lock;
  {
    const std::shared_lock hold(lock);
    CHECK_THROWS(BusyError, lock.lock());
  }
  const std::lock_guard hold(lock);
  CHECK_THROWS(BusyError, lock.lock());
  CHECK_THROWS(BusyError, lock.lock_shared());
}

#if !defined(__SANITIZE_THREAD__)  // which does not follow a fork of many threads
template <class Body>
int in_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// What is written between two pauses is whole.
void a_child_made_during_a_pause_goes_on() {
  RwLock lock;
  std::atomic<bool> reading{false}, stop{false};
  std::thread writer([&] {
    const std::lock_guard hold(lock);
    while (!stop) lock.pause();
  });
  std::thread reader([&] {
    const std::shared_lock hold(lock);
    reading = true;
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  while (!reading) std::this_thread::yield();
  const int status = in_child([&] {
    {
      const std::shared_lock ours(lock);
    }
    const std::lock_guard ours(lock);
    lock.pause();  // those who waited are not here
  });
  stop = true;
  writer.join();
  reader.join();
  CHECK_EQ(status, 0);
}

void a_child_forgets_readers_and_refuses_half_written() {
  parallel_for(64, {}, [](size_t, size_t, size_t) {});  // the pool watches for forks once it exists
  RwLock read, written;
  std::atomic<int> held{0};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    const std::shared_lock a(read);
    const std::lock_guard b(written);
    held = 1;
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  while (!held) std::this_thread::yield();
  const int status = in_child([&] {
    {
      const std::lock_guard ours(read);
    }
    {
      const std::shared_lock ours(read);
    }
    CHECK_THROWS(BusyError, written.lock_shared());
    CHECK_THROWS(BusyError, written.lock());
    std::atomic<size_t> n{0};
    parallel_for(64, {}, [&](size_t begin, size_t end, size_t) { n += end - begin; });
    CHECK_EQ(n.load(), size_t{64});
  });
  stop = true;
  other.join();
  CHECK_EQ(status, 0);
  {
    const std::lock_guard ours(written);
  }

  // A child made while this thread reads goes on reading, and may write afterwards.
  read.lock_shared();
  const int forked_reader = in_child([&] {
    {
      const std::shared_lock again(read);
    }
    read.unlock_shared();
    const std::lock_guard ours(read);
  });
  read.unlock_shared();
  CHECK_EQ(forked_reader, 0);
}
#endif

}  // namespace

void rwlock(uint64_t) {
  const size_t before = num_threads();
  set_num_threads(3);
  writers_exclude_everybody();
  writers_are_not_starved();
  a_pause_is_for_readers_only();
  a_reader_that_waits_gets_in_at_a_pause();
  neither_use_turns_into_a_change();
#if !defined(__SANITIZE_THREAD__)
  a_child_forgets_readers_and_refuses_half_written();
  a_child_made_during_a_pause_goes_on();
#endif
  set_num_threads(before);
}

}  // namespace shortlist::test
