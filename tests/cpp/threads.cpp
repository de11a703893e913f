// The thread pool: every item once, nesting, failures, interrupts, many callers at once.
#include "base/threads.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"

namespace shortlist::test {
namespace {

struct Planned : std::runtime_error {
  Planned() : std::runtime_error("planned") {}
};

void every_item_once(Random& random) {
  for (int round = 0; round < 200; ++round) {
    const size_t n = random.below(500), grain = random.between(1, 20), most = random.below(6);
    std::vector<int> seen(n);
    std::vector<std::atomic<int>> busy(64);
    size_t completed = 7;
    parallel_for(n, {.grain = grain, .completed = &completed, .max_threads = most},
                 [&](size_t begin, size_t end, size_t worker) {
                   CHECK(worker < std::max(num_threads(), most));
                   CHECK_EQ(busy[worker].exchange(1), 0);
                   for (size_t i = begin; i < end; ++i) ++seen[i];
                   busy[worker] = 0;
                 });
    for (int times : seen) CHECK_EQ(times, 1);
    CHECK_EQ(completed, n);
  }
}

void nested_loops_run_inline() {
  std::atomic<size_t> total{0};
  parallel_for(20, {}, [&](size_t begin, size_t end, size_t) {
    const auto me = std::this_thread::get_id();
    for (size_t i = begin; i < end; ++i)
      parallel_for(30, {}, [&](size_t b, size_t e, size_t worker) {
        CHECK_EQ(worker, size_t{0});
        CHECK(std::this_thread::get_id() == me);
        total += e - b;
      });
  });
  CHECK_EQ(total.load(), size_t{600});
  CHECK_THROWS(Planned, parallel_for(8, {}, [&](size_t, size_t, size_t) {
                 parallel_for(8, {}, [](size_t, size_t, size_t) { throw Planned(); });
               }));
}

void failures_leave_a_prefix(Random& random) {
  for (int round = 0; round < 200; ++round) {
    const size_t n = random.between(1, 400), grain = random.between(1, 8), bad = random.below(n);
    std::vector<int> done(n);
    size_t completed = n + 1;
    CHECK_THROWS(Planned, parallel_for(n, {.grain = grain, .completed = &completed},
                                       [&](size_t begin, size_t end, size_t) {
                                         for (size_t i = begin; i < end; ++i) {
                                           if (i == bad || (i > bad && i % 7 == 0)) throw Planned();
                                           done[i] = 1;
                                         }
                                       }));
    CHECK(completed <= bad);
    for (size_t i = 0; i < completed; ++i) CHECK_EQ(done[i], 1);
  }
}

void many_callers() {
  std::atomic<size_t> total{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&, t] {
      for (int round = 0; round < 50; ++round) {
        try {
          parallel_for(40, {}, [&](size_t begin, size_t end, size_t) {
            if (t == 0 && round % 5 == 0 && begin == 20) throw Planned();
            total += end - begin;
          });
        } catch (const Planned&) {
          ++failures;
        }
      }
    });
  for (auto& caller : callers) caller.join();
  CHECK_EQ(failures.load(), 10);
  CHECK(total.load() >= size_t{190 * 40});
}

void progress_reports_and_stops() {
  const auto slowly = [](size_t, size_t, size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  size_t last = 0, calls = 0;
  const ProgressFn watch = [&](size_t done, size_t total) {
    CHECK_EQ(total, size_t{60});
    CHECK(done >= last && done <= total);
    last = done;
    ++calls;
  };
  parallel_for(60, {.progress = &watch}, slowly);
  CHECK_EQ(last, size_t{60});
  CHECK(calls > 1);

  std::vector<std::atomic<int>> done(400);
  size_t completed = 0;
  const ProgressFn stop = [](size_t, size_t) { throw Planned(); };
  CHECK_THROWS(Planned, parallel_for(400, {.progress = &stop, .completed = &completed},
                                     [&](size_t begin, size_t end, size_t w) {
                                       slowly(begin, end, w);
                                       done[begin] = 1;
                                     }));
  CHECK(completed > 0 && completed < 400);
  for (size_t i = 0; i < 400; ++i) CHECK_EQ(done[i].load(), static_cast<int>(i < completed));
}

// Bodies that poll leave early when the caller is interrupted, whichever thread runs them; the
// hook itself belongs to the caller.
void interrupts_reach_every_thread() {
  static std::atomic<size_t> elsewhere{0};
  static std::thread::id caller;
  caller = std::this_thread::get_id();
  elsewhere = 0;
  set_interrupt_hook([] {
    if (std::this_thread::get_id() == caller) throw Planned();
    ++elsewhere;
  });
  CHECK_THROWS(Planned, parallel_for(8, {}, [](size_t, size_t, size_t) {
                 for (;;) {
                   poll_interrupt();
                   std::this_thread::sleep_for(std::chrono::milliseconds(1));
                 }
               }));
  set_interrupt_hook(nullptr);
  CHECK_EQ(elsewhere.load(), size_t{0});
}

}  // namespace

void threads(uint64_t seed) {
  Random random(seed);
  const size_t before = num_threads();
  for (size_t n : {size_t{1}, size_t{2}, size_t{5}}) {
    set_num_threads(n);
    CHECK_EQ(num_threads(), n);
    every_item_once(random);
    nested_loops_run_inline();
    failures_leave_a_prefix(random);
    many_callers();
    progress_reports_and_stops();
    interrupts_reach_every_thread();
  }
  set_num_threads(before);
}

}  // namespace shortlist::test
