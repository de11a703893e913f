#include "io/random_files.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
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

constexpr unsigned kUnderWay = 256;               // reads of a thread at a time
constexpr size_t kMostPerRead = size_t{1} << 30;  // one call moves less than 2 GiB

using Piece = RandomFiles::Piece;

// What reads of one call have come to. The first failure stops further ones.
class Outcome {
 public:
  explicit Outcome(const RandomFiles& files) : files_(files) {}
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
  // What read_whole told of a piece.
  void note(const Piece& piece, size_t got, int error) {
    const std::string& path = files_.path(piece.file);
    if (error > 0) run([&] { io::fail("read", path, error); });
    if (error < 0)
      run([&] {
        throw CorruptIndexError(text("'", path, "' ends ", piece.n - got,
                                     " bytes early; it was cut short: restore or rebuild it"));
      });
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const RandomFiles& files_;
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

template <class Fd>
void read_here(const Fd& fd, std::span<const Piece> pieces, const RandomFiles::Done& done,
               Outcome& outcome) {
  for (size_t i = 0; i < pieces.size() && !outcome.failed(); ++i) {
    size_t got = 0;
    const int error = read_whole(fd(pieces[i]), pieces[i], got);
    outcome.note(pieces[i], got, error);
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
    // Not behind a lock, which a fork may have caught held. Never destroyed: threads are parked in
    // it.
    static std::atomic<Readers*> current = nullptr;
    Readers* readers = current;
    while (!readers || readers->generation_ != fork_generation()) {
      auto fresh = std::make_unique<Readers>();
      if (current.compare_exchange_strong(readers, fresh.get())) readers = fresh.release();
    }
    return *readers;
  }

  void ask(std::function<void()> task) {
    {
      const std::lock_guard hold(lock_);
      tasks_.push_back(std::move(task));
      if (idle_ < tasks_.size() && threads_ < kMost) start_one();
    }
    wake_.notify_one();
  }

 private:
  static constexpr size_t kMost = 32;

  // Where no thread can be had, those there are have to do; without any, the caller has.
  void start_one() {
    try {
      std::thread([this] { loop(); }).detach();
      ++threads_;
    } catch (const std::system_error&) {
      if (threads_) return;
      const auto task = std::move(tasks_.back());
      tasks_.pop_back();
      task();
    }
  }

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

  const unsigned generation_ = fork_generation();
  std::mutex lock_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  size_t threads_ = 0, idle_ = 0;
};

class PreadFiles final : public RandomFiles {
 public:
  PreadFiles(std::vector<Opened> files, bool direct)
      : RandomFiles(std::move(files), direct, "pread") {}

  void read(std::span<const Piece> pieces, const Done& done) const override {
    Outcome outcome(*this);
    if (direct_ && pieces.size() > 1)
      read_by_threads(pieces, done, outcome);
    else
      read_here([&](const Piece& p) { return fd(p); }, pieces, done, outcome);
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
        own.error = read_whole(fd(pieces[i]), pieces[i], own.got);
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
        outcome.note(pieces[one.piece], one.got, one.error);
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

  struct Use {
    explicit Use(OwnRing& own) : own(own) { own.used = true; }
    ~Use() { own.used = false; }
    OwnRing& own;
  };

  // Null where a limit, of descriptors or locked memory, allows no more of them.
  static OwnRing* of_thread() {
    thread_local OwnRing own;
    if (!own.ring || own.generation != fork_generation()) {
      try {
        own.ring.emplace(kUnderWay);
      } catch (const IoError&) {
        return nullptr;
      }
      own.generation = fork_generation();
      own.used = false;
    }
    return &own;
  }
};

class RingFiles final : public RandomFiles {
 public:
  RingFiles(std::vector<Opened> files, bool direct)
      : RandomFiles(std::move(files), direct, "io_uring") {}

  void read(std::span<const Piece> pieces, const Done& done) const override {
    Outcome outcome(*this);
    OwnRing* const own = OwnRing::of_thread();
    if (!own || own->used) {  // from within done
      read_here([&](const Piece& p) { return fd(p); }, pieces, done, outcome);
    } else {
      const OwnRing::Use use(*own);
      read_by(*own->ring, pieces, done, outcome);
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
      ring.read(fd(p), p.to + got[i], static_cast<uint32_t>(ask), p.offset + got[i], i);
      ++under_way;
    };
    const auto submit = [&] {
      try {
        ring.submit(1);
      } catch (...) {  // the kernel writes to the buffers until what was started is complete
        under_way -= ring.forget_queued();
        while (under_way)
          if (ring.next())
            --under_way;
          else
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        throw;
      }
    };
    while (under_way || (next < pieces.size() && !outcome.failed())) {
      while (next < pieces.size() && under_way < ring.entries() && !outcome.failed()) start(next++);
      submit();
      while (const auto one = ring.next()) {
        --under_way;
        const auto i = static_cast<size_t>(one->tag);
        const int result = system_calls.completed(one->result);
        if (result == -EINTR || result == -EAGAIN) {
          start(i);
          continue;
        }
        outcome.note(pieces[i], got[i], result < 0 ? -result : result == 0 && pieces[i].n ? -1 : 0);
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
    Ring ring(1);
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

std::string RandomFiles::backend() const {
  return text(name_, direct_ ? ", direct" : ", buffered");
}

RandomFiles::Opened::Opened(std::string path_, int flags) : path(std::move(path_)) {
  fd = retry([&] { return system_calls.open(path.c_str(), O_RDONLY | O_CLOEXEC | flags, 0); });
  if (fd < 0) io::fail("read", path, errno);
  struct stat info;
  const int error = ::fstat(fd, &info) != 0 ? errno
                    : S_ISREG(info.st_mode) ? 0
                    : S_ISDIR(info.st_mode) ? EISDIR
                                            : ESPIPE;
  if (error) {
    system_calls.close(fd);
    io::fail("read", path, error);
  }
  size = static_cast<uint64_t>(info.st_size);
}

RandomFiles::Opened::Opened(Opened&& other) noexcept
    : path(std::move(other.path)), fd(std::exchange(other.fd, -1)), size(other.size) {}

RandomFiles::Opened::~Opened() {
  if (fd >= 0) system_calls.close(fd);
}

std::unique_ptr<RandomFiles> RandomFiles::open(const std::vector<std::string>& paths,
                                               Backend backend, Caching caching) {
  Array<std::byte> room(2 * kAlignment);
  auto* scratch = reinterpret_cast<std::byte*>(
      (reinterpret_cast<uintptr_t>(room.data()) + kAlignment - 1) / kAlignment * kAlignment);
  std::vector<Opened> files;
  const auto open_all = [&](int flags) {
    files.clear();
    for (const std::string& path : paths) files.emplace_back(path, flags);
  };
  open_all(0);
  uint64_t total = 0;
  for (const Opened& file : files) total += file.size;
  bool direct = false;
#if defined(O_DIRECT)
  if (caching == Caching::direct ||
      (caching == Caching::automatic && total > available_memory() / 2)) {
    const auto reads = [&](const Opened& file) {
      return file.size >= kAlignment &&
             ::pread(file.fd, scratch, kAlignment, 0) == static_cast<ssize_t>(kAlignment);
    };
    try {
      open_all(O_DIRECT);
      direct = std::all_of(files.begin(), files.end(), reads);
    } catch (const IoError&) {  // not on this file system
    }
    if (!direct) open_all(0);
  }
#endif
  if (!direct)
    for (const Opened& file : files) ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_RANDOM);
  const auto some = std::find_if(files.begin(), files.end(), [](auto& f) { return f.size > 0; });
  if (backend != Backend::pread && some != files.end() &&
      ring_reads(some->fd, std::min<size_t>(some->size, kAlignment), scratch))
    return std::make_unique<RingFiles>(std::move(files), direct);
  return std::make_unique<PreadFiles>(std::move(files), direct);
}

}  // namespace shortlist::io
