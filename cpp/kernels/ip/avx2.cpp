#include "kernels/avx2.h"

#include "kernels/ip/ip.h"

namespace shortlist::kernels::ip {

void add_avx2(Table& t) { add<Avx2>(t); }

}  // namespace shortlist::kernels::ip
