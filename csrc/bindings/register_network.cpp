#include "register_network.hpp"

#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <variant>

#include "../cpu/floatenv.hpp"
#include "../cpu/train.hpp"
#include "array_view.hpp"
#include "names.hpp"

namespace fnnfast {

namespace {

// Under this many fused multiply-adds (about a microsecond) giving the interpreter away costs more than it lets others
// do.
constexpr double kKeepInterpreter = 20000;

std::vector<LayerSpec> layer_specs(const py::sequence& layers) {
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
    } else if (kind == "dropout") {
      spec.kind = LayerSpec::Kind::kDropout;
      spec.rate = py::cast<double>(layer[1]);
    } else {
      throw py::value_error("unknown kind of layer '" + kind + "'");
    }
    specs.push_back(spec);
  }
  return specs;
}

template <class T>
py::array_t<T> new_array(const std::vector<ptrdiff_t>& shape) {
  return py::array_t<T>(shape);
}

// A layer's packed parameters in the user's layout.
template <class T>
py::list unpacked(const Layer<T>& layer, const T* panels, const T* alpha) {
  const PanelLayout& l = layer.layout;
  auto weight = layer.maxout ? new_array<T>({l.pieces, l.inputs, l.units}) : new_array<T>({l.inputs, l.units});
  auto bias = layer.maxout ? new_array<T>({l.pieces, l.units}) : new_array<T>({l.units});
  unpack(l, panels, WeightView<T>::contiguous(weight.mutable_data(), bias.mutable_data(), l));
  py::list arrays;
  arrays.append(weight);
  arrays.append(bias);
  if (layer.info().learned) {
    auto slopes = new_array<T>({l.units});
    std::copy_n(alpha, l.units, slopes.mutable_data());
    arrays.append(slopes);
  }
  return arrays;
}

// Packs arrays in the user's layout over a layer's parameters (or gradients). A null handle leaves that part as it is.
template <class T>
void pack_over(const Layer<T>& layer, py::handle weight, py::handle bias, py::handle slopes, T* panels, T* alpha) {
  const PanelLayout& l = layer.layout;
  // What is not given is kept: unpack it, replace what is, pack again.
  std::vector<T> kept_weight, kept_bias;
  const T* w = nullptr;
  const T* b = nullptr;
  const auto shape = [&](py::handle h, const char* name, bool is_weight) {
    if (layer.maxout)
      return is_weight ? view<T>(h, name, {l.pieces, l.inputs, l.units}) : view<T>(h, name, {l.pieces, l.units});
    return is_weight ? view<T>(h, name, {l.inputs, l.units}) : view<T>(h, name, {l.units});
  };
  if (weight) w = shape(weight, "weight", true);
  if (bias) b = shape(bias, "bias", false);
  const T* const a = slopes ? view<T>(slopes, "alpha", {l.units}) : nullptr;
  if ((w == nullptr) != (b == nullptr)) {
    kept_weight.resize(static_cast<std::size_t>(l.pieces * l.inputs * l.units));
    kept_bias.resize(static_cast<std::size_t>(l.pieces * l.units));
    unpack(l, panels, WeightView<T>::contiguous(kept_weight.data(), kept_bias.data(), l));
    if (w == nullptr) w = kept_weight.data();
    if (b == nullptr) b = kept_bias.data();
  }
  if (w) pack(l, WeightView<const T>::contiguous(w, b, l), panels);
  if (a) std::copy_n(a, l.units, alpha);
}

class PyNetwork {
 public:
  PyNetwork(const std::string& dtype, ptrdiff_t inputs, const py::sequence& layers) {
    const std::vector<LayerSpec> specs = layer_specs(layers);
    if (dtype == "float32")
      network_ = std::make_unique<Network<float>>(inputs, specs);
    else if (dtype == "float64")
      network_ = std::make_unique<Network<double>>(inputs, specs);
    else
      throw py::value_error("dtype must be float32 or float64, got " + dtype);
  }

  template <class F>
  auto visit(F&& f) {
    return std::visit([&](auto& network) { return f(*network); }, network_);
  }

  py::list names(ptrdiff_t index) {
    return visit([&](auto& network) {
      py::list names;
      if (const auto* const layer = network.find(index)) {
        names.append("weight");
        names.append("bias");
        if (layer->info().learned) names.append("alpha");
      }
      return names;
    });
  }

  py::object get(ptrdiff_t index, const std::string& name) {
    const py::list all = names(index);
    return visit([&](auto& network) -> py::object {
      for (std::size_t i = 0; i < all.size(); ++i)
        if (py::cast<std::string>(all[i]) == name) {
          const auto& layer = *network.find(index);
          return unpacked(layer, layer.panels.data(), layer.alpha.data())[i];
        }
      throw py::key_error(name);
    });
  }

