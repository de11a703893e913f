// The core without Python, for the sanitizers: shortlist_cpp_tests [--seed N] [SUITE ...]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "check.h"

namespace {

struct Named {
  const char* name;
  shortlist::test::Suite run;
};
constexpr Named kSuites[] = {
    {"base", shortlist::test::base},
    {"codes", shortlist::test::codes},
    {"threads", shortlist::test::threads},
    {"rwlock", shortlist::test::rwlock},
    {"clusters", shortlist::test::clusters},
    {"caches", shortlist::test::caches},
    {"scans", shortlist::test::scans},
    {"indexes", shortlist::test::indexes},
    {"edges", shortlist::test::edges},
    {"disk", shortlist::test::disk},
    {"concurrency", shortlist::test::concurrency},
};

bool run(const Named& suite, uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  std::printf("%-12s seed %llu ... ", suite.name, static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  const auto start = Clock::now();
  try {
    suite.run(seed);
  } catch (const std::exception& e) {
    std::printf("FAILED\n  %s\n", e.what());
    return false;
  }
  std::printf("ok (%.1f s)\n", std::chrono::duration<double>(Clock::now() - start).count());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seed = 1;
  bool ok = true, named = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
      continue;
    }
    named = true;
    const Named* found = nullptr;
    for (const Named& suite : kSuites)
      if (std::strcmp(argv[i], suite.name) == 0) found = &suite;
    if (!found) {
      std::fprintf(stderr, "no suite '%s'; there are:", argv[i]);
      for (const Named& suite : kSuites) std::fprintf(stderr, " %s", suite.name);
      std::fprintf(stderr, "\n");
      return 2;
    }
    ok = run(*found, seed) && ok;
  }
  if (!named)
    for (const Named& suite : kSuites) ok = run(suite, seed) && ok;
  return ok ? 0 : 1;
}
