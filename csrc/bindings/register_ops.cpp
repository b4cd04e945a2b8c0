#include "register_ops.hpp"

#include "../cpu/dense.hpp"
#include "activation_use.hpp"
#include "array_view.hpp"
#include "loss_arguments.hpp"
#include "unlocked.hpp"

namespace fnnfast::cpu {

ActivationUse activation_use(const std::string& name, int activation, py::handle parameter, ptrdiff_t units,
                             const void* values) {
  const ActivationInfo& info = kActivationInfo[activation];
  if (info.parameter != (values != nullptr))
    throw py::value_error(name + (info.parameter ? " needs a parameter" : " takes no parameter"));
  if (values == nullptr) return {activation, nullptr, false};
  const ptrdiff_t n = dimension(parameter, 0);
  if (n != 1 && n != units)
    throw py::value_error("parameter must have 1 or " + std::to_string(units) + " elements, got " + std::to_string(n));
  return {activation, values, n != 1};
}

namespace {

void activation(const std::string& name, py::handle parameter, py::handle z, py::handle out, bool derivative) {
  by_dtype(z, [&](auto zero) {
    using T = decltype(zero);
    const T* const in = view<T>(z, "z", {kAny, kAny});
    const ptrdiff_t rows = dimension(z, 0), columns = dimension(z, 1);
    T* const to = view<T>(out, "out", {rows, columns}, true);
    const ActivationUse use = activation_use<T>(name, parameter, columns);
    const ActivationInfo& info = kActivationInfo[use.activation];
    if (derivative && (!info.differentiable || info.rowwise))
      throw py::value_error(name + " has no elementwise derivative");
    if (rows == 0 || columns == 0) return;
    const Unlocked unlocked;
    apply_activation(use, derivative, rows, columns, in, to);
  });
}

void bind_dense_forward(py::handle x, py::handle weight, py::handle bias, const std::string& name, py::handle parameter,
                        py::handle out, py::handle saved) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", {kAny, kAny});
    const ptrdiff_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const T* const w = view<T>(weight, "weight", {inputs, kAny});
    const ptrdiff_t units = dimension(weight, 1);
    const T* const b = view_or_null<T>(bias, "bias", {units});
    T* const y = view<T>(out, "out", {batch, units}, true);
    T* const z = view_or_null<T>(saved, "saved", {batch, units}, true);
    const ActivationUse use = activation_use<T>(name, parameter, units);
    const Unlocked unlocked;
    dense_forward(batch, inputs, units, xs, w, b, use, y, z);
  });
}

void bind_dense_backward(py::handle dy, py::handle x, py::handle weight, py::handle saved, const std::string& name,
                         py::handle parameter, py::handle dx, py::handle dweight, py::handle dbias,
                         py::handle dparameter) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", {kAny, kAny});
    const ptrdiff_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const T* const w = view<T>(weight, "weight", {inputs, kAny});
    const ptrdiff_t units = dimension(weight, 1);
    const T* const g = view<T>(dy, "dy", {batch, units});
    const T* const s = view<T>(saved, "saved", {batch, units});
    T* const to_x = view<T>(dx, "dx", {batch, inputs}, true);
    T* const to_w = view<T>(dweight, "dweight", {inputs, units}, true);
    T* const to_b = view<T>(dbias, "dbias", {units}, true);
    T* const to_p = view_or_null<T>(dparameter, "dparameter", {units}, true);
    const ActivationUse use = activation_use<T>(name, parameter, units);
    const ActivationInfo& info = kActivationInfo[use.activation];
    if (!info.differentiable) throw py::value_error(name + " is not differentiable");
    if (to_p && !info.learned) throw py::value_error(name + " has no parameter gradient");
    const Unlocked unlocked;
    dense_backward(batch, inputs, units, g, xs, w, s, use, to_x, to_w, to_b, to_p);
  });
}

void bind_maxout_forward(py::handle x, py::handle weight, py::handle bias, py::handle out, py::handle argmax) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", {kAny, kAny});
    const ptrdiff_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const T* const w = view<T>(weight, "weight", {kAny, inputs, kAny});
    const ptrdiff_t pieces = dimension(weight, 0), units = dimension(weight, 2);
    const T* const b = view_or_null<T>(bias, "bias", {pieces, units});
    T* const y = view<T>(out, "out", {batch, units}, true);
    auto* const piece = view_or_null<std::uint8_t>(argmax, "argmax", {batch, units}, true);
    if (pieces < 1) throw py::value_error("weight must have at least one piece, got 0");
    if (piece && pieces > kMaxPiecesSaved)
      throw py::value_error("argmax supports at most 256 pieces, got " + std::to_string(pieces));
    const Unlocked unlocked;
    maxout_forward(batch, inputs, units, pieces, xs, w, b, y, piece);
  });
}

