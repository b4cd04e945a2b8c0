#include "register_convolutions.hpp"

#include <utility>

#include "../cpu/convolution.hpp"
#include "activation_use.hpp"
#include "unlocked.hpp"

namespace fnnfast::cpu {

namespace {

using Pair = std::pair<int, int>;

struct WindowSettings {
  Pair strides, dilation;
  std::pair<Pair, Pair> padding;  // (above, below), (left, right)
};

// The convolution of images x with a weight, whose last four axes are (kernel height, kernel width, channels / groups,
// units).
Convolution convolution(py::handle x, py::handle weight, const WindowSettings& settings, int groups) {
  const int first = dimensions(weight) - 4;
  const auto size = [&](int axis) { return dimension(weight, first + axis); };
  constexpr ptrdiff_t kMost = 1 << 30;
  for (int axis = 0; axis < 4; ++axis)
    if (size(axis) < 1 || size(axis) > kMost) throw py::value_error("weight must have no empty axis");
  Convolution of;
  of.image = {dimension(x, 1), dimension(x, 2), dimension(x, 3)};
  Windows& w = of.windows;
  const auto set = [](int (&to)[2], const Pair& from, int least) {
    if (from.first < least || from.second < least)
      throw py::value_error("strides, dilation and padding are out of range");
    to[0] = from.first;
    to[1] = from.second;
  };
  set(w.kernel, {static_cast<int>(size(0)), static_cast<int>(size(1))}, 1);
  set(w.stride, settings.strides, 1);
  set(w.dilation, settings.dilation, 1);
  set(w.before, {settings.padding.first.first, settings.padding.second.first}, 0);
  set(w.after, {settings.padding.first.second, settings.padding.second.second}, 0);
  of.units = size(3);
  of.groups = groups;
  if (groups < 1 || of.units % groups != 0 || of.image.c != size(2) * groups)
    throw py::value_error("groups must divide the units, and the channels of x must be those of weight times groups");
  of.output();  // refuses windows that do not fit
  return of;
}

std::vector<ptrdiff_t> outputs(ptrdiff_t batch, const Convolution& of) {
  const Shape out = of.output();
  return {batch, out.h, out.w, out.c};
}

std::vector<ptrdiff_t> any(int axes) { return std::vector<ptrdiff_t>(static_cast<std::size_t>(axes), kAny); }

void bind_conv2d_forward(py::handle x, py::handle weight, py::handle bias, const Pair& strides,
                         const std::pair<Pair, Pair>& padding, const Pair& dilation, int groups,
                         const std::string& name, py::handle parameter, py::handle out, py::handle saved) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", any(4));
    const ptrdiff_t batch = dimension(x, 0);
    const T* const w = view<T>(weight, "weight", any(4));
    const Convolution of = convolution(x, weight, {strides, dilation, padding}, groups);
    const T* const b = view_or_null<T>(bias, "bias", {of.units});
    T* const y = view<T>(out, "out", outputs(batch, of), true);
    T* const z = view_or_null<T>(saved, "saved", outputs(batch, of), true);
    const ActivationUse use = activation_use<T>(name, parameter, of.units);
    const Unlocked unlocked;
    convolution_forward(of, batch, xs, w, b, use, y, z);
  });
}

void bind_conv2d_backward(py::handle dy, py::handle x, py::handle weight, py::handle saved, const Pair& strides,
                          const std::pair<Pair, Pair>& padding, const Pair& dilation, int groups,
                          const std::string& name, py::handle parameter, py::handle dx, py::handle dweight,
                          py::handle dbias, py::handle dparameter) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", any(4));
    const ptrdiff_t batch = dimension(x, 0);
    const T* const w = view<T>(weight, "weight", any(4));
    const Convolution of = convolution(x, weight, {strides, dilation, padding}, groups);
    const T* const g = view<T>(dy, "dy", outputs(batch, of));
    const T* const s = view<T>(saved, "saved", outputs(batch, of));
    T* const to_x = view<T>(dx, "dx", {batch, of.image.h, of.image.w, of.image.c}, true);
    T* const to_w = view<T>(dweight, "dweight",
                            {of.windows.kernel[0], of.windows.kernel[1], of.image.c / of.groups, of.units}, true);
    T* const to_b = view<T>(dbias, "dbias", {of.units}, true);
    T* const to_p = view_or_null<T>(dparameter, "dparameter", {of.units}, true);
    const ActivationUse use = activation_use<T>(name, parameter, of.units);
    const ActivationInfo& info = kActivationInfo[use.activation];
    if (!info.differentiable) throw py::value_error(name + " is not differentiable");
    if (to_p && !info.learned) throw py::value_error(name + " has no parameter gradient");
    const Unlocked unlocked;
    convolution_backward(of, batch, g, xs, w, s, use, to_x, to_w, to_b, to_p);
  });
}

