// The machine: instruction sets, threads, caches, limits.
#pragma once

#include <pybind11/pybind11.h>

namespace fnnfast::cpu {
void register_machine(pybind11::module_& m);
}
