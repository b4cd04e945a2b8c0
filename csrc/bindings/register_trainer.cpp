#include <pybind11/stl.h>

#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <variant>
#include <vector>

#include "../cpu/train.hpp"
#include "names.hpp"
#include "network_object.hpp"
#include "register_trainer.hpp"
#include "unlocked.hpp"

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

// One thread at a time: a step's buffers are the trainer's.
class Busy {
 public:
  explicit Busy(std::atomic<bool>& flag) : flag_(flag) {
    if (flag_.exchange(true)) throw std::runtime_error("this Trainer is in use by another thread");
  }
  ~Busy() { flag_.store(false); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic<bool>& flag_;
};

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
          const Busy busy(busy_);
          const Batch<T> batch = make_batch(*both, x, targets, rows);
          const Unlocked unlocked;
          return both->trainer.step(batch, learning_rate);
        },
        trainer_);
  }

  // step() for the most common case, inputs and class labels that need no preparation: None, and nothing done, for any
  // other. What Python's checks take is a quarter of a small network's step.
  py::object step_if_ready(py::handle x, py::handle labels, double learning_rate) {
    const bool ready = std::visit(
        [&]<class T>(const std::unique_ptr<Both<T>>& both) {
          return loss_ == LossKind::kCategoricalCrossEntropy && is_matrix<T>(x, both->network.inputs()) &&
                 is_array(labels) && is_ready<std::int64_t>(labels) && dimensions(labels) == 1 &&
                 dimension(labels, 0) == dimension(x, 0);
        },
        trainer_);
    if (!ready) return py::none();
    try {
      return py::float_(step(x, labels, learning_rate, py::none()));
    } catch (const py::value_error&) {
      return py::none();  // no rows, or a label out of range: Python words it better
    }
  }

  py::tuple gradients(py::handle x, py::handle targets, py::handle rows) {
    return std::visit(
        [&]<class T>(std::unique_ptr<Both<T>>& both) {
          const Busy busy(busy_);
          const Batch<T> batch = make_batch(*both, x, targets, rows);
          double loss;
          {
            const Unlocked unlocked;
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
          const Busy busy(busy_);
          std::size_t expected = 0;
          for (const auto& layer : both->network.layers()) expected += layer.info().learned ? 3 : 2;
          if (gradients.size() != expected)
            throw py::value_error("expected " + std::to_string(expected) + " gradients, got " +
                                  std::to_string(gradients.size()));
          both->trainer.reserve_gradients();
          ptrdiff_t at = 0;
          for (std::size_t i = 0; i < both->network.layers().size(); ++i)
            at = pack_all(both->network.layers()[i], gradients, at, both->trainer.gradient(i).data(),
                          both->trainer.alpha_gradient(i).data());
          const Unlocked unlocked;
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
  Batch<T> make_batch(const Both<T>& both, py::handle x, py::handle targets, py::handle rows) {
    const ptrdiff_t inputs = both.network.inputs(), outputs = both.network.outputs();
    Batch<T> batch{};
    batch.x = view<T>(x, "x", {kAny, inputs});
    const ptrdiff_t available = dimension(x, 0);
    batch.rows = available;
    // Indices and labels are copied before they are checked: what is checked is what is used, whatever other threads do
    // to the caller's arrays.
    if (!rows.is_none()) {
      const std::int64_t* const given = view<std::int64_t>(rows, "rows", {kAny});
      batch.rows = dimension(rows, 0);
      indices_.assign(given, given + batch.rows);
      for (const std::int64_t index : indices_)
        if (index < 0 || index >= available)
          throw py::index_error("rows must be in [0, " + std::to_string(available) + "), got " + std::to_string(index));
      batch.indices = indices_.data();
    }
    if (batch.rows < 1) throw py::value_error("a training step needs at least one row");
    if (loss_ == LossKind::kCategoricalCrossEntropy) {
      const std::int64_t* const given = view<std::int64_t>(targets, "targets", {available});
      labels_.resize(static_cast<std::size_t>(batch.rows));
      for (ptrdiff_t i = 0; i < batch.rows; ++i)
        labels_[static_cast<std::size_t>(i)] = given[batch.indices ? batch.indices[i] : i];
      check_labels(labels_.data(), batch.rows, outputs);
      batch.labels = labels_.data();
    } else {
      batch.targets = view<T>(targets, "targets", {available, outputs});
    }
    return batch;
  }

  LossKind loss_;
  std::atomic<bool> busy_{false};
  std::vector<std::int64_t> indices_, labels_;
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
      .def("step_if_ready", &PyTrainer::step_if_ready, arg("x"), arg("labels"), arg("learning_rate"))
      .def("gradients", &PyTrainer::gradients, arg("x"), arg("targets"), arg("rows") = py::none())
      .def("apply", &PyTrainer::apply, arg("gradients"), arg("learning_rate"))
      .def_property_readonly("steps", &PyTrainer::steps);
}

}  // namespace fnnfast
