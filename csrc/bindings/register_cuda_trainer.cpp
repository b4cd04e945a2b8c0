#include "register_cuda_trainer.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "../cuda/train.hpp"
#include "cuda_network_object.hpp"
#include "names.hpp"
#include "optimizer_settings.hpp"

namespace fnnfast::cuda {

namespace {

// The Python class Trainer. Its arrays are allocated by Python and passed to each call.
class PyTrainer {
  template <class T>
  struct Typed {
    const Network<T>& network;
    Trainer<T> trainer;
    Typed(const Network<T>& n, Trainer<T> t) : network(n), trainer(std::move(t)) {}
  };

  template <class F>
  auto visit(F&& f) const {
    return std::visit([&](const auto& typed) { return f(*typed); }, trainer_);
  }

 public:
  PyTrainer(const PyNetwork& network, const std::string& loss, const std::string& optimizer,
            const std::map<std::string, double>& settings, std::uint64_t seed, const std::vector<double>& precision,
            const std::vector<ptrdiff_t>& frozen) {
    network.visit([&]<class T>(const Network<T>& n) {
      using S = typename Network<T>::S;
      std::vector<bool> blocks(n.program().blocks.size());
      for (const ptrdiff_t spec : frozen)
        if (const BlockId block = n.program().find(spec); block != kNone)
          blocks[static_cast<std::size_t>(block)] = true;
      Loss<S> of{loss_kind(loss), std::vector<S>(precision.begin(), precision.end())};
      trainer_ = std::make_unique<Typed<T>>(
          n, Trainer<T>(n, std::move(of), optimizer_settings(optimizer, settings), seed, std::move(blocks)));
    });
  }

  int states() const {
    return visit([](const auto& typed) { return typed.trainer.states(); });
  }
  std::size_t state_bytes() const {
    return visit([]<class T>(const Typed<T>&) { return sizeof(StepState<Sum<T>>); });
  }
  std::size_t workspace_bytes(std::int64_t rows, bool indices, bool sample_weights) const {
    return visit([&](const auto& typed) { return typed.trainer.workspace_bytes(rows, indices, sample_weights); });
  }
  void set_rates(const py::dict& arrays, double learning_rate, double l2, std::uintptr_t stream) {
    visit([&]<class T>(Typed<T>& typed) {
      typed.trainer.set_rates(memory_of(typed, arrays, static_cast<const Batch<T>*>(nullptr)), learning_rate, l2,
                              stream_of(stream));
    });
  }

  std::size_t tally_bytes() const {
    return visit([](const auto& typed) { return typed.trainer.tally_bytes(); });
  }
  bool classifies() const {
    return visit([](const auto& typed) { return typed.trainer.loss().info().classifies; });
  }

  void step(const py::dict& arrays, py::handle x, py::handle targets, py::handle indices, py::handle sample_weights,
            std::optional<double> learning_rate, py::handle loss, py::handle accuracy, bool follows,
            std::uintptr_t stream) {
    visit([&]<class T>(Typed<T>& typed) {
      const auto batch = batch_of(typed, x, targets, indices, sample_weights);
      typed.trainer.step(memory_of(typed, arrays, &batch), batch, learning_rate, view<Sum<T>>(loss, "loss", {1}),
                         view_or_null<double>(accuracy, "accuracy", {1}), follows, stream_of(stream));
    });
  }

