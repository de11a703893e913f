#include "kernels/avx512.h"

#include "kernels/gemm/gemm.h"

namespace shortlist::kernels::gemm {

void add_avx512(Table& t) { add<Avx512>(t); }

}  // namespace shortlist::kernels::gemm
