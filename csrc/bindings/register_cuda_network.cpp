#include "register_cuda_network.hpp"

#include <pybind11/stl.h>

#include "../cuda/elementwise.hpp"
#include "cuda_network_object.hpp"
#include "layer_specs.hpp"

namespace fnnfast::cuda {

PyNetwork::PyNetwork(const std::string& compute_dtype, py::handle input, const py::sequence& layers) {
  const Shape shape = input_shape(input);
  visit_dtype(Dtypes(), compute_dtype, "compute_dtype",
              [&]<class T>(T) { network_ = std::make_unique<const Network<T>>(shape, false, layer_specs(layers)); });
}

namespace {

// A layer's parameter in the array of all parameters: (offset, shape, strides), in elements.
using Place = std::tuple<std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>;

std::vector<std::pair<std::string, Place>> places(const PyNetwork& object, std::int64_t spec) {
  return object.visit([&](const auto& network) {
    std::vector<std::pair<std::string, Place>> all;
    const BlockId id = network.program().find(spec);
    if (id == kNone) return all;
    const ParameterBlock& block = network.program().block(id);
    const ParameterPlace& place = network.place(id);
    if (block.kind == ParameterBlock::Kind::kAffine) {
      std::vector<std::int64_t> weight{block.inputs, block.units}, weight_strides{place.row, 1};
      std::vector<std::int64_t> bias{block.units}, bias_strides{1};
      if (block.maxout) {
        weight.insert(weight.begin(), block.pieces);
        weight_strides.insert(weight_strides.begin(), block.inputs * place.row);
        bias.insert(bias.begin(), block.pieces);
        bias_strides.insert(bias_strides.begin(), place.row);
      }
      all.push_back({"weight", {place.weight, weight, weight_strides}});
      if (block.bias) all.push_back({"bias", {place.bias, bias, bias_strides}});
    }
    if (block.slopes) all.push_back({"alpha", {place.alpha, {block.units}, {1}}});
    return all;
  });
}

// Fixed activation parameters and initial values of learned ones, in the array of all parameters.
std::vector<std::pair<std::int64_t, double>> constants(const PyNetwork& object) {
  return object.visit([](const auto& network) { return network.constants(); });
}

void round_parameters(const PyNetwork& object, py::handle full, py::handle products, std::uintptr_t stream) {
  object.visit([&]<class T>(const Network<T>& network) {
    if constexpr (Network<T>::kMixed) {
      const auto parameters = parameters_of(network, full, products);
      convert(network.parameters(), static_cast<const float*>(parameters.full), parameters.products, stream_of(stream));
    }
  });
}

void forward(const PyNetwork& object, py::handle full, py::handle products, py::handle x, py::handle out, bool logits,
             py::handle allocate, std::uintptr_t stream) {
  object.visit([&]<class T>(const Network<T>& network) {
    using E = typename Network<T>::E;
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
  py::class_<PyNetwork>(m, "Network")
      .def(py::init<const std::string&, py::handle, const py::sequence&>(), arg("compute_dtype"), arg("inputs"),
           arg("layers"))
      .def_property_readonly("size",
                             [](const PyNetwork& object) {
                               return object.visit([](const auto& network) { return network.parameters(); });
                             })
      .def_property_readonly("layers",
                             [](const PyNetwork& object) {
                               return object.visit([](const auto& network) { return network.program().specs(); });
                             })
      .def_property_readonly(
          "outputs",
          [](const PyNetwork& object) { return object.visit([](const auto& network) { return network.outputs(); }); })
      .def("places", places, arg("layer"))
      .def_property_readonly("constants", constants)
      .def("round", round_parameters, arg("full"), arg("products"), arg("stream"))
      .def("forward", forward, arg("full"), arg("products"), arg("x"), arg("out"), arg("logits"), arg("allocate"),
           arg("stream"))
      .def(
          "plan",
          [](const PyNetwork& object, std::int64_t batch) {
            return object.visit([&](const auto& network) { return network.describe_plan(batch); });
          },
          arg("batch"));
}

}  // namespace fnnfast::cuda