  // Steps over the rows `indices` of x, batch_size in each. sample_weights are those of these rows; losses, accuracies:
  // one per step. Steps that follow one whose loss is NaN are not taken.
  void epoch(const py::dict& arrays, py::handle x, py::handle targets, py::handle indices, py::handle sample_weights,
             double learning_rate, std::int64_t batch_size, py::handle losses, py::handle accuracies,
             std::uintptr_t stream) {
    if (batch_size < 1) throw py::value_error("batch_size must be at least 1, got " + std::to_string(batch_size));
    visit([&]<class T>(Typed<T>& typed) {
      const Batch<T> all = batch_of(typed, x, targets, indices, sample_weights);
      if (all.indices == nullptr) throw py::type_error("rows must be a device array");
      const std::int64_t steps = (all.rows + batch_size - 1) / batch_size;
      Sum<T>* const loss = view<Sum<T>>(losses, "losses", {steps});
      double* const accuracy = view_or_null<double>(accuracies, "accuracies", {steps});
      Batch<T> batch = all, last = all;
      batch.rows = std::min(batch_size, all.rows);
      last.rows = all.rows - (steps - 1) * batch_size;
      memory_of(typed, arrays, &last);  // may need more than one with more rows
      const auto memory = memory_of(typed, arrays, &batch);
      const py::dict kept = arrays.attr("copy")();  // what another thread may replace
      const py::gil_scoped_release unlocked;        // a launch waits when many are queued
      for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t first = step * batch_size;
        batch.rows = std::min(batch_size, all.rows - first);
        batch.indices = all.indices + first;
        if (all.sample_weights != nullptr) batch.sample_weights = all.sample_weights + first;
        typed.trainer.step(memory, batch, learning_rate, loss + step, accuracy == nullptr ? nullptr : accuracy + step,
                           step > 0, stream_of(stream));
      }
    });
  }

  // As _cpu.Trainer's take_diagnosis(), of a tally that was copied to the host.
  py::list statistics(const py::array_t<std::uint8_t, py::array::c_style>& tally) const {
    return visit([&](const auto& typed) {
      if (tally.ndim() != 1 || static_cast<std::size_t>(tally.size()) != typed.trainer.tally_bytes())
        throw py::value_error("tally must have " + std::to_string(typed.trainer.tally_bytes()) + " bytes, got " +
                              std::to_string(tally.size()));
      std::vector<std::uint64_t> aligned((static_cast<std::size_t>(tally.size()) + 7) / 8);
      char* const copy = reinterpret_cast<char*>(aligned.data());
      std::memcpy(copy, tally.data(), static_cast<std::size_t>(tally.size()));
      py::list found;
      for (const auto& [layer, values] : typed.trainer.statistics(copy))
        found.append(py::make_tuple(layer, values[0], values[1], values[2], values[3], values[4]));
      return found;
    });
  }

  void gradients(const py::dict& arrays, py::handle x, py::handle targets, py::handle indices,
                 py::handle sample_weights, py::handle loss, std::uintptr_t stream) {
    visit([&]<class T>(Typed<T>& typed) {
      const auto batch = batch_of(typed, x, targets, indices, sample_weights);
      typed.trainer.gradients(memory_of(typed, arrays, &batch), batch, view<Sum<T>>(loss, "loss", {1}),
                              stream_of(stream));
    });
  }

  void apply(const py::dict& arrays, std::optional<double> learning_rate, std::uintptr_t stream) {
    visit([&]<class T>(Typed<T>& typed) {
      typed.trainer.apply(memory_of(typed, arrays, static_cast<const Batch<T>*>(nullptr)), learning_rate,
                          stream_of(stream));
    });
  }

 private:
  template <class T>
  static Batch<T> batch_of(const Typed<T>& typed, py::handle x, py::handle targets, py::handle indices,
                           py::handle sample_weights) {
    using S = Sum<T>;
    const Loss<S>& loss = typed.trainer.loss();
    Batch<T> batch{};
    batch.x = view<Stored<T>>(x, "x", {kAny, typed.network.inputs()});
    const std::int64_t available = dimension(x, 0);
    batch.rows = available;
    if (!indices.is_none()) {
      batch.rows = dimension(indices, 0);
      batch.indices = view<std::int64_t>(indices, "rows", {batch.rows});
    }
    if (batch.rows < 1) throw py::value_error("a training step needs at least one row");
    if (loss.info().labels)
      batch.labels = view<std::int64_t>(targets, "targets", {available});
    else
      batch.targets = view<S>(targets, "targets", {available, loss.targets(typed.network.outputs())});
    batch.sample_weights = view_or_null<S>(sample_weights, "weights", {batch.rows});
    return batch;
  }

