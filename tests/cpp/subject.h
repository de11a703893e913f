// An index under test beside what it should hold: the vectors its codec makes of what was added.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "index/binary.h"
#include "index/hnsw.h"
#include "index/wrap.h"

namespace shortlist::test {

struct Traits {
  bool exact = false;      // finds the true neighbours, not most of them
  bool named = false;      // add_with_ids only
  bool renumbers = false;  // removing moves the ids behind
  bool removes = true;
  bool merges = true;
  bool encodes = true;  // IDs outside: sa_encode
  bool bits = false;    // a value is 8 bits; L2 only
  bool l2 = false;      // L2 only
};

struct Kind {
  std::string name;
  Traits traits;
  std::function<std::shared_ptr<Index>(size_t d, Metric metric)> make;
};
const std::vector<Kind>& kinds();
// An IndexPreTransform whose matrix leaves vectors as they are, to the bit.
std::shared_ptr<Index> unchanged_before(std::shared_ptr<Index> index);

// The codes that decide the distances an index reports.
const IndexFlatCodes& codes_of(const Index& index);
std::vector<float> random_rows(Random& random, size_t n, size_t d);

class Subject {
 public:
  Subject(const Kind& kind, size_t d, Metric metric, Random& random);

  void step();   // one random change
  void check();  // every way of asking

  const Index& index() const { return *index_; }
  double recall() const {
    return asked_ ? static_cast<double>(found_) / static_cast<double>(asked_) : 1;
  }

 private:
  using Row = std::vector<float>;

  void add();
  void remove();
  void update();
  void merge();
  void reload();
  void check_search(const Selector* sel, bool exhaustive = false);
  void check_range();
  void check_reconstruct();
  void check_errors();

  std::vector<Row> stored(const std::vector<float>& x) const;
  double distance(const float* q, const Row& row) const;
  double tolerance(const float* q, const Row& row) const;
  std::vector<id_t> some_ids();
  std::vector<id_t> fresh_ids(size_t n);
  void train(Index& index);

  const Kind& kind_;
  const size_t d_;
  const Metric metric_;
  Random& random_;
  std::shared_ptr<Index> index_;
  std::map<id_t, Row> rows_;
  id_t next_ = 0;
  std::vector<float> training_;
  size_t asked_ = 0, found_ = 0;
};

}  // namespace shortlist::test