  void set(ptrdiff_t index, const std::string& name, py::handle value) {
    if (!names(index).contains(name)) throw py::key_error(name);
    visit([&](auto& network) {
      auto& layer = *network.find(index);
      const py::handle none;
      pack_over(layer, name == "weight" ? value : none, name == "bias" ? value : none, name == "alpha" ? value : none,
                layer.panels.data(), layer.alpha.data());
      ++layer.version;
    });
  }

  py::object forward(py::handle x, py::handle out, bool logits) {
    return std::visit([&](auto& network) { return forward_as(*network, x, out, logits); }, network_);
  }

  std::vector<std::string> plan(ptrdiff_t batch) {
    return visit([&](auto& network) { return network.describe_plan(batch); });
  }

 private:
  template <class T>
  static py::object forward_as(const Network<T>& network, py::handle x, py::handle out, bool logits) {
    const ptrdiff_t inputs = network.inputs(), outputs = network.outputs();
    if (!is_array(x) || !is_ready<T>(x) || dimensions(x) != 2 || dimension(x, 1) != inputs) return py::none();
    const ptrdiff_t batch = dimension(x, 0);
    const T* const from = data<T>(x);
    py::object y;
    if (out.is_none()) {
      y = py::array_t<T>({batch, outputs});
    } else {
      if (!is_array(out) || !is_ready<T>(out) || !writeable(out) || dimensions(out) != 2 ||
          dimension(out, 0) != batch || dimension(out, 1) != outputs)
        return py::none();
      const T* const to = data<T>(out);
      if (from < to + batch * outputs && to < from + batch * inputs) return py::none();
      y = py::reinterpret_borrow<py::object>(out);
    }
    T* const to = data<T>(y);
    if (static_cast<double>(batch) * network.work() < kKeepInterpreter) {
      const FloatEnvironment environment;
      network.forward(from, batch, to, logits);
    } else {
      const py::gil_scoped_release release;
      const FloatEnvironment environment;
      network.forward(from, batch, to, logits);
    }
    return y;
  }

  std::variant<std::unique_ptr<Network<float>>, std::unique_ptr<Network<double>>> network_;
};

OptimizerSettings optimizer_settings(const std::string& optimizer, const std::map<std::string, double>& given) {
  OptimizerSettings s;
  if (optimizer == "sgd")
    s.kind = OptimizerKind::kSgd;
  else if (optimizer == "adam")
    s.kind = OptimizerKind::kAdam;
  else
    throw py::value_error("unknown optimizer '" + optimizer + "'");
  for (const auto& [name, value] : given) {
    if (name == "momentum")
      s.momentum = value;
    else if (name == "nesterov")
      s.nesterov = value != 0.0;
    else if (name == "beta1")
      s.beta1 = value;
    else if (name == "beta2")
      s.beta2 = value;
    else if (name == "eps")
      s.eps = value;
    else if (name == "l2")
      s.l2 = value;
    else if (name == "weight_decay")
      s.weight_decay = value;
    else
      throw py::value_error("unknown setting '" + name + "' of an optimizer");
  }
  return s;
}

class PyTrainer {
 public:
  PyTrainer(PyNetwork& network, const std::string& loss, const std::string& optimizer,
            const std::map<std::string, double>& settings, std::uint64_t seed)
      : loss_(loss_kind(loss)) {
    network.visit([&]<class T>(Network<T>& n) {
      trainer_ = std::make_unique<Both<T>>(n, loss_, optimizer_settings(optimizer, settings), seed);
    });
  }

  double step(py::handle x, py::handle targets, double learning_rate, py::handle rows) {
    return std::visit(
        [&]<class T>(std::unique_ptr<Both<T>>& both) {
          const Batch<T> batch = make_batch(*both, x, targets, rows);
          const py::gil_scoped_release release;
          const FloatEnvironment environment;
          return both->trainer.step(batch, learning_rate);
        },
        trainer_);
  }

  py::tuple gradients(py::handle x, py::handle targets, py::handle rows) {
    return std::visit(
        [&]<class T>(std::unique_ptr<Both<T>>& both) {
          const Batch<T> batch = make_batch(*both, x, targets, rows);
          double loss;
          {
            const py::gil_scoped_release release;
            const FloatEnvironment environment;
            loss = both->trainer.gradients(batch);
          }
          py::list arrays;
          for (std::size_t i = 0; i < both->network.layers().size(); ++i)
            for (const py::handle array : unpacked(both->network.layers()[i], both->trainer.gradient(i).data(),
                                                   both->trainer.alpha_gradient(i).data()))
              arrays.append(array);
          return py::make_tuple(loss, arrays);
        },
        trainer_);
  }

