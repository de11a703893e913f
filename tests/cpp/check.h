// What every suite needs: checks that say where and with which seed they failed, and random data.
#pragma once

#include <cstdint>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/types.h"

namespace shortlist::test {

struct Failure : std::logic_error {
  using std::logic_error::logic_error;
};

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition))                                                              \
      throw ::shortlist::test::Failure(                                            \
          ::shortlist::text(__FILE__, ":", __LINE__, ": not true: ", #condition)); \
  } while (0)

// Copies its arguments: they may point into temporaries.
#define CHECK_EQ(a, b)                                                                             \
  do {                                                                                             \
    const auto a_ = (a);                                                                           \
    const auto b_ = (b);                                                                           \
    if (!(a_ == b_))                                                                               \
      throw ::shortlist::test::Failure(::shortlist::text(__FILE__, ":", __LINE__, ": ", #a, " = ", \
                                                         a_, ", but ", #b, " = ", b_));            \
  } while (0)

#define CHECK_THROWS(type, statement)                                                        \
  do {                                                                                       \
    bool thrown_ = false;                                                                    \
    try {                                                                                    \
      statement;                                                                             \
    } catch (const type&) {                                                                  \
      thrown_ = true;                                                                        \
    }                                                                                        \
    if (!thrown_)                                                                            \
      throw ::shortlist::test::Failure(                                                      \
          ::shortlist::text(__FILE__, ":", __LINE__, ": no ", #type, " from ", #statement)); \
  } while (0)

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(engine_); }
  size_t between(size_t low, size_t high) { return low + below(high - low + 1); }
  bool chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }
  uint64_t bits() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

// A suite runs all its tests from one seed.
using Suite = void (*)(uint64_t seed);
void base(uint64_t seed);
void codes(uint64_t seed);
void threads(uint64_t seed);
void rwlock(uint64_t seed);
void clusters(uint64_t seed);
void caches(uint64_t seed);
void scans(uint64_t seed);
void indexes(uint64_t seed);
void edges(uint64_t seed);
void disk(uint64_t seed);
void concurrency(uint64_t seed);

}  // namespace shortlist::test
