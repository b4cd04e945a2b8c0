// The layers of a network as Python describes them (_cpu.pyi, Network).
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../core/lower.hpp"
#include "names.hpp"

namespace fnnfast {

namespace py = pybind11;

std::vector<LayerSpec> layer_specs(const py::sequence& layers);

// The shape of an input from Python: a number of elements, or (height, width, channels).
Shape input_shape(py::handle shape);

}  // namespace fnnfast
