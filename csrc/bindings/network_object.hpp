// The Python class Network: of any dtype, with NumPy arrays.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../cpu/network.hpp"
#include "array_view.hpp"

namespace fnnfast::cpu {

class PyNetwork {
 public:
  PyNetwork(const std::string& dtype, py::handle input, const py::sequence& layers, bool channels_first);

  // The same network with weights of fewer bits, made from float32.
  std::unique_ptr<PyNetwork> bfloat16(bool pairs) const;
  // layers: (input scale, zero point, weight scales) of each dense and maxout layer, in order.
  std::unique_ptr<PyNetwork> quantized(const py::sequence& layers) const;
  std::string compute_dtype() const;
  // The arguments of quantized() for a layer.
  py::tuple quantization(ptrdiff_t layer);

  py::list names(ptrdiff_t layer);
  py::list buffer_names(ptrdiff_t layer);  // running statistics, which get() and set() take as well
  py::object get(ptrdiff_t layer, const std::string& name);
  void set(ptrdiff_t layer, const std::string& name, py::handle value);
  std::vector<std::string> plan(ptrdiff_t batch);
  // The inputs of each node and of its activation for the rows of x: see _cpu.pyi.
  py::list trace(py::handle x);

  // The outputs, in out unless that is None. Returns a null object, with nothing done, unless the arrays can be used as
  // they are.
  py::object try_forward(py::handle x, py::handle out, bool logits);

  template <class F>
  auto visit(F&& f) {
    return std::visit([&](auto& network) { return f(*network); }, network_);
  }

 private:
  explicit PyNetwork(Network<float>&& network) : network_(std::make_unique<Network<float>>(std::move(network))) {}
  const Network<float>& full_float(const char* what) const;

  template <class T>
  using Owned = std::unique_ptr<Network<T>>;
  variant_over<Dtypes, Owned> network_;
};

// A layer's packed parameters (or gradients) in the user's layout: weight, bias and, where it is learned, alpha.
template <class T>
py::list unpacked(const Block<T>& layer, const T* panels, const T* alpha);

// The same into arrays of these shapes, from values[at] on. Returns the index of the next layer's.
template <class T>
ptrdiff_t unpack_all(const Block<T>& layer, const py::sequence& arrays, ptrdiff_t at, const T* panels, const T* alpha);

// The number of these arrays.
std::size_t array_count(const ParameterBlock& block);

// Packs values[at], values[at + 1], ... into a layer's parameters (or gradients), in that order. Returns the index of
// the next layer's.
template <class T>
ptrdiff_t pack_all(const Block<T>& layer, const py::sequence& values, ptrdiff_t at, T* panels, T* alpha);

}  // namespace fnnfast::cpu
