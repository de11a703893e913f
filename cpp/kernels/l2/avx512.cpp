#include "kernels/avx512.h"

#include "kernels/l2/l2.h"

namespace shortlist::kernels::l2 {

void add_avx512(Table& t) { add<Avx512>(t); }

}  // namespace shortlist::kernels::l2
