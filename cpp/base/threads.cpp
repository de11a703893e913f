#include "base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shortlist {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollEvery = std::chrono::milliseconds(20);

std::atomic<InterruptHook> g_hook{nullptr};
std::atomic<size_t> g_threads{0};
std::atomic<unsigned> g_forks{0};
thread_local bool t_inside = false;  // running a body: nested loops go inline
thread_local bool t_helper = false;  // one of the pool's own threads
thread_local Clock::time_point t_next_poll{};
thread_local const std::atomic<bool>* t_stop = nullptr;

size_t cgroup_limit() {
  // cgroup v2 first, then v1; an absent or unlimited quota is no limit.
  if (std::ifstream in("/sys/fs/cgroup/cpu.max"); in) {
    std::string quota;
    double period = 0;
    if (in >> quota >> period && quota != "max" && period > 0)
      return static_cast<size_t>(std::max(1.0, std::atof(quota.c_str()) / period + 0.5));
  }
  std::ifstream quota_in("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_in("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_in >> quota && period_in >> period && quota > 0 && period > 0)
    return static_cast<size_t>(std::max(1.0, quota / period + 0.5));
  return SIZE_MAX;
}

struct Stopped {};  // thrown to leave a body early once another thread has failed

struct Job {
  Job(size_t n, size_t grain, detail::Body body, size_t max_workers)
      : n(n), grain(grain), body(body), max_workers(max_workers) {}
  size_t n, grain;
  detail::Body body;
  size_t max_workers;
  std::atomic<size_t> next{0};
  std::atomic<size_t> workers{1};  // the caller is worker 0
  std::atomic<bool> stop{false};
  size_t running = 0;  // helpers inside; guarded by Pool::mutex
  std::mutex error_mutex;
  std::exception_ptr error;
  size_t first_failed = SIZE_MAX;

  bool exhausted() const { return stop.load() || next.load() >= n; }

  bool claim(size_t& begin, size_t& end) {
    if (stop.load(std::memory_order_relaxed)) return false;
    begin = next.fetch_add(grain);
    if (begin >= n) return false;
    end = std::min(n, begin + grain);
    return true;
  }

  void fail(size_t at) {
    std::lock_guard lock(error_mutex);
    if (!error) error = std::current_exception();
    first_failed = std::min(first_failed, at);
    stop = true;
  }

  void run_chunk(size_t begin, size_t end, size_t worker) {
    try {
      body.call(body.object, begin, end, worker);
    } catch (...) {
      fail(begin);
    }
  }
};

class Pool {
 public:
  // Never destroyed: threads may still be parked in it when the process ends.
  static Pool& instance() {
    static std::once_flag once;
    std::call_once(once, [] {
      current() = new Pool;
      pthread_atfork([] { current()->mutex_.lock(); }, [] { current()->mutex_.unlock(); },
                     [] {
                       current() = new Pool;  // the old one's threads are not in this process
                       g_forks.fetch_add(1);
                       t_inside = false;
                     });
    });
    return *current();
  }

  void run(Job& job, size_t helpers, const ProgressFn* progress) {
    {
      std::lock_guard lock(mutex_);
      while (threads_ < helpers) spawn();
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    work(job, 0, progress);
    std::unique_lock lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    done_.wait(lock, [&] { return job.running == 0; });
  }

  // The caller's share: also the only place that reports progress and notices interrupts.
  static void work(Job& job, size_t worker, const ProgressFn* progress) {
    t_inside = true;
    t_stop = &job.stop;
    size_t begin, end;
    auto next_report = Clock::now() + kPollEvery;
    while (job.claim(begin, end)) {
      job.run_chunk(begin, end, worker);
      if (worker != 0) continue;
      try {
        poll_interrupt();
        if (progress && *progress && Clock::now() >= next_report) {
          (*progress)(std::min(job.n, job.next.load()), job.n);
          next_report = Clock::now() + kPollEvery;
        }
      } catch (...) {
        job.fail(job.n);
      }
    }
    t_inside = false;
    t_stop = nullptr;
  }

 private:
  static Pool*& current() {
    static Pool* pool = nullptr;
    return pool;
  }

  void spawn() {
    std::thread([this] { loop(); }).detach();
    ++threads_;
  }

  Job* pick() {
    for (Job* job : jobs_)
      if (!job->exhausted() && job->workers.load() < job->max_workers) return job;
    return nullptr;
  }

  void loop() {
    t_helper = true;
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] { return (job = pick()) != nullptr; });
      const size_t worker = job->workers.fetch_add(1);
      ++job->running;
      lock.unlock();
      work(*job, worker, nullptr);
      lock.lock();
      if (--job->running == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Job*> jobs_;
  size_t threads_ = 0;
};

// Made with the library, so that forks are counted from the start.
[[maybe_unused]] const Pool& g_pool = Pool::instance();

}  // namespace

size_t hardware_threads() {
  static const size_t n = [] {
    size_t cores = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
      cores = std::max<size_t>(1, static_cast<size_t>(CPU_COUNT(&set)));
#endif
    return std::min(cores, cgroup_limit());
  }();
  return n;
}

size_t num_threads() {
  size_t n = g_threads.load(std::memory_order_relaxed);
  if (n) return n;
  n = hardware_threads();
  if (const char* env = std::getenv("OMP_NUM_THREADS")) {
    const long asked = std::strtol(env, nullptr, 10);
    if (asked > 0) n = static_cast<size_t>(asked);
  }
  g_threads = n;
  return n;
}

void set_num_threads(size_t n) { g_threads = std::max<size_t>(1, n); }

void set_interrupt_hook(InterruptHook hook) { g_hook = hook; }

void poll_interrupt() {
  if (t_stop && t_stop->load(std::memory_order_relaxed)) throw Stopped{};
  const auto hook = g_hook.load(std::memory_order_relaxed);
  if (!hook || t_helper) return;
  const auto now = Clock::now();
  if (now < t_next_poll) return;
  t_next_poll = now + kPollEvery;
  hook();
}

unsigned fork_generation() { return g_forks.load(std::memory_order_relaxed); }

void detail::parallel_for(size_t n, const ParallelOptions& options, Body body) {
  if (options.completed) *options.completed = 0;
  if (n == 0) return;
  const size_t grain = std::max<size_t>(1, options.grain);
  const size_t chunks = (n + grain - 1) / grain;
  size_t workers = options.max_threads ? options.max_threads : num_threads();
  workers = std::min(workers, chunks);
  Job job(n, grain, body, workers);
  if (t_inside) {
    // Progress and interrupts belong to the outer loop.
    size_t begin, end;
    while (job.claim(begin, end)) job.run_chunk(begin, end, 0);
  } else if (workers == 1) {
    Pool::work(job, 0, options.progress);
  } else {
    Pool::instance().run(job, workers - 1, options.progress);
  }
  if (options.completed) *options.completed = std::min({n, job.next.load(), job.first_failed});
  if (job.error) std::rethrow_exception(job.error);
  if (options.progress && *options.progress && !t_inside) (*options.progress)(n, n);
}

}  // namespace shortlist