  // arrays: full, products, first, second, state, gradient, precision, workspace, tally; unused ones may be None.
  template <class T>
  static typename Trainer<T>::Memory memory_of(const Typed<T>& typed, const py::dict& arrays, const Batch<T>* batch) {
    using S = Sum<T>;
    const std::int64_t size = typed.network.parameters();
    const std::int64_t state_bytes = sizeof(StepState<S>);
    typename Trainer<T>::Memory memory{};
    memory.parameters = parameters_of(typed.network, arrays["full"], arrays["products"]);
    memory.states[0] = view<S>(arrays["first"], "first", {size});
    if (typed.trainer.states() > 1) memory.states[1] = view<S>(arrays["second"], "second", {size});
    memory.state = reinterpret_cast<StepState<S>*>(view<std::uint8_t>(arrays["state"], "state", {state_bytes}));
    memory.gradient = view<S>(arrays["gradient"], "gradient", {size});
    const Loss<S>& loss = typed.trainer.loss();
    if (!loss.precision.empty())
      memory.precision = view<S>(arrays["precision"], "precision", {static_cast<std::int64_t>(loss.precision.size())});
    const std::size_t needed =
        batch ? typed.trainer.workspace_bytes(batch->rows, batch->indices != nullptr, batch->sample_weights != nullptr)
              : kSquaresBlocks * sizeof(double);
    memory.workspace = reinterpret_cast<char*>(view<std::uint8_t>(arrays["workspace"], "workspace", {kAny}));
    if (static_cast<std::size_t>(dimension(arrays["workspace"], 0)) < needed)
      throw py::value_error("workspace must have at least " + std::to_string(needed) + " bytes, got " +
                            std::to_string(dimension(arrays["workspace"], 0)));
    const auto tally_bytes = static_cast<std::int64_t>(typed.trainer.tally_bytes());
    memory.tally = reinterpret_cast<char*>(view_or_null<std::uint8_t>(arrays["tally"], "tally", {tally_bytes}));
    return memory;
  }

  template <class T>
  using Owned = std::unique_ptr<Typed<T>>;
  variant_over<Dtypes, Owned> trainer_;
};

}  // namespace

void register_cuda_trainer(py::module_& m) {
  using py::arg;
  py::class_<PyTrainer>(m, "Trainer")
      .def(py::init<const PyNetwork&, const std::string&, const std::string&, const std::map<std::string, double>&,
                    std::uint64_t, const std::vector<double>&, const std::vector<ptrdiff_t>&>(),
           arg("network"), arg("loss"), arg("optimizer"), arg("settings"), arg("seed"), arg("precision"), arg("frozen"),
           py::keep_alive<1, 2>())
      .def_property_readonly("states", &PyTrainer::states)
      .def_property_readonly("state_bytes", &PyTrainer::state_bytes)
      .def("workspace_bytes", &PyTrainer::workspace_bytes, arg("rows"), arg("indices"), arg("weights"))
      .def_property_readonly("tally_bytes", &PyTrainer::tally_bytes)
      .def_property_readonly("classifies", &PyTrainer::classifies)
      .def("statistics", &PyTrainer::statistics, arg("tally"))
      .def("set_rates", &PyTrainer::set_rates, arg("arrays"), arg("learning_rate"), arg("l2"), arg("stream"))
      .def("step", &PyTrainer::step, arg("arrays"), arg("x"), arg("targets"), arg("rows"), arg("weights"),
           arg("learning_rate"), arg("loss"), arg("accuracy"), arg("follows"), arg("stream"))
      .def("epoch", &PyTrainer::epoch, arg("arrays"), arg("x"), arg("targets"), arg("rows"), arg("weights"),
           arg("learning_rate"), arg("batch_size"), arg("losses"), arg("accuracies"), arg("stream"))
      .def("gradients", &PyTrainer::gradients, arg("arrays"), arg("x"), arg("targets"), arg("rows"), arg("weights"),
           arg("loss"), arg("stream"))
      .def("apply", &PyTrainer::apply, arg("arrays"), arg("learning_rate"), arg("stream"));
}

}  // namespace fnnfast::cuda
