#include "kernels/avx2.h"

#include "kernels/gemm/gemm.h"

namespace shortlist::kernels::gemm {

void add_avx2(Table& t) { add<Avx2>(t); }

}  // namespace shortlist::kernels::gemm
