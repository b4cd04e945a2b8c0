// Convolutions on arrays.
#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cpu {
void register_convolutions(pybind11::module_& m);
}
