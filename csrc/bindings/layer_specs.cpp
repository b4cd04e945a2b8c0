#include "layer_specs.hpp"

#include <pybind11/stl.h>

#include <utility>

namespace fnnfast {

namespace {

int activation_of(py::handle name) { return activation_number(py::cast<std::string>(name)); }
double number_or(py::handle value, double otherwise) { return value.is_none() ? otherwise : py::cast<double>(value); }

using Pair = std::pair<int, int>;

// padding: ((above, below), (left, right))
Windows windows_of(const Pair& kernel, const Pair& strides, const Pair& dilation,
                   const std::pair<Pair, Pair>& padding) {
  Windows w;
  const auto set = [](int (&to)[2], int rows, int columns) {
    to[0] = rows;
    to[1] = columns;
  };
  set(w.kernel, kernel.first, kernel.second);
  set(w.stride, strides.first, strides.second);
  set(w.dilation, dilation.first, dilation.second);
  set(w.before, padding.first.first, padding.second.first);
  set(w.after, padding.first.second, padding.second.second);
  return w;
}

LayerSpec layer_spec(const py::sequence& layer) {
  const auto kind = py::cast<std::string>(layer[0]);
  const auto at = [&](std::size_t i) { return py::object(layer[i]); };
  LayerSpec spec{};
  if (kind == "dense") {
    spec.kind = LayerSpec::Kind::kDense;
    spec.units = py::cast<ptrdiff_t>(at(1));
    spec.activation = activation_of(at(2));
    spec.parameter = number_or(at(3), 0.0);
    spec.bias = py::cast<bool>(at(4));
  } else if (kind == "maxout") {
    spec.kind = LayerSpec::Kind::kMaxout;
    spec.units = py::cast<ptrdiff_t>(at(1));
    spec.pieces = py::cast<ptrdiff_t>(at(2));
    spec.bias = py::cast<bool>(at(3));
  } else if (kind == "dropout" || kind == "gaussian_noise") {
    spec.kind = kind == "dropout" ? LayerSpec::Kind::kDropout : LayerSpec::Kind::kNoise;
    spec.amount = py::cast<double>(at(1));
  } else if (kind == "activation") {
    spec.kind = LayerSpec::Kind::kActivation;
    spec.activation = activation_of(at(1));
    spec.parameter = number_or(at(2), 0.0);
  } else if (kind == "convolution") {
    spec.kind = LayerSpec::Kind::kConvolution;
    spec.units = py::cast<ptrdiff_t>(at(1));
    spec.pieces = py::cast<ptrdiff_t>(at(2));
    spec.maxout = py::cast<bool>(at(3));
    spec.windows = windows_of(py::cast<Pair>(at(4)), py::cast<Pair>(at(5)), py::cast<Pair>(at(7)),
                              py::cast<std::pair<Pair, Pair>>(at(6)));
    spec.groups = py::cast<ptrdiff_t>(at(8));
    spec.activation = activation_of(at(9));
    spec.parameter = number_or(at(10), 0.0);
    spec.bias = py::cast<bool>(at(11));
  } else if (kind == "max_pool" || kind == "average_pool") {
    spec.kind = kind == "max_pool" ? LayerSpec::Kind::kMaxPool : LayerSpec::Kind::kAveragePool;
    spec.windows =
        windows_of(py::cast<Pair>(at(1)), py::cast<Pair>(at(2)), {1, 1}, py::cast<std::pair<Pair, Pair>>(at(3)));
    if (kind == "average_pool") spec.count_padding = py::cast<bool>(at(4));
  } else if (kind == "local_response") {
    spec.kind = LayerSpec::Kind::kLocalResponse;
    spec.size = py::cast<int>(at(1));
    spec.alpha = py::cast<double>(at(2));
    spec.beta = py::cast<double>(at(3));
    spec.offset = py::cast<double>(at(4));
  } else if (kind == "flatten") {
    spec.kind = LayerSpec::Kind::kFlatten;
  } else if (kind == "residual") {
    spec.kind = LayerSpec::Kind::kResidual;
    spec.branches.push_back(layer_specs(at(1)));
    spec.units = py::cast<ptrdiff_t>(at(2));
    if (!at(3).is_none()) spec.branches.push_back(layer_specs(at(3)));
    spec.activation = activation_of(at(4));
    spec.parameter = number_or(at(5), 0.0);
  } else if (kind == "batch_norm") {
    spec.kind = LayerSpec::Kind::kNormalize;
    spec.momentum = py::cast<double>(at(1));
    spec.eps = py::cast<double>(at(2));
  } else if (kind == "parallel") {
    spec.kind = LayerSpec::Kind::kParallel;
    for (const py::handle branch : py::cast<py::sequence>(at(1)))
      spec.branches.push_back(layer_specs(py::cast<py::sequence>(branch)));
  } else {
    throw py::value_error("unknown kind of layer '" + kind + "'");
  }
  return spec;
}

}  // namespace

std::vector<LayerSpec> layer_specs(const py::sequence& layers) {
  std::vector<LayerSpec> specs;
  for (const py::handle layer : layers) specs.push_back(layer_spec(py::cast<py::sequence>(layer)));
  return specs;
}

Shape input_shape(py::handle shape) {
  if (py::isinstance<py::int_>(shape)) return {1, 1, py::cast<ptrdiff_t>(shape)};
  const auto sizes = py::cast<std::vector<ptrdiff_t>>(shape);
  if (sizes.size() != 3)
    throw py::value_error("inputs must be a number or (height, width, channels), got " + std::to_string(sizes.size()) +
                          " sizes");
  return {sizes[0], sizes[1], sizes[2]};
}

}  // namespace fnnfast
