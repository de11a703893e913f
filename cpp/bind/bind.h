// One function per file of this folder, in the order module.cpp calls them.
#pragma once

#include <pybind11/pybind11.h>

namespace shortlist {

void bind_errors(pybind11::module_& m);
void bind_kernels(pybind11::module_& m);
void bind_oddint(pybind11::module_& m);
void bind_params(pybind11::module_& m);
void bind_index(pybind11::module_& m);
void bind_transform(pybind11::module_& m);
void bind_classes(pybind11::module_& m);
void bind_ivf(pybind11::module_& m);
void bind_binary(pybind11::module_& m);
void bind_sdc(pybind11::module_& m);
void bind_product(pybind11::module_& m);
void bind_opq(pybind11::module_& m);
void bind_rabitq(pybind11::module_& m);
void bind_pretransform(pybind11::module_& m);
void bind_cluster(pybind11::module_& m);
void bind_kv(pybind11::module_& m);
void bind_functions(pybind11::module_& m);
void bind_disk(pybind11::module_& m);
void bind_spann(pybind11::module_& m);
void bind_io(pybind11::module_& m);
void bind_gpu(pybind11::module_& m);

}  // namespace shortlist
