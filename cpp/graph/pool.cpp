#include "graph/pool.h"

namespace shortlist {

Walk& Walk::of_this_thread() {
  static thread_local Walk walk;
  return walk;
}

}  // namespace shortlist
