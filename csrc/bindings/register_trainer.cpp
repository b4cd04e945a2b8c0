#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "../cpu/train.hpp"
#include "loss_arguments.hpp"
#include "network_object.hpp"
#include "optimizer_settings.hpp"
#include "register_trainer.hpp"
#include "unlocked.hpp"

namespace fnnfast::cpu {

namespace {

// Held during a call, since a step's buffers belong to the trainer: one thread at a time.
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
  template <class T>
  struct Typed {
    Typed(Network<T>& n, Loss<T> of, const OptimizerSettings& settings, std::uint64_t seed, std::vector<bool> frozen)
        : network(n), loss(of), trainer(n, std::move(of), settings, seed, std::move(frozen)) {}
    int states() const { return trainer.states(); }
    std::pair<T*, T*> state(std::size_t i, int which) {
      return {trainer.optimizer_state(i).panels[which].data(), trainer.optimizer_state(i).alpha[which].data()};
    }
    Network<T>& network;
    Loss<T> loss;
    Trainer<T> trainer;
    std::vector<T> sample_weights;
    std::vector<double> units;  // of the sample weights, for each batch
  };

  // Checked arrays, from whose rows batches are made.
  template <class T>
  struct Data {
    ptrdiff_t rows, inputs, targets_each;
    const T* x;
    const T* targets;
    const std::int64_t* labels;
    const T* sample_weights;  // in units of their batch
    const std::int64_t* indices;
  };

  // Calls f with the trainer of its type, one thread at a time.
  template <class F>
  auto use(F&& f) {
    const Busy busy(busy_);
    return std::visit([&](auto& typed) { return f(*typed); }, trainer_);
  }

  template <class T>
  static Batch<T> batch(const Data<T>& data, ptrdiff_t first, ptrdiff_t rows) {
    Batch<T> b{};
    b.rows = rows;
    b.indices = data.indices ? data.indices + first : nullptr;
    b.x = data.x + (data.indices ? 0 : first * data.inputs);
    b.targets = data.targets ? data.targets + (data.indices ? 0 : first * data.targets_each) : nullptr;
    b.labels = data.labels ? data.labels + first : nullptr;
    b.sample_weights = data.sample_weights ? data.sample_weights + first : nullptr;
    return b;
  }

  // Indices, labels and sample weights are copied before they are checked, since other threads may change the caller's
  // arrays.
  template <class T>
  Data<T> check(Typed<T>& typed, py::handle x, py::handle targets, py::handle indices, py::handle sample_weights,
                ptrdiff_t batch_size = std::numeric_limits<ptrdiff_t>::max()) {
    Data<T> data{};
    data.inputs = typed.network.inputs();
    data.targets_each = typed.loss.targets(typed.network.outputs());
    data.x = view<T>(x, "x", {kAny, data.inputs});
    const ptrdiff_t available = dimension(x, 0);
    data.rows = available;
    if (!indices.is_none()) {
      const std::int64_t* const given = view<std::int64_t>(indices, "rows", {kAny});
      data.rows = dimension(indices, 0);
      indices_.assign(given, given + data.rows);
      for (std::size_t i = 0; i < indices_.size(); ++i)
        if (indices_[i] < 0 || indices_[i] >= available)
          throw py::index_error("rows must be in [0, " + std::to_string(available) + "), got " +
                                std::to_string(indices_[i]) + " at index " + std::to_string(i));
      data.indices = indices_.data();
    }
    if (data.rows < 1) throw py::value_error("a training step needs at least one row");
    const auto gather = [&]<class U>(std::vector<U>& to, const U* from) {
      to.resize(static_cast<std::size_t>(data.rows));
      for (ptrdiff_t i = 0; i < data.rows; ++i)
        to[static_cast<std::size_t>(i)] = from[data.indices ? data.indices[i] : i];
      return to.data();
    };
    if (typed.loss.info().labels) {
      data.labels = gather(labels_, view<std::int64_t>(targets, "targets", {available}));
      check_labels(data.labels, data.rows, typed.network.outputs());
    } else {
      data.targets = view<T>(targets, "targets", {available, data.targets_each});
    }
    if (!sample_weights.is_none()) {
      const double* const given = gather(sample_weights_, view<double>(sample_weights, "weights", {available}));
      for (std::size_t i = 0; i < sample_weights_.size(); ++i)
        if (const double weight = given[i]; !(weight >= 0.0 && weight <= std::numeric_limits<double>::max()))
          throw py::value_error("weights must be finite and at least 0, got " + std::to_string(weight) + " at index " +
                                std::to_string(i));
      data.sample_weights = relative(typed, given, data.rows, std::min(batch_size, data.rows));
    }
    return data;
  }

