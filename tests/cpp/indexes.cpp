// Random histories of every index, checked against brute force over what it should hold.
#include "subject.h"

namespace shortlist::test {

void indexes(uint64_t seed) {
  const size_t before = num_threads();
  for (const Kind& kind : kinds())
    for (const Metric metric : {Metric::l2, Metric::inner_product}) {
      if ((kind.traits.bits || kind.traits.l2) && metric != Metric::l2) continue;
      Random random(seed);
      const size_t d = random.between(1, 40);
      set_num_threads(random.between(1, 3));
      try {
        Subject subject(kind, d, metric, random);
        for (int step = 0; step < 40; ++step) {
          subject.step();
          if (step % 5 == 0) subject.check();
        }
        subject.check();
        CHECK(subject.recall() > 0.9);
      } catch (const std::exception& e) {
        throw Failure(text(kind.name, ", ", name_of(metric), ", d = ", d, ": ", e.what()));
      }
    }
  set_num_threads(before);
}

}  // namespace shortlist::test
