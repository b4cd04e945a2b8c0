// The layers of a network as Python describes them (_cpu.pyi, Network).
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../core/graph.hpp"
#include "names.hpp"

namespace fnnfast {

namespace py = pybind11;

inline std::vector<LayerSpec> layer_specs(const py::sequence& layers) {
  std::vector<LayerSpec> specs;
  for (const py::handle item : layers) {
    const auto layer = py::cast<py::sequence>(item);
    const auto kind = py::cast<std::string>(layer[0]);
    LayerSpec spec{};
    if (kind == "dense") {
      spec.kind = LayerSpec::Kind::kDense;
      spec.units = py::cast<ptrdiff_t>(layer[1]);
      spec.activation = activation_number(py::cast<std::string>(layer[2]));
      if (!py::object(layer[3]).is_none()) spec.parameter = py::cast<double>(layer[3]);
    } else if (kind == "maxout") {
      spec.kind = LayerSpec::Kind::kMaxout;
      spec.units = py::cast<ptrdiff_t>(layer[1]);
      spec.pieces = py::cast<ptrdiff_t>(layer[2]);
    } else if (kind == "dropout" || kind == "gaussian_noise") {
      spec.kind = kind == "dropout" ? LayerSpec::Kind::kDropout : LayerSpec::Kind::kNoise;
      spec.rate = py::cast<double>(layer[1]);
    } else if (kind == "residual") {
      spec.kind = LayerSpec::Kind::kResidual;
      spec.count = py::cast<ptrdiff_t>(layer[1]);
      spec.units = py::cast<ptrdiff_t>(layer[2]);
    } else {
      throw py::value_error("unknown kind of layer '" + kind + "'");
    }
    specs.push_back(spec);
  }
  return specs;
}

}  // namespace fnnfast
