#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cuda {

void register_cuda_network(pybind11::module_& m);

}  // namespace fnnfast::cuda
