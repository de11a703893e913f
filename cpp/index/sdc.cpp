#include "index/sdc.h"

#include "kernels/floats.h"

namespace shortlist {

void IndexSDC::nearest(const Rows& x, size_t k, const SelectedSlots* allowed,
                       const SearchParameters* params, Hits& hits) const {
  std::vector<float> scratch;
  blocks().search({as_floats(x, scratch), x.n, x.d}, how(params), k, allowed, hits.data());
}

void IndexSDC::do_search_exact(const Rows& x, size_t k, float* distances, id_t* labels) const {
  std::vector<float> scratch;
  Hits hits(x.n);
  blocks().search({as_floats(x, scratch), x.n, x.d}, {.coded = sdc->symmetric, .sure = true}, k,
                  nullptr, hits.data());
  write(hits, k, distances, labels);
}

void IndexSDC::within(const Rows& x, float radius, const SelectedSlots* allowed,
                      const SearchParameters* params, Hits& hits) const {
  std::vector<float> scratch;
  blocks().range_search({as_floats(x, scratch), x.n, x.d}, how(params), radius, allowed,
                        hits.data());
}

}  // namespace shortlist
