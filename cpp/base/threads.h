// One pool of threads for the whole library. No OpenMP: two OpenMP runtimes in one process
// (ours and PyTorch's) hang or abort.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>

namespace shortlist {

// Threads a parallel_for may use, the caller included. The default is OMP_NUM_THREADS if set,
// else the cores this process may run on, capped by its cgroup's quota.
size_t num_threads();
void set_num_threads(size_t n);
size_t hardware_threads();

// Called by long loops on the thread that started them, about every 20 ms; throws to stop them.
using InterruptHook = void (*)();
void set_interrupt_hook(InterruptHook hook);

// For long loops to call often: runs the interrupt hook when it is due (not on the pool's own
// threads), and throws when the parallel_for this thread works for has been stopped.
void poll_interrupt();

// Grows by one in every forked child; locks held by threads that did not survive are void.
unsigned fork_generation();

using ProgressFn = std::function<void(size_t done, size_t total)>;

struct ParallelOptions {
  size_t grain = 1;                      // items claimed at a time
  const ProgressFn* progress = nullptr;  // called on the calling thread
  size_t* completed = nullptr;           // out: items [0, completed) are done, also when it throws
  size_t max_threads = 0;                // 0: num_threads()
};

namespace detail {
// Non-owning callable: body(begin, end, worker).
struct Body {
  const void* object;
  void (*call)(const void*, size_t, size_t, size_t);
};
void parallel_for(size_t n, const ParallelOptions& options, Body body);
}  // namespace detail

// Runs body(begin, end, worker) over [0, n) in claimed chunks, in increasing order of claim.
// `worker` is below num_threads() and unique among the threads of this call. Nested calls, and
// calls with one chunk, run on the calling thread. The first exception stops the rest and is
// rethrown after every claimed chunk has ended.
template <class F>
void parallel_for(size_t n, const ParallelOptions& options, const F& body) {
  detail::parallel_for(n, options,
                       {&body, [](const void* f, size_t begin, size_t end, size_t worker) {
                          (*static_cast<const F*>(f))(begin, end, worker);
                        }});
}

}  // namespace shortlist
