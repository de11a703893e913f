#include "kernels/avx512.h"

#include "kernels/ip/ip.h"

namespace shortlist::kernels::ip {

void add_avx512(Table& t) { add<Avx512>(t); }

}  // namespace shortlist::kernels::ip
