#include "kernels/avx2.h"

#include "kernels/l2/l2.h"

namespace shortlist::kernels::l2 {

void add_avx2(Table& t) { add<Avx2>(t); }

}  // namespace shortlist::kernels::l2