  // The sample weights in a unit for each batch, a power of two near its largest weight: only their ratios count, and
  // in T small ones might be 0, or 1 / their sum infinite. The scaling is exact, so it changes no other bit.
  template <class T>
  static const T* relative(Typed<T>& typed, const double* sample_weights, ptrdiff_t rows, ptrdiff_t batch_size) {
    constexpr int kLargest = 1000;  // the exponent of a power of two that is finite, as is its inverse
    typed.sample_weights.resize(static_cast<std::size_t>(rows));
    typed.units.clear();
    for (ptrdiff_t first = 0; first < rows; first += batch_size) {
      const ptrdiff_t last = std::min(first + batch_size, rows);
      int exponent = 0;
      std::frexp(*std::max_element(sample_weights + first, sample_weights + last), &exponent);
      exponent = std::clamp(exponent, -kLargest, kLargest);
      const double factor = std::ldexp(1.0, -exponent);
      for (ptrdiff_t r = first; r < last; ++r)
        typed.sample_weights[static_cast<std::size_t>(r)] = static_cast<T>(sample_weights[r] * factor);
      typed.units.push_back(std::ldexp(1.0, exponent));
    }
    return typed.sample_weights.data();
  }

  // Arrays shaped like the parameters, in the order of the layers; of(i) gives those of block i.
  template <class T, class Of>
  static py::list all_unpacked(Typed<T>& typed, Of of) {
    py::list arrays;
    for (ptrdiff_t spec = 0; spec < typed.network.specs(); ++spec) {
      const Block<T>* const layer = typed.network.find(spec);
      if (layer == nullptr) continue;
      const auto [panels, alpha] = of(static_cast<std::size_t>(layer - typed.network.blocks().data()));
      for (const py::handle array : unpacked(*layer, panels, alpha)) arrays.append(array);
    }
    return arrays;
  }

  template <class T, class Of>
  static void pack_layers(Typed<T>& typed, const py::sequence& arrays, Of of) {
    std::size_t expected = 0;
    for (const ParameterBlock& block : typed.network.blocks()) expected += array_count(block);
    if (arrays.size() != expected)
      throw py::value_error("expected " + std::to_string(expected) + " arrays, got " + std::to_string(arrays.size()));
    ptrdiff_t at = 0;
    for (ptrdiff_t spec = 0; spec < typed.network.specs(); ++spec) {
      const Block<T>* const layer = typed.network.find(spec);
      if (layer == nullptr) continue;
      const auto [panels, alpha] = of(static_cast<std::size_t>(layer - typed.network.blocks().data()));
      at = pack_all(*layer, arrays, at, panels, alpha);
    }
  }

  std::atomic<bool> busy_{false};
  std::vector<std::int64_t> indices_, labels_;
  std::vector<double> sample_weights_;
  template <class T>
  using Owned = std::unique_ptr<Typed<T>>;
  py::object network_;  // whose layers are trained: kept alive
  variant_over<Dtypes, Owned> trainer_;
  bool measures_accuracy_ = false;
  double right_ = 0.0, scored_ = 0.0;  // weights of rows, since the last take_accuracy()

 public:
  PyTrainer(py::object network, const std::string& loss, const std::string& optimizer,
            const std::map<std::string, double>& settings, std::uint64_t seed, py::handle precision,
            const std::vector<ptrdiff_t>& frozen)
      : network_(std::move(network)) {
    py::cast<PyNetwork&>(network_).visit([&]<class T>(Network<T>& n) {
      std::vector<bool> layers(n.blocks().size());
      for (const ptrdiff_t spec : frozen)
        if (const Block<T>* const layer = n.find(spec))
          layers[static_cast<std::size_t>(layer - n.blocks().data())] = true;
      trainer_ = std::make_unique<Typed<T>>(n, make_loss<T>(loss, precision), optimizer_settings(optimizer, settings),
                                            seed, std::move(layers));
    });
  }