void bind_maxout_backward(py::handle dy, py::handle x, py::handle weight, py::handle argmax, py::handle dx,
                          py::handle dweight, py::handle dbias) {
  by_dtype(x, [&](auto zero) {
    using T = decltype(zero);
    const T* const xs = view<T>(x, "x", {kAny, kAny});
    const ptrdiff_t batch = dimension(x, 0), inputs = dimension(x, 1);
    const T* const w = view<T>(weight, "weight", {kAny, inputs, kAny});
    const ptrdiff_t pieces = dimension(weight, 0), units = dimension(weight, 2);
    const T* const g = view<T>(dy, "dy", {batch, units});
    const auto* const piece = view<std::uint8_t>(argmax, "argmax", {batch, units});
    T* const to_x = view<T>(dx, "dx", {batch, inputs}, true);
    T* const to_w = view<T>(dweight, "dweight", {pieces, inputs, units}, true);
    T* const to_b = view<T>(dbias, "dbias", {pieces, units}, true);
    if (pieces < 1 || pieces > kMaxPiecesSaved)
      throw py::value_error("maxout_backward supports 1 to 256 pieces, got " + std::to_string(pieces));
    for (ptrdiff_t i = 0; i < batch * units; ++i)
      if (piece[i] >= pieces)
        throw py::value_error("argmax must be in [0, " + std::to_string(pieces) + "), got " +
                              std::to_string(int{piece[i]}) + " at index (" + std::to_string(i / units) + ", " +
                              std::to_string(i % units) + ")");
    const Unlocked unlocked;
    maxout_backward(batch, inputs, units, pieces, g, xs, w, piece, to_x, to_w, to_b);
  });
}

double bind_loss_value(const std::string& name, py::handle outputs, py::handle targets, py::handle precision,
                       py::handle sample_weights) {
  return by_dtype(outputs, [&](auto zero) {
    using T = decltype(zero);
    const Loss<T> loss = make_loss<T>(name, precision);
    const T* const z = view<T>(outputs, "outputs", {kAny, kAny});
    const ptrdiff_t batch = dimension(outputs, 0), columns = dimension(outputs, 1);
    if (batch == 0 || columns == 0) throw py::value_error("outputs must not be empty: they have no mean loss");
    loss.check(columns);
    const T* real = nullptr;
    const std::int64_t* labels = nullptr;
    if (loss.info().labels) {
      labels = view<std::int64_t>(targets, "targets", {batch});
      check_labels(labels, batch, columns);
    } else {
      real = view<T>(targets, "targets", {batch, loss.targets(columns)});
    }
    const T* const weights = view_or_null<T>(sample_weights, "weights", {batch});
    const Unlocked unlocked;
    return loss_value(loss, batch, columns, z, real, labels, weights);
  });
}

py::list activation_list() {
  py::list rows;
  for (int i = 0; i < kActivations; ++i) {
    const ActivationInfo& info = kActivationInfo[i];
    py::dict row;
    row["name"] = info.name;
    row["init"] = info.start == Start::kHe ? "he" : info.start == Start::kLecun ? "lecun" : "xavier";
    row["saves"] = info.saves == Saves::kInput ? "input" : info.saves == Saves::kOutput ? "output" : "nothing";
    row["differentiable"] = info.differentiable;
    row["rowwise"] = info.rowwise;
    row["exact"] = info.exact;
    row["parameter"] = info.parameter;
    row["default"] = info.parameter_default;
    row["learned"] = info.learned;
    row["watch"] = info.watch == Watch::kDead ? "dead" : info.watch == Watch::kSaturated ? "saturated" : "";
    row["small"] = info.small;
    rows.append(row);
  }
  return rows;
}

}  // namespace

void register_ops(py::module_& m) {
  using py::arg;
  m.attr("MAX_SAVED_PIECES") = kMaxPiecesSaved;
  m.def("activations", &activation_list);
  m.def(
      "activation_forward",
      [](const std::string& name, py::handle parameter, py::handle z, py::handle out) {
        activation(name, parameter, z, out, false);
      },
      arg("name"), arg("parameter").none(true), arg("z"), arg("out"));
  m.def(
      "activation_derivative",
      [](const std::string& name, py::handle parameter, py::handle z, py::handle out) {
        activation(name, parameter, z, out, true);
      },
      arg("name"), arg("parameter").none(true), arg("z"), arg("out"));
  m.def("dense_forward", &bind_dense_forward, arg("x"), arg("weight"), arg("bias").none(true), arg("activation"),
        arg("parameter").none(true), arg("out"), arg("saved").none(true));
  m.def("dense_backward", &bind_dense_backward, arg("dy"), arg("x"), arg("weight"), arg("saved"), arg("activation"),
        arg("parameter").none(true), arg("dx"), arg("dweight"), arg("dbias"), arg("dparameter").none(true));
  m.def("maxout_forward", &bind_maxout_forward, arg("x"), arg("weight"), arg("bias").none(true), arg("out"),
        arg("argmax").none(true));
  m.def("maxout_backward", &bind_maxout_backward, arg("dy"), arg("x"), arg("weight"), arg("argmax"), arg("dx"),
        arg("dweight"), arg("dbias"));
  m.def("loss_value", &bind_loss_value, arg("loss"), arg("outputs"), arg("targets"), arg("precision") = py::none(),
        arg("weights") = py::none());
}

}  // namespace fnnfast::cpu
