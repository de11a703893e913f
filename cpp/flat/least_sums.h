// The least sums of one entry from each of some tables, by the multi-sequence algorithm (Babenko
// and Lempitsky 2012, "The inverted multi-index"): without looking at most of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shortlist {

// For tables of 2^nbits floats each; one for each thread, reused.
class LeastSums {
 public:
  // M * nbits is at most 63.
  LeastSums(size_t M, size_t nbits) : M_(M), nbits_(nbits) {}

  // A sum, added up from the first table on, and the entries it is of: that of table m from bit
  // m * nbits on.
  struct Sum {
    float value;
    uint64_t entries;
    bool operator<(const Sum& other) const {
      return value < other.value || (value == other.value && entries < other.entries);
    }
  };
  // The k least of M tables, back to back, or all there are: the least first, then by entries.
  const std::vector<Sum>& find(const float* tables, size_t k);

 private:
  void sort_table(const float* table, size_t k, std::vector<Sum>& out) const;
  void add_table(size_t m, size_t k);

  struct Pair {  // of one of sums_ and one of entries_
    Sum sum;
    size_t i, j;
    bool operator<(const Pair& other) const { return other.sum < sum; }  // the least is on top
  };

  const size_t M_, nbits_;
  std::vector<Sum> sums_, entries_, more_;
  std::vector<Pair> heap_;
};

}  // namespace shortlist
