// The scope of a kernel: without the GIL, and in the floating-point modes that the bits depend on.
#pragma once

#include <pybind11/pybind11.h>

#include "../cpu/floatenv.hpp"

namespace fnnfast::cpu {

class Unlocked {
  pybind11::gil_scoped_release release_;
  FloatEnvironment environment_;
};

}  // namespace fnnfast::cpu
