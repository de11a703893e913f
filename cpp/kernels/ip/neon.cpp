#include "kernels/neon.h"

#include "kernels/ip/ip.h"

namespace shortlist::kernels::ip {

void add_neon(Table& t) { add<Neon>(t); }

}  // namespace shortlist::kernels::ip
