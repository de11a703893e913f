#include "kernels/neon.h"

#include "kernels/gemm/gemm.h"

namespace shortlist::kernels::gemm {

void add_neon(Table& t) { add<Neon>(t); }

}  // namespace shortlist::kernels::gemm
