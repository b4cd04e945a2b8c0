#include "register_cuda_network.hpp"

#include <pybind11/stl.h>

#include "../cuda/elementwise.hpp"
#include "cuda_network_object.hpp"
#include "layer_specs.hpp"

namespace fnnfast {

PyDeviceNetwork::PyDeviceNetwork(const std::string& precision, std::int64_t inputs, const py::sequence& layers) {
  Graph graph = make_graph(inputs, layer_specs(layers));
  const auto make = [&]<class T>(T) { network_ = std::make_unique<const DeviceNetwork<T>>(std::move(graph)); };
  if (precision == "float32")
    make(float());
  else if (precision == "float64")
    make(double());
  else if (precision == "tf32")
    make(Tf32());
  else if (precision == "float16")
    make(Half());
  else if (precision == "bfloat16")
    make(Bfloat16());
  else
    throw py::value_error("unknown precision '" + precision + "'");
}

namespace {

// For a layer's parameter: (offset, shape, strides), in elements of the array of all parameters.
using Place = std::tuple<std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>;

std::vector<std::pair<std::string, Place>> places(const PyDeviceNetwork& object, std::int64_t spec) {
  return object.visit([&](const auto& network) {
    std::vector<std::pair<std::string, Place>> all;
    const ptrdiff_t at = network.graph().find(spec);
    if (at == kNoLayer) return all;
    const LayerNode& layer = network.graph().layers[static_cast<std::size_t>(at)];
    const ParameterPlace& place = network.place(static_cast<std::size_t>(at));
    std::vector<std::int64_t> weight{layer.inputs, layer.units}, weight_strides{place.row, 1};
    std::vector<std::int64_t> bias{layer.units}, bias_strides{1};
    if (layer.maxout) {
      weight.insert(weight.begin(), layer.pieces);
      weight_strides.insert(weight_strides.begin(), layer.inputs * place.row);
      bias.insert(bias.begin(), layer.pieces);
      bias_strides.insert(bias_strides.begin(), place.row);
    }
    all.push_back({"weight", {place.weight, weight, weight_strides}});
    all.push_back({"bias", {place.bias, bias, bias_strides}});
    if (layer.info().learned) all.push_back({"alpha", {place.alpha, {layer.units}, {1}}});
    return all;
  });
}

// Where fixed parameters of activations stand in the array of all parameters, and what they are.
std::vector<std::pair<std::int64_t, double>> constants(const PyDeviceNetwork& object) {
  return object.visit([](const auto& network) {
    std::vector<std::pair<std::int64_t, double>> all;
    for (std::size_t i = 0; i < network.graph().layers.size(); ++i) {
      const LayerNode& layer = network.graph().layers[i];
      if (!layer.info().parameter) continue;
      const std::int64_t count = layer.info().learned ? layer.units : 1;
      for (std::int64_t u = 0; u < count; ++u) all.push_back({network.place(i).alpha + u, layer.parameter});
    }
    return all;
  });
}

void round_parameters(const PyDeviceNetwork& object, py::handle full, py::handle products, std::uintptr_t stream) {
  object.visit([&]<class T>(const DeviceNetwork<T>& network) {
    if constexpr (DeviceNetwork<T>::kMixed) {
      const auto parameters = parameters_of(network, full, products);
      convert(network.parameters(), static_cast<const float*>(parameters.full), parameters.products, stream_of(stream));
    }
  });
}

void forward(const PyDeviceNetwork& object, py::handle full, py::handle products, py::handle x, py::handle out,
             bool logits, py::handle allocate, std::uintptr_t stream) {
  object.visit([&]<class T>(const DeviceNetwork<T>& network) {
    using E = typename DeviceNetwork<T>::E;
    const auto parameters = parameters_of(network, full, products);
    const E* const from = view<E>(x, "x", {kAny, network.inputs()});
    const std::int64_t rows = dimension(x, 0);
    E* const to = view<E>(out, "out", {rows, network.outputs()});
    PyAllocator allocator(allocate);
    network.forward(parameters, from, rows, to, logits, allocator, stream_of(stream));
  });
}

}  // namespace

void register_cuda_network(py::module_& m) {
  using py::arg;
  py::class_<PyDeviceNetwork>(m, "Network")
      .def(py::init<const std::string&, std::int64_t, const py::sequence&>(), arg("precision"), arg("inputs"),
           arg("layers"))
      .def_property_readonly("size",
                             [](const PyDeviceNetwork& object) {
                               return object.visit([](const auto& network) { return network.parameters(); });
                             })
      .def("places", places, arg("layer"))
      .def_property_readonly("constants", constants)
      .def("round", round_parameters, arg("full"), arg("products"), arg("stream"))
      .def("forward", forward, arg("full"), arg("products"), arg("x"), arg("out"), arg("logits"), arg("allocate"),
           arg("stream"))
      .def(
          "plan",
          [](const PyDeviceNetwork& object, std::int64_t batch) {
            return object.visit([&](const auto& network) { return network.describe_plan(batch); });
          },
          arg("batch"));
}

}  // namespace fnnfast
