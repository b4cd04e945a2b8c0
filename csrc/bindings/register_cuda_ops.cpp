#include "register_cuda_ops.hpp"

#include "../core/activations.hpp"
#include "../cuda/dense.hpp"
#include "../cuda/elementwise.hpp"
#include "../cuda/launch.hpp"
#include "device_view.hpp"
#include "names.hpp"

namespace fnnfast::cuda {

namespace {

template <class S>
struct ActivationUse {
  int activation;
  const S* parameter;
  int step;
};

template <class S>
ActivationUse<S> activation_use(const std::string& name, py::handle parameter, std::int64_t units) {
  const int activation = activation_number(name);
  if (activation >= kActivations) throw py::value_error(name + " runs on the CPU only");
  if (kActivationInfo[activation].parameter == parameter.is_none())
    throw py::value_error(name + (parameter.is_none() ? " needs a parameter" : " takes no parameter"));
  if (parameter.is_none()) return {activation, nullptr, 0};
  const std::int64_t n = dimension(parameter, 0);
  if (n != 1 && n != units)
    throw py::value_error("parameter must have 1 or " + std::to_string(units) + " elements, got " + std::to_string(n));
  return {activation, view<S>(parameter, "parameter", {n}), n == 1 ? 0 : 1};
}

void activation(const std::string& name, py::handle parameter, py::handle z, py::handle out, bool derivative,
                py::handle allocate, std::uintptr_t stream) {
  by_element(z, false, [&]<class T>(T) {
    using S = Sum<T>;
    if constexpr (!std::is_same_v<T, Tf32>) {
      const T* const in = view<T>(z, "z", {kAny, kAny});
      const std::int64_t rows = dimension(z, 0), columns = dimension(z, 1);
      T* const to = view<T>(out, "out", {rows, columns});
      const ActivationUse<S> use = activation_use<S>(name, parameter, columns);
      const ActivationInfo& info = kActivationInfo[use.activation];
      if (derivative && (!info.differentiable || info.rowwise))
        throw py::value_error(name + " has no elementwise derivative");
      if (rows == 0 || columns == 0) return;
      const ActivationTask<T> task{rows, columns, in, to, use.activation, use.parameter, use.step};
      if (derivative) {
        activation_derivative(task, stream_of(stream));
      } else if (info.rowwise) {
        PyAllocator allocator(allocate);
        softmax_forward(rows, columns, in, to, allocator, stream_of(stream));
      } else {
        activation_forward(task, stream_of(stream));
      }
    }
  });
}

void bind_dense_forward(py::handle x, py::handle weight, py::handle bias, const std::string& name, py::handle parameter,
                        py::handle out, py::handle saved, bool tf32, py::handle allocate, std::uintptr_t stream) {
  by_element(x, tf32, [&]<class T>(T) {
    using E = Stored<T>;
    using S = Sum<T>;
    const E* const xs = view<E>(x, "x", {kAny, kAny});
    const std::int64_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const E* const w = view<E>(weight, "weight", {inputs, kAny});
    const std::int64_t units = dimension(weight, 1);
    const S* const b = view_or_null<S>(bias, "bias", {units});
    E* const y = view<E>(out, "out", {batch, units});
    E* const z = view_or_null<E>(saved, "saved", {batch, units});
    const ActivationUse<S> use = activation_use<S>(name, parameter, units);
    if (batch == 0 || units == 0) return;
    PyAllocator allocator(allocate);
    layer_forward<T>({{batch, inputs, units}, xs, w, b, use.activation, use.parameter, use.step, y, z, nullptr},
                     allocator, stream_of(stream));
  });
}

void bind_dense_backward(py::handle dy, py::handle x, py::handle weight, py::handle saved, const std::string& name,
                         py::handle parameter, py::handle dx, py::handle dweight, py::handle dbias,
                         py::handle dparameter, bool tf32, py::handle allocate, std::uintptr_t stream) {
  by_element(x, tf32, [&]<class T>(T) {
    using E = Stored<T>;
    using S = Sum<T>;
    LayerBackward<T> task{};
    task.x = view<E>(x, "x", {kAny, kAny});
    const std::int64_t batch = dimension(x, 0), inputs = dimension(x, 1);
    task.weight = view<E>(weight, "weight", {inputs, kAny});
    const std::int64_t units = dimension(weight, 1);
    task.sizes = {batch, inputs, units};
    task.dy = view<E>(dy, "dy", {batch, units});
    task.saved = view<E>(saved, "saved", {batch, units});
    task.dx = view<E>(dx, "dx", {batch, inputs});
    task.dweight = view<E>(dweight, "dweight", {inputs, units});
    task.dbias = view<E>(dbias, "dbias", {units});
    task.dparameter = view_or_null<S>(dparameter, "dparameter", {units});
    const ActivationUse<S> use = activation_use<S>(name, parameter, units);
    task.activation = use.activation;
    task.parameter = use.parameter;
    task.parameter_step = use.step;
    const ActivationInfo& info = kActivationInfo[use.activation];
    if (!info.differentiable) throw py::value_error(name + " is not differentiable");
    if (task.dparameter && !info.learned) throw py::value_error(name + " has no parameter gradient");
    PyAllocator allocator(allocate);
    layer_backward(task, allocator, stream_of(stream));
  });
}

void bind_maxout_forward(py::handle x, py::handle weight, py::handle bias, py::handle out, py::handle argmax, bool tf32,
                         py::handle allocate, std::uintptr_t stream) {
  by_element(x, tf32, [&]<class T>(T) {
    using E = Stored<T>;
    using S = Sum<T>;
    const E* const xs = view<E>(x, "x", {kAny, kAny});
    const std::int64_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const E* const w = view<E>(weight, "weight", {kAny, inputs, kAny});
    const std::int64_t pieces = dimension(weight, 0), units = dimension(weight, 2);
    const S* const b = view_or_null<S>(bias, "bias", {pieces, units});
    E* const y = view<E>(out, "out", {batch, units});
    auto* const piece = view_or_null<std::uint8_t>(argmax, "argmax", {batch, units});
    if (pieces < 1) throw py::value_error("weight must have at least one piece, got 0");
    if (piece && pieces > kMaxPiecesSaved)
      throw py::value_error("argmax supports at most 256 pieces, got " + std::to_string(pieces));
    if (batch == 0 || units == 0) return;
    PyAllocator allocator(allocate);
    layer_forward<T>(
        {{batch, inputs, units, static_cast<int>(pieces)}, xs, w, b, kIdentity, nullptr, 0, y, nullptr, piece},
        allocator, stream_of(stream));
  });
}

void bind_maxout_backward(py::handle dy, py::handle x, py::handle weight, py::handle argmax, py::handle dx,
                          py::handle dweight, py::handle dbias, bool tf32, py::handle allocate, std::uintptr_t stream) {
  by_element(x, tf32, [&]<class T>(T) {
    using E = Stored<T>;
    LayerBackward<T> task{};
    task.x = view<E>(x, "x", {kAny, kAny});
    const std::int64_t batch = dimension(x, 0), inputs = dimension(x, 1);
    task.weight = view<E>(weight, "weight", {kAny, inputs, kAny});
    const std::int64_t pieces = dimension(weight, 0), units = dimension(weight, 2);
    if (pieces < 1 || pieces > kMaxPiecesSaved)
      throw py::value_error("maxout_backward supports 1 to 256 pieces, got " + std::to_string(pieces));
    task.sizes = {batch, inputs, units, static_cast<int>(pieces)};
    task.dy = view<E>(dy, "dy", {batch, units});
    task.argmax = view<std::uint8_t>(argmax, "argmax", {batch, units});
    task.dx = view<E>(dx, "dx", {batch, inputs});
    task.dweight = view<E>(dweight, "dweight", {pieces, inputs, units});
    task.dbias = view<E>(dbias, "dbias", {pieces, units});
    PyAllocator allocator(allocate);
    layer_backward(task, allocator, stream_of(stream));
  });
}

}  // namespace

void register_cuda_ops(py::module_& m) {
  using py::arg;
  m.def(
      "tile_grid",
      [](std::int64_t rows, std::int64_t columns, std::int64_t layers, int multiprocessors, int large, int small) {
        const TileGrid grid = tile_grid(rows, columns, layers, multiprocessors, large, small);
        return py::make_tuple(grid.large, grid.rows, grid.columns);
      },
      arg("rows"), arg("columns"), arg("layers"), arg("multiprocessors"), arg("large"), arg("small"));
  m.def(
      "slices",
      [](std::int64_t rows, std::int64_t tiles, int multiprocessors) {
        const Slices cut = slices(rows, tiles, multiprocessors);
        return py::make_tuple(cut.count, cut.rows);
      },
      arg("rows"), arg("tiles"), arg("multiprocessors"));
  m.def(
      "activation_forward",
      [](const std::string& name, py::handle parameter, py::handle z, py::handle out, py::handle allocate,
         std::uintptr_t stream) { activation(name, parameter, z, out, false, allocate, stream); },
      arg("name"), arg("parameter"), arg("z"), arg("out"), arg("allocate"), arg("stream"));
  m.def(
      "activation_derivative",
      [](const std::string& name, py::handle parameter, py::handle z, py::handle out, py::handle allocate,
         std::uintptr_t stream) { activation(name, parameter, z, out, true, allocate, stream); },
      arg("name"), arg("parameter"), arg("z"), arg("out"), arg("allocate"), arg("stream"));
  m.def("dense_forward", bind_dense_forward, arg("x"), arg("weight"), arg("bias"), arg("activation"), arg("parameter"),
        arg("out"), arg("saved"), arg("tf32"), arg("allocate"), arg("stream"));
  m.def("dense_backward", bind_dense_backward, arg("dy"), arg("x"), arg("weight"), arg("saved"), arg("activation"),
        arg("parameter"), arg("dx"), arg("dweight"), arg("dbias"), arg("dparameter"), arg("tf32"), arg("allocate"),
        arg("stream"));
  m.def("maxout_forward", bind_maxout_forward, arg("x"), arg("weight"), arg("bias"), arg("out"), arg("argmax"),
        arg("tf32"), arg("allocate"), arg("stream"));
  m.def("maxout_backward", bind_maxout_backward, arg("dy"), arg("x"), arg("weight"), arg("argmax"), arg("dx"),
        arg("dweight"), arg("dbias"), arg("tf32"), arg("allocate"), arg("stream"));
}

}  // namespace fnnfast::cuda