  double step(py::handle x, py::handle targets, double learning_rate, py::handle indices, py::handle sample_weights) {
    return use([&]<class T>(Typed<T>& typed) {
      const Data<T> data = check(typed, x, targets, indices, sample_weights);
      const Unlocked unlocked;
      return typed.trainer.step(batch(data, 0, data.rows), learning_rate);
    });
  }

  // The steps of an epoch, or a part of it, up to one whose loss is NaN. Returns the weighted sum of the batches' mean
  // losses, and the total weight.
  py::tuple epoch(py::handle x, py::handle targets, double learning_rate, py::handle indices, py::handle sample_weights,
                  ptrdiff_t batch_size) {
    if (batch_size < 1) throw py::value_error("batch_size must be at least 1, got " + std::to_string(batch_size));
    return use([&]<class T>(Typed<T>& typed) {
      const Data<T> data = check(typed, x, targets, indices, sample_weights, batch_size);
      double sum = 0.0, weight = 0.0;
      {
        const Unlocked unlocked;
        for (ptrdiff_t first = 0; first < data.rows; first += batch_size) {
          const Batch<T> b = batch(data, first, std::min(batch_size, data.rows - first));
          double of_batch = total_weight(b.rows, b.sample_weights);
          if (b.sample_weights != nullptr) of_batch *= typed.units[static_cast<std::size_t>(first / batch_size)];
          const double loss = typed.trainer.step(b, learning_rate);
          sum += loss * of_batch;
          weight += of_batch;
          if (std::isnan(loss)) break;  // that step was not taken, nor are those after it
          right_ += typed.trainer.accuracy() * of_batch;
          scored_ += of_batch;
        }
      }
      return py::make_tuple(sum, weight);
    });
  }

  // step() for the most common case, inputs and class labels that need no preparation; else returns None, with nothing
  // done. Python's checks would take a quarter of a small network's step.
  py::object try_step(py::handle x, py::handle labels, double learning_rate) {
    const bool ready = std::visit(
        [&]<class T>(const std::unique_ptr<Typed<T>>& typed) {
          return typed->loss.info().labels && is_matrix<T>(x, typed->network.inputs()) && is_plain_array(labels) &&
                 is_ready<std::int64_t>(labels) && dimensions(labels) == 1 && dimension(labels, 0) == dimension(x, 0);
        },
        trainer_);
    if (!ready) return py::none();
    try {
      return py::float_(step(x, labels, learning_rate, py::none(), py::none()));
    } catch (const py::value_error&) {
      return py::none();  // no rows, or an invalid label: Python's message is better
    }
  }

  py::tuple gradients(py::handle x, py::handle targets, py::handle indices, py::handle sample_weights) {
    return use([&]<class T>(Typed<T>& typed) {
      const Data<T> data = check(typed, x, targets, indices, sample_weights);
      double loss;
      {
        const Unlocked unlocked;
        loss = typed.trainer.gradients(batch(data, 0, data.rows));
      }
      return py::make_tuple(loss, all_unpacked(typed, [&](std::size_t i) {
                              return std::pair{typed.trainer.gradient(i).data(),
                                               typed.trainer.alpha_gradient(i).data()};
                            }));
    });
  }

