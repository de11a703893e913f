#include "io/random_file.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/threads.h"
#include "io/fail.h"
#include "io/ring.h"
#include "io/stream.h"
#include "io/syscalls.h"

namespace shortlist::io {
namespace {

// Closed unless it is handed on.
struct Descriptor {
  explicit Descriptor(int fd) : fd(fd) {}
  ~Descriptor() {
    if (fd >= 0) system_calls.close(fd);
  }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  int fd;
};

constexpr unsigned kUnderWay = 256;               // reads of a thread at a time
constexpr size_t kMostPerRead = size_t{1} << 30;  // one call moves less than 2 GiB

using Piece = RandomFile::Piece;

// What reads of one call have come to. The first failure stops further ones.
class Outcome {
 public:
  explicit Outcome(const RandomFile& file) : file_(file) {}
  bool failed() const { return static_cast<bool>(error_); }
  template <class F>
  void run(const F& body) {
    if (failed()) return;
    try {
      body();
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  void fail(int error) {
    run([&] { io::fail("read", file_.path(), error); });
  }
  void ended_early(size_t missing) {
    run([&] {
      throw CorruptIndexError(text("'", file_.path(), "' ends ", missing,
                                   " bytes early; it was cut short: restore or rebuild it"));
    });
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const RandomFile& file_;
  std::exception_ptr error_;
};

// 0, an errno, or -1 where the file ends early; `got` says how far it came.
int read_whole(int fd, const Piece& piece, size_t& got) {
  for (got = 0; got < piece.n;) {
    const size_t ask = std::min(piece.n - got, kMostPerRead);
    const ssize_t moved = retry([&] {
      return system_calls.pread(fd, piece.to + got, ask, static_cast<off_t>(piece.offset + got));
    });
    if (moved < 0) return errno;
    if (moved == 0) return -1;
    got += static_cast<size_t>(moved);
  }
  return 0;
}

void read_here(int fd, std::span<const Piece> pieces, const RandomFile::Done& done,
               Outcome& outcome) {
  for (size_t i = 0; i < pieces.size() && !outcome.failed(); ++i) {
    size_t got = 0;
    const int error = read_whole(fd, pieces[i], got);
    if (error > 0) outcome.fail(error);
    if (error < 0) outcome.ended_early(pieces[i].n - got);
    outcome.run([&] {
      done(i);
      poll_interrupt();
    });
  }
}

// Threads that wait for one read each; they are many, and idle but for that.
class Readers {
 public:
  // One for the process; a forked child, which has no threads, makes its own.
  static Readers& instance() {
    static std::mutex lock;
    static Readers* readers = nullptr;
    static unsigned generation = 0;
    const std::lock_guard hold(lock);
    if (!readers || generation != fork_generation()) {
      readers = new Readers;  // never destroyed: threads are parked in it
      generation = fork_generation();
    }
    return *readers;
  }

  void ask(std::function<void()> task) {
    {
      const std::lock_guard hold(lock_);
      tasks_.push_back(std::move(task));
      if (idle_ < tasks_.size() && threads_ < kMost) {
        std::thread([this] { loop(); }).detach();
        ++threads_;
      }
    }
    wake_.notify_one();
  }

 private:
  static constexpr size_t kMost = 32;

  void loop() {
    std::unique_lock hold(lock_);
    for (;;) {
      ++idle_;
      wake_.wait(hold, [&] { return !tasks_.empty(); });
      --idle_;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      hold.unlock();
      task();
      hold.lock();
    }
  }

  std::mutex lock_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  size_t threads_ = 0, idle_ = 0;
};

class PreadFile final : public RandomFile {
 public:
  PreadFile(std::string path, int fd, uint64_t size, bool direct)
      : RandomFile(std::move(path), fd, size, direct, "pread") {}

  void read(std::span<const Piece> pieces, const Done& done) const override {
    Outcome outcome(*this);
    if (direct_ && pieces.size() > 1)
      read_by_threads(pieces, done, outcome);
    else
      read_here(fd_, pieces, done, outcome);
    outcome.rethrow();
  }

 private:
  struct Finished {
    size_t piece, got;
    int error;
  };

  void read_by_threads(std::span<const Piece> pieces, const Done& done, Outcome& outcome) const {
    std::mutex lock;
    std::condition_variable wake;
    std::vector<Finished> finished;
    for (size_t i = 0; i < pieces.size(); ++i)
      Readers::instance().ask([&, i] {
        Finished own{i, 0, 0};
        own.error = read_whole(fd_, pieces[i], own.got);
        const std::lock_guard hold(lock);
        finished.push_back(own);
        wake.notify_one();
      });
    std::vector<Finished> batch;
    for (size_t left = pieces.size(); left; left -= batch.size()) {
      batch.clear();
      {
        std::unique_lock hold(lock);
        wake.wait(hold, [&] { return !finished.empty(); });
        batch.swap(finished);
      }
      for (const Finished& one : batch) {
        if (one.error > 0) outcome.fail(one.error);
        if (one.error < 0) outcome.ended_early(pieces[one.piece].n - one.got);
        outcome.run([&] {
          done(one.piece);
          poll_interrupt();
        });
      }
    }
    const std::lock_guard hold(lock);  // the last thread has let go of it
  }
};

// The ring of this thread; a forked child's would be shared with its parent.
struct OwnRing {
  std::optional<Ring> ring;
  unsigned generation = 0;
  bool used = false;

  static OwnRing& of_thread() {
    thread_local OwnRing own;
    if (!own.ring || own.generation != fork_generation()) {
      own.ring.emplace(kUnderWay);
      own.generation = fork_generation();
      own.used = false;
    }
    return own;
  }
};

class RingFile final : public RandomFile {
 public:
  RingFile(std::string path, int fd, uint64_t size, bool direct)
      : RandomFile(std::move(path), fd, size, direct, "io_uring") {}

  void read(std::span<const Piece> pieces, const Done& done) const override {
    Outcome outcome(*this);
    OwnRing& own = OwnRing::of_thread();
    if (own.used) {  // from within done
      read_here(fd_, pieces, done, outcome);
    } else {
      own.used = true;
      read_by(*own.ring, pieces, done, outcome);
      own.used = false;
    }
    outcome.rethrow();
  }

 private:
  void read_by(Ring& ring, std::span<const Piece> pieces, const Done& done,
               Outcome& outcome) const {
    std::vector<size_t> got(pieces.size());
    size_t next = 0, under_way = 0;
    const auto start = [&](size_t i) {
      const Piece& p = pieces[i];
      const size_t ask = std::min(p.n - got[i], kMostPerRead);
      ring.read(fd_, p.to + got[i], static_cast<uint32_t>(ask), p.offset + got[i], i);
      ++under_way;
    };
    while (under_way || (next < pieces.size() && !outcome.failed())) {
      while (next < pieces.size() && under_way < ring.entries() && !outcome.failed()) start(next++);
      ring.submit(1);
      while (const auto one = ring.next()) {
        --under_way;
        const auto i = static_cast<size_t>(one->tag);
        const int result = system_calls.completed(one->result);
        if (result == -EINTR || result == -EAGAIN) {
          start(i);
          continue;
        }
        if (result < 0) outcome.fail(-result);
        if (result == 0 && pieces[i].n) outcome.ended_early(pieces[i].n - got[i]);
        if (outcome.failed()) continue;
        got[i] += static_cast<size_t>(result);
        if (got[i] < pieces[i].n)
          start(i);
        else
          outcome.run([&] { done(i); });
      }
      outcome.run(poll_interrupt);
    }
  }
};

enum class Offered { unknown, yes, no };
std::atomic<Offered> g_ring{Offered::unknown};
std::mutex g_reason_lock;
std::string g_reason;

// Whether a read by io_uring gives what pread gives, tried once.
bool ring_reads(int fd, size_t n, std::byte* scratch) {
  if (g_ring != Offered::unknown) return g_ring == Offered::yes;
  std::string reason;
  try {
    Ring& ring = *OwnRing::of_thread().ring;
    ring.read(fd, scratch, static_cast<uint32_t>(n), 0, 7);
    ring.submit(1);
    const auto one = ring.next();
    if (!one || one->tag != 7 || one->result != static_cast<int>(n))
      reason = text("a first read gave ", one ? one->result : 0, " instead of ", n, " bytes");
  } catch (const Error& e) {
    reason = e.what();
  }
  const std::lock_guard hold(g_reason_lock);
  g_reason = reason;
  g_ring = reason.empty() ? Offered::yes : Offered::no;
  return reason.empty();
}

}  // namespace

std::string why_no_io_uring() {
  const std::lock_guard hold(g_reason_lock);
  return g_reason;
}

Backend backend_named(const std::string& name) {
  if (name == "auto") return Backend::automatic;
  if (name == "io_uring") return Backend::io_uring;
  if (name == "pread") return Backend::pread;
  throw ArgumentError(text("io_backend '", name, "' is not known; choose auto, io_uring or pread"));
}

Caching caching_named(const std::string& name) {
  if (name == "auto") return Caching::automatic;
  if (name == "direct") return Caching::direct;
  if (name == "buffered") return Caching::buffered;
  throw ArgumentError(text("caching '", name, "' is not known; choose auto, direct or buffered"));
}

std::string RandomFile::backend() const { return text(name_, direct_ ? ", direct" : ", buffered"); }

std::unique_ptr<RandomFile> RandomFile::open(const std::string& path, Backend backend,
                                             Caching caching) {
  const auto open_as = [&](int flags) {
    return retry([&] { return system_calls.open(path.c_str(), O_RDONLY | O_CLOEXEC | flags, 0); });
  };
  Descriptor file(open_as(0));
  if (file.fd < 0) io::fail("read", path, errno);
  struct stat info;
  if (::fstat(file.fd, &info) != 0) io::fail("read", path, errno);
  if (!S_ISREG(info.st_mode)) io::fail("read", path, S_ISDIR(info.st_mode) ? EISDIR : ESPIPE);
  const auto size = static_cast<uint64_t>(info.st_size);
  Array<std::byte> room(2 * kAlignment);
  auto* scratch = reinterpret_cast<std::byte*>(
      (reinterpret_cast<uintptr_t>(room.data()) + kAlignment - 1) / kAlignment * kAlignment);
  bool direct = false;
#if defined(O_DIRECT)
  if (caching == Caching::direct ||
      (caching == Caching::automatic && size > available_memory() / 2)) {
    Descriptor past_cache(open_as(O_DIRECT));
    direct = past_cache.fd >= 0 && size >= kAlignment &&
             ::pread(past_cache.fd, scratch, kAlignment, 0) == static_cast<ssize_t>(kAlignment);
    if (direct) file = std::move(past_cache);
  }
#endif
  if (!direct) ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_RANDOM);
  const bool ring = backend != Backend::pread && size > 0 &&
                    ring_reads(file.fd, std::min<size_t>(size, kAlignment), scratch);
  std::unique_ptr<RandomFile> out;
  if (ring)
    out = std::make_unique<RingFile>(path, file.fd, size, direct);
  else
    out = std::make_unique<PreadFile>(path, file.fd, size, direct);
  file.fd = -1;
  return out;
}

RandomFile::~RandomFile() { system_calls.close(fd_); }

}  // namespace shortlist::io