Convolution maxout_convolution(py::handle x, py::handle weight, const WindowSettings& settings) {
  Convolution of = convolution(x, weight, settings, 1);
  of.pieces = dimension(weight, 0);
  if (of.pieces < 1) throw py::value_error("weight must have at least one piece, got 0");
  return of;
}

void bind_maxout_conv2d_forward(py::handle x, py::handle weight, py::handle bias, const Pair& strides,
                                const std::pair<Pair, Pair>& padding, const Pair& dilation, py::handle out,
                                py::handle argmax) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", any(4));
    const ptrdiff_t batch = dimension(x, 0);
    const T* const w = view<T>(weight, "weight", any(5));
    const Convolution of = maxout_convolution(x, weight, {strides, dilation, padding});
    const T* const b = view_or_null<T>(bias, "bias", {of.pieces, of.units});
    T* const y = view<T>(out, "out", outputs(batch, of), true);
    auto* const piece = view_or_null<std::uint8_t>(argmax, "argmax", outputs(batch, of), true);
    if (piece && of.pieces > kMaxPiecesSaved)
      throw py::value_error("argmax supports at most 256 pieces, got " + std::to_string(of.pieces));
    const Unlocked unlocked;
    maxout_convolution_forward(of, batch, xs, w, b, y, piece);
  });
}

void bind_maxout_conv2d_backward(py::handle dy, py::handle x, py::handle weight, py::handle argmax, const Pair& strides,
                                 const std::pair<Pair, Pair>& padding, const Pair& dilation, py::handle dx,
                                 py::handle dweight, py::handle dbias) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", any(4));
    const ptrdiff_t batch = dimension(x, 0);
    const T* const w = view<T>(weight, "weight", any(5));
    const Convolution of = maxout_convolution(x, weight, {strides, dilation, padding});
    const T* const g = view<T>(dy, "dy", outputs(batch, of));
    const auto* const piece = view<std::uint8_t>(argmax, "argmax", outputs(batch, of));
    T* const to_x = view<T>(dx, "dx", {batch, of.image.h, of.image.w, of.image.c}, true);
    T* const to_w = view<T>(dweight, "dweight",
                            {of.pieces, of.windows.kernel[0], of.windows.kernel[1], of.image.c, of.units}, true);
    T* const to_b = view<T>(dbias, "dbias", {of.pieces, of.units}, true);
    if (of.pieces > kMaxPiecesSaved)
      throw py::value_error("a maxout gradient supports at most 256 pieces, got " + std::to_string(of.pieces));
    const ptrdiff_t n = batch * of.pixels() * of.units;
    for (ptrdiff_t i = 0; i < n; ++i)
      if (piece[i] >= of.pieces) throw py::value_error("argmax must be in [0, " + std::to_string(of.pieces) + ")");
    const Unlocked unlocked;
    maxout_convolution_backward(of, batch, g, xs, w, piece, to_x, to_w, to_b);
  });
}

}  // namespace

void register_convolutions(py::module_& m) {
  using py::arg;
  m.def("conv2d_forward", &bind_conv2d_forward, arg("x"), arg("weight"), arg("bias").none(true), arg("strides"),
        arg("padding"), arg("dilation"), arg("groups"), arg("activation"), arg("parameter").none(true), arg("out"),
        arg("saved").none(true));
  m.def("conv2d_backward", &bind_conv2d_backward, arg("dy"), arg("x"), arg("weight"), arg("saved"), arg("strides"),
        arg("padding"), arg("dilation"), arg("groups"), arg("activation"), arg("parameter").none(true), arg("dx"),
        arg("dweight"), arg("dbias"), arg("dparameter").none(true));
  m.def("maxout_conv2d_forward", &bind_maxout_conv2d_forward, arg("x"), arg("weight"), arg("bias").none(true),
        arg("strides"), arg("padding"), arg("dilation"), arg("out"), arg("argmax").none(true));
  m.def("maxout_conv2d_backward", &bind_maxout_conv2d_backward, arg("dy"), arg("x"), arg("weight"), arg("argmax"),
        arg("strides"), arg("padding"), arg("dilation"), arg("dx"), arg("dweight"), arg("dbias"));
}

}  // namespace fnnfast::cpu
