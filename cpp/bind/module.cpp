#include "bind/arrays.h"
#include "bind/bind.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core of shortlist. Import its names from `shortlist`.";
  m.attr("__version__") = SHORTLIST_VERSION;
  shortlist::install_hooks();
  shortlist::bind_errors(m);
  shortlist::bind_kernels(m);
  shortlist::bind_oddint(m);
  shortlist::bind_params(m);
  shortlist::bind_index(m);
  shortlist::bind_transform(m);
  shortlist::bind_classes(m);
  shortlist::bind_pretransform(m);
  shortlist::bind_cluster(m);
  shortlist::bind_ivf(m);
  shortlist::bind_binary(m);
  shortlist::bind_sdc(m);
  shortlist::bind_product(m);
  shortlist::bind_opq(m);
  shortlist::bind_rabitq(m);
  shortlist::bind_kv(m);
  shortlist::bind_functions(m);
  shortlist::bind_disk(m);
  shortlist::bind_spann(m);
  shortlist::bind_io(m);
  shortlist::bind_gpu(m);
}
