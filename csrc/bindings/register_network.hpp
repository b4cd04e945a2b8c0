// Network, and Forward, the base of Sequential.
#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cpu {
void register_network(pybind11::module_& m);
}