  // gradients() of parts of a batch, see _cpu.pyi.
  py::tuple sum_parts(py::handle x, py::handle targets, py::handle indices, py::handle sample_weights,
                      const std::vector<ptrdiff_t>& ends, const py::sequence& out, bool round) {
    return use([&]<class T>(Typed<T>& typed) {
      const Data<T> data = check(typed, x, targets, indices, sample_weights);
      if (ends.size() < 2 || ends.front() < 0 || ends.back() > data.rows || !std::is_sorted(ends.begin(), ends.end()))
        throw py::value_error("ends must be ascending row numbers of the batch");
      const Batch<T> whole = batch(data, 0, data.rows);
      double weight = total_weight(whole.rows, whole.sample_weights);
      if (whole.sample_weights != nullptr) weight *= typed.units[0];
      std::vector<typename Trainer<T>::PartResult> parts;
      {
        const Unlocked unlocked;
        parts = typed.trainer.sum_parts(whole, {ends.data(), static_cast<ptrdiff_t>(ends.size()) - 1, round});
      }
      if (!parts.empty()) {
        ptrdiff_t at = 0;
        for (ptrdiff_t spec = 0; spec < typed.network.specs(); ++spec)
          if (const Block<T>* const layer = typed.network.find(spec)) {
            const auto i = static_cast<std::size_t>(layer - typed.network.blocks().data());
            at = unpack_all(*layer, out, at, typed.trainer.gradient(i).data(), typed.trainer.alpha_gradient(i).data());
          }
      }
      py::list found;
      const bool measured = typed.trainer.measures_accuracy();
      for (const auto& part : parts)
        found.append(py::make_tuple(
            part.part, part.loss, measured ? part.accuracy : std::numeric_limits<double>::quiet_NaN(),
            py::array_t<double>(static_cast<ptrdiff_t>(part.statistics.size()), part.statistics.data())));
      return py::make_tuple(weight, found);
    });
  }

  void set_batch_statistics(const std::vector<double>& statistics) {
    use([&](auto& typed) {
      if (statistics.size() != typed.trainer.batch_statistics().size())
        throw py::value_error("expected " + std::to_string(typed.trainer.batch_statistics().size()) + " numbers, got " +
                              std::to_string(statistics.size()));
      typed.trainer.set_batch_statistics(statistics);
    });
  }

  std::vector<ptrdiff_t> normalized_units() {
    return use([](auto& typed) { return typed.trainer.normalized_units(); });
  }

  void apply(const py::sequence& gradients, double learning_rate) {
    use([&]<class T>(Typed<T>& typed) {
      typed.trainer.reserve_gradients();
      pack_layers(typed, gradients, [&](std::size_t i) {
        return std::pair{typed.trainer.gradient(i).data(), typed.trainer.alpha_gradient(i).data()};
      });
      const Unlocked unlocked;
      typed.trainer.apply(learning_rate);
    });
  }

  // (steps, states): one or two lists of arrays, in the order of the parameters.
  py::tuple state() {
    return use([&]<class T>(Typed<T>& typed) {
      py::list states;
      for (int which = 0; which < typed.states(); ++which)
        states.append(all_unpacked(typed, [&](std::size_t i) { return typed.state(i, which); }));
      return py::make_tuple(typed.trainer.steps(), states);
    });
  }

  void set_l2(double l2) {
    use([&](auto& typed) { typed.trainer.set_l2(l2); });
  }

  void sum_weight_squares(bool wanted) {
    use([&](auto& both) { both.trainer.sum_weight_squares(wanted); });
  }

  double take_weight_squares() {
    return use([](auto& both) { return both.trainer.take_weight_squares(); });
  }

  // Whether epoch() finds out the accuracy.
  void measure_accuracy(bool wanted) {
    use([&](auto& typed) {
      right_ = scored_ = 0.0;
      measures_accuracy_ = wanted;
      typed.trainer.measure_accuracy(wanted);
    });
  }

  // That over the rows of epoch() since the last call: the mean of the batches', each before its update. None if the
  // loss does not classify, or without rows.
  py::object take_accuracy() {
    return use([&](auto& typed) {
      const bool known = typed.loss.info().classifies && measures_accuracy_ && scored_ > 0.0;
      const double right = std::exchange(right_, 0.0), scored = std::exchange(scored_, 0.0);
      return known ? py::object(py::float_(right / scored)) : py::object(py::none());
    });
  }

  std::int64_t steps() {
    return use([](auto& typed) { return typed.trainer.steps(); });
  }

  void set_state(std::int64_t steps, const py::sequence& states) {
    use([&]<class T>(Typed<T>& typed) {
      if (steps < 0) throw py::value_error("steps must be at least 0, got " + std::to_string(steps));
      if (static_cast<int>(states.size()) != typed.states())
        throw py::value_error("expected " + std::to_string(typed.states()) + " states, got " +
                              std::to_string(states.size()));
      for (int which = 0; which < typed.states(); ++which)
        pack_layers(typed, py::cast<py::sequence>(py::object(states[static_cast<std::size_t>(which)])),
                    [&](std::size_t i) { return typed.state(i, which); });
      typed.trainer.set_steps(steps);
    });
  }

