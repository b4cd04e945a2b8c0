#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <variant>

#include "../cpu/floatenv.hpp"
#include "../cpu/train.hpp"
#include "names.hpp"
#include "network_object.hpp"
#include "register_trainer.hpp"

namespace fnnfast {

namespace {

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

void register_trainer(py::module_& m) {
  using py::arg;
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
