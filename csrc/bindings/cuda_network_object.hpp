// The Python class of a network on the device: the layout of its parameters, which Python owns, and forward.
#pragma once

#include <memory>
#include <string>

#include "../cuda/network.hpp"
#include "device_view.hpp"

namespace fnnfast::cuda {

class PyNetwork {
 public:
  // compute_dtype: the name of one of Dtypes.
  PyNetwork(const std::string& compute_dtype, py::handle input, const py::sequence& layers);

  template <class F>
  auto visit(F&& f) const {
    return std::visit([&](const auto& network) { return f(*network); }, network_);
  }

 private:
  template <class T>
  using Owned = std::unique_ptr<const Network<T>>;
  variant_over<Dtypes, Owned> network_;
};

// The arrays of a network's parameters: full (S) and, for float16 and bfloat16, products (E), else None.
template <class T>
typename Network<T>::Parameters parameters_of(const Network<T>& network, py::handle full, py::handle products) {
  using E = typename Network<T>::E;
  using S = typename Network<T>::S;
  S* const sums = view<S>(full, "parameters", {network.parameters()});
  if constexpr (Network<T>::kMixed)
    return {sums, view<E>(products, "rounded parameters", {network.parameters()})};
  else
    return {sums, sums};
}

}  // namespace fnnfast::cuda
