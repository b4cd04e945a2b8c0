// The kernels on arrays.
#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cpu {
void register_ops(pybind11::module_& m);
}