  void apply(const py::sequence& gradients, double learning_rate) {
    std::visit(
        [&]<class T>(std::unique_ptr<Both<T>>& both) {
          both->trainer.reserve_gradients();
          std::size_t expected = 0;
          for (const auto& layer : both->network.layers()) expected += layer.info().learned ? 3 : 2;
          if (gradients.size() != expected)
            throw py::value_error("expected " + std::to_string(expected) + " gradients, got " +
                                  std::to_string(gradients.size()));
          std::size_t at = 0;
          for (std::size_t i = 0; i < both->network.layers().size(); ++i) {
            const auto& layer = both->network.layers()[i];
            const py::object weight = gradients[at], bias = gradients[at + 1];
            const py::object alpha = layer.info().learned ? py::object(gradients[at + 2]) : py::object();
            at += layer.info().learned ? 3 : 2;
            pack_over(layer, weight, bias, alpha, both->trainer.gradient(i).data(),
                      both->trainer.alpha_gradient(i).data());
          }
          const py::gil_scoped_release release;
          const FloatEnvironment environment;
          both->trainer.apply(learning_rate);
        },
        trainer_);
  }

  std::int64_t steps() const {
    return std::visit([](const auto& both) { return both->trainer.steps(); }, trainer_);
  }

 private:
  template <class T>
  struct Both {
    Both(Network<T>& n, LossKind loss, const OptimizerSettings& settings, std::uint64_t seed)
        : network(n), trainer(n, loss, settings, seed) {}
    Network<T>& network;
    Trainer<T> trainer;
  };

  template <class T>
  Batch<T> make_batch(const Both<T>& both, py::handle x, py::handle targets, py::handle rows) const {
    const ptrdiff_t inputs = both.network.inputs(), outputs = both.network.outputs();
    Batch<T> batch{};
    batch.x = view<T>(x, "x", {kAny, inputs});
    const ptrdiff_t available = dimension(x, 0);
    batch.rows = available;
    if (!rows.is_none()) {
      batch.indices = view<std::int64_t>(rows, "rows", {kAny});
      batch.rows = dimension(rows, 0);
      for (ptrdiff_t i = 0; i < batch.rows; ++i)
        if (batch.indices[i] < 0 || batch.indices[i] >= available)
          throw py::index_error("rows must be in [0, " + std::to_string(available) + "), got " +
                                std::to_string(batch.indices[i]));
    }
    if (batch.rows < 1) throw py::value_error("a training step needs at least one row");
    if (loss_ == LossKind::kCategoricalCrossEntropy) {
      batch.labels = view<std::int64_t>(targets, "targets", {available});
      check_labels(batch.labels, batch.indices, batch.rows, outputs);
    } else {
      batch.targets = view<T>(targets, "targets", {available, outputs});
    }
    return batch;
  }

  LossKind loss_;
  std::variant<std::unique_ptr<Both<float>>, std::unique_ptr<Both<double>>> trainer_;
};

}  // namespace

void register_network(py::module_& m) {
  using py::arg;
  py::class_<PyNetwork>(m, "Network")
      .def(py::init<const std::string&, ptrdiff_t, const py::sequence&>(), arg("dtype"), arg("inputs"), arg("layers"))
      .def("names", &PyNetwork::names, arg("layer"))
      .def("get", &PyNetwork::get, arg("layer"), arg("name"))
      .def("set", &PyNetwork::set, arg("layer"), arg("name"), arg("value"))
      .def("forward", &PyNetwork::forward, arg("x"), arg("out") = py::none(), arg("logits") = false)
      .def("plan", &PyNetwork::plan, arg("batch"));
  py::class_<PyTrainer>(m, "Trainer")
      .def(py::init<PyNetwork&, const std::string&, const std::string&, const std::map<std::string, double>&,
                    std::uint64_t>(),
           arg("network"), arg("loss"), arg("optimizer"), arg("settings"), arg("seed") = 0, py::keep_alive<1, 2>())
      .def("step", &PyTrainer::step, arg("x"), arg("targets"), arg("learning_rate"), arg("rows") = py::none())
      .def("gradients", &PyTrainer::gradients, arg("x"), arg("targets"), arg("rows") = py::none())
      .def("apply", &PyTrainer::apply, arg("gradients"), arg("learning_rate"))
      .def_property_readonly("steps", &PyTrainer::steps);
}

}  // namespace fnnfast
