#include "kernels/neon.h"

#include "kernels/l2/l2.h"

namespace shortlist::kernels::l2 {

void add_neon(Table& t) { add<Neon>(t); }

}  // namespace shortlist::kernels::l2