  // For each layer with statistics: its index, the root mean squares over the steps of the norms of gradient and
  // update, the dead, the saturated and the linear share; -1 for those not counted.
  py::list take_diagnosis() {
    return use([&]<class T>(Typed<T>& typed) {
      std::map<std::int32_t, std::array<double, 5>> rows;
      const auto row = [&](std::int32_t layer) -> std::array<double, 5>& {
        return rows.try_emplace(layer, std::array{-1.0, -1.0, -1.0, -1.0, -1.0}).first->second;
      };
      const auto& blocks = typed.network.blocks();
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const Norms norms = typed.trainer.take_norms(i);
        const double steps = static_cast<double>(std::max(norms.steps, std::int64_t{1}));
        auto& values = row(blocks[i].spec);
        values[0] = std::sqrt(norms.gradient_squares / steps);
        values[1] = std::sqrt(norms.update_squares / steps);
      }
      const std::vector<Shares> shares = typed.trainer.take_shares();
      for (std::size_t n = 0; n < shares.size(); ++n) {
        if (!shares[n].counted()) continue;
        const Node& node = typed.trainer.program().nodes[n];
        auto& values = row(shares[n].linear == -1.0 ? node.epilogue.spec : node.spec);
        values[2] = shares[n].dead;
        values[3] = shares[n].saturated;
        values[4] = shares[n].linear;
      }
      py::list found;
      for (const auto& [layer, values] : rows)
        found.append(py::make_tuple(layer, values[0], values[1], values[2], values[3], values[4]));
      return found;
    });
  }
};

}  // namespace

void register_trainer(py::module_& m) {
  using py::arg;
  py::class_<PyTrainer>(m, "Trainer")
      .def(py::init<py::object, const std::string&, const std::string&, const std::map<std::string, double>&,
                    std::uint64_t, py::handle, const std::vector<ptrdiff_t>&>(),
           arg("network"), arg("loss"), arg("optimizer"), arg("settings"), arg("seed") = 0,
           arg("precision") = py::none(), arg("frozen") = std::vector<ptrdiff_t>())
      .def("step", &PyTrainer::step, arg("x"), arg("targets"), arg("learning_rate"), arg("rows") = py::none(),
           arg("weights") = py::none())
      .def("try_step", &PyTrainer::try_step, arg("x"), arg("labels"), arg("learning_rate"))
      .def("epoch", &PyTrainer::epoch, arg("x"), arg("targets"), arg("learning_rate"), arg("rows"), arg("weights"),
           arg("batch_size"))
      .def("gradients", &PyTrainer::gradients, arg("x"), arg("targets"), arg("rows") = py::none(),
           arg("weights") = py::none())
      .def("sum_parts", &PyTrainer::sum_parts, arg("x"), arg("targets"), arg("rows"), arg("weights"), arg("ends"),
           arg("out"), arg("round") = false)
      .def("set_batch_statistics", &PyTrainer::set_batch_statistics, arg("statistics"))
      .def("normalized_units", &PyTrainer::normalized_units)
      .def("apply", &PyTrainer::apply, arg("gradients"), arg("learning_rate"))
      .def("set_l2", &PyTrainer::set_l2, arg("l2"))
      .def("sum_weight_squares", &PyTrainer::sum_weight_squares, arg("wanted"))
      .def("take_weight_squares", &PyTrainer::take_weight_squares)
      .def("measure_accuracy", &PyTrainer::measure_accuracy, arg("wanted"))
      .def("take_accuracy", &PyTrainer::take_accuracy)
      .def("state", &PyTrainer::state)
      .def_property_readonly("steps", &PyTrainer::steps)
      .def("set_state", &PyTrainer::set_state, arg("steps"), arg("states"))
      .def("take_diagnosis", &PyTrainer::take_diagnosis);
}

}  // namespace fnnfast::cpu
