#include "layer_specs.hpp"

#include <pybind11/stl.h>

namespace fnnfast {

namespace {

// In order, those of a residual block after it: ("residual", count, units) takes the next count layers.
class Reader {
 public:
  explicit Reader(const py::sequence& layers) : layers_(layers) {}

  std::vector<LayerSpec> read() { return read(layers_.size()); }

 private:
  std::vector<LayerSpec> read(std::size_t count) {
    std::vector<LayerSpec> specs;
    for (std::size_t i = 0; i < count && next_ < layers_.size(); ++i)
      specs.push_back(read_one(py::cast<py::sequence>(py::object(layers_[next_++]))));
    return specs;
  }

  LayerSpec read_one(const py::sequence& layer) {
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
      spec.amount = py::cast<double>(layer[1]);
    } else if (kind == "residual") {
      const auto count = py::cast<std::size_t>(layer[1]);
      spec.kind = LayerSpec::Kind::kResidual;
      spec.units = py::cast<ptrdiff_t>(layer[2]);
      spec.branches.push_back(read(count));
    } else {
      throw py::value_error("unknown kind of layer '" + kind + "'");
    }
    return spec;
  }

  const py::sequence& layers_;
  std::size_t next_ = 0;
};

}  // namespace

std::vector<LayerSpec> layer_specs(const py::sequence& layers) { return Reader(layers).read(); }

Shape input_shape(py::handle shape) {
  if (py::isinstance<py::int_>(shape)) return {1, 1, py::cast<ptrdiff_t>(shape)};
  const auto sizes = py::cast<std::vector<ptrdiff_t>>(shape);
  if (sizes.size() != 3) throw py::value_error("a shape is a number or (height, width, channels)");
  return {sizes[0], sizes[1], sizes[2]};
}

}  // namespace fnnfast
