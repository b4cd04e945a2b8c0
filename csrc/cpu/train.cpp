#include "train.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "threads.hpp"

namespace fnnfast {

template <class T>
Trainer<T>::Trainer(Network<T>& network, LossKind loss, const OptimizerSettings& settings, std::uint64_t seed)
    : network_(network), kernels_(network.kernels()), loss_(loss), settings_(settings), seed_(seed) {
  const auto& layers = network.layers();
  if (network.format() != WeightFormat::kFull)
    throw std::invalid_argument("a network of reduced precision is for inference: train the one it was made from");
  if (layers.back().dropout > 0.0)
    throw std::invalid_argument("a network that is trained ends with a dense or maxout layer, not with dropout");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    if (!layer.info().differentiable)
      throw std::invalid_argument(std::string(layer.info().name) + " is not differentiable");
    if (layer.info().rowwise && i + 1 < layers.size()) throw std::invalid_argument("softmax is an output layer");
    if (layer.layout.pieces > kMaxPiecesSaved)
      throw std::invalid_argument("maxout trains with at most 256 pieces, got " + std::to_string(layer.layout.pieces));
  }
  state_.resize(layers.size());
  const bool adam = settings.kind == OptimizerKind::kAdam;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    s.row = leading_dimension(layer.layout.padded_units());
    s.first = Buffer<T>(layer.layout.size());
    if (adam) s.second = Buffer<T>(layer.layout.size());
    if (i > 0) s.transposed = Buffer<T>(TransposedLayout(layer.layout).size());
    if (layer.info().learned) {
      s.alpha_first = Buffer<T>(layer.layout.padded_units());
      if (adam) s.alpha_second = Buffer<T>(layer.layout.padded_units());
      s.alpha_gradient = Buffer<T>(layer.layout.padded_units());
    }
  }
}

// Room for a batch of that many rows; what there is already is kept.
template <class T>
void Trainer<T>::reserve(const Batch<T>& batch) {
  const auto grow = [](auto& buffer, ptrdiff_t n) {
    if (buffer.size() < n) buffer = std::remove_reference_t<decltype(buffer)>(n);
  };
  const ptrdiff_t rows = batch.rows;
  const auto& layers = network_.layers();
  input_row_ = leading_dimension(network_.inputs());
  if (copies_input(batch)) grow(input_, rows * input_row_);
  if (batch.indices != nullptr && batch.targets != nullptr) grow(targets_, rows * network_.outputs());
  grow(row_loss_, rows);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    grow(s.y, rows * s.row);
    grow(s.dz, rows * s.row);
    if (gathers_columns(layer.layout)) grow(s.dz_panels, rows * layer.layout.padded_units());
    if (layer.info().saves == Saves::kInput) grow(s.z, rows * s.row);
    if (layer.dropout > 0.0) grow(s.dropped, rows * s.row);
    if (layer.layout.pieces > 1) {
      grow(s.argmax, rows * s.row);
      grow(s.order, MaxoutOrder{rows, layer.layout.units, layer.layout.pieces}.size());
    }
    if (layer.info().learned) grow(s.dalpha, divide_up(rows, kAlphaRows) * layer.layout.padded_units());
  }
}

template <class T>
UpdateStep<T> Trainer<T>::update_step(double learning_rate, bool weights) const {
  const double t = static_cast<double>(steps_ + 1);
  UpdateStep<T> u{};
  double rate = learning_rate;
  if (settings_.kind == OptimizerKind::kAdam) {
    rate /= 1.0 - std::pow(settings_.beta1, t);
    u.second_scale = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(settings_.beta2, t)));
  }
  u.learning_rate = static_cast<T>(rate);
  u.decay = static_cast<T>(weights ? 1.0 - learning_rate * settings_.weight_decay : 1.0);
  u.l2 = static_cast<T>(weights ? settings_.l2 : 0.0);
  u.momentum = static_cast<T>(settings_.momentum);
  u.nesterov = static_cast<T>(settings_.nesterov ? 1.0 : 0.0);
  u.beta1 = static_cast<T>(settings_.beta1);
  u.beta2 = static_cast<T>(settings_.beta2);
  u.one_minus_beta1 = static_cast<T>(1.0 - settings_.beta1);
  u.one_minus_beta2 = static_cast<T>(1.0 - settings_.beta2);
  u.eps = static_cast<T>(settings_.eps);
  u.least_state = std::numeric_limits<T>::min();
  u.least_gradient = static_cast<T>(std::sqrt(u.least_state / (1.0 - settings_.beta2)));
  return u;
}

// Whether the batch is copied into input_: gathered, dropped, or laid out as maxout's weight gradient wants it.
template <class T>
bool Trainer<T>::copies_input(const Batch<T>& batch) const {
  return batch.indices != nullptr || network_.input_dropout() > 0.0 || network_.layers()[0].layout.pieces > 1;
}

// What layer i multiplies: the batch, gathered or dropped where it must be, or the output of the layer before.
template <class T>
const T* Trainer<T>::input_of(std::size_t layer, const Batch<T>& batch, ptrdiff_t* row) const {
  if (layer == 0) {
    *row = copies_input(batch) ? input_row_ : network_.inputs();
    return copies_input(batch) ? input_.data() : batch.x;
  }
  const State& s = state_[layer - 1];
  *row = s.row;
  return network_.layers()[layer - 1].dropout > 0.0 ? s.dropped.data() : s.y.data();
}

// What the sum of the losses is divided by: cross-entropies are means over the batch, squared error over outputs as
// well.
template <class T>
double Trainer<T>::terms(const Batch<T>& batch) const {
  return static_cast<double>(loss_ == LossKind::kSquaredError ? batch.rows * network_.outputs() : batch.rows);
}

template <class T>
void Trainer<T>::loss_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows) {
  const State& s = state_.back();
  const ptrdiff_t outputs = network_.outputs();
  const bool categorical = loss_ == LossKind::kCategoricalCrossEntropy;
  const bool gathered = batch.indices != nullptr && !categorical;
  for (ptrdiff_t r = first; gathered && r < first + rows; ++r)
    std::copy_n(batch.targets + batch.indices[r] * outputs, outputs, targets_.data() + r * outputs);
  LossTask<T> t{};
  t.rows = rows;
  t.columns = outputs;
  t.z = s.y.data() + first * s.row;
  t.z_row = s.row;
  if (categorical)
    t.labels = batch.labels + first;
  else
    t.targets = (gathered ? targets_.data() : batch.targets) + first * outputs;
  t.targets_row = outputs;
  t.scale = static_cast<T>(1.0 / terms(batch));
  t.dz = s.dz.data() + first * s.row;
  t.dz_row = s.row;
  t.row_loss = row_loss_.data() + first;
  kernels_.loss[static_cast<int>(loss_)](t);
}

// From the gradient of the last layer's output (or of its logits) to the gradients of all pre-activations.
template <class T>
void Trainer<T>::backward_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows) {
  const auto& layers = network_.layers();
  for (std::size_t i = layers.size(); i-- > 0;) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    T* const dz = s.dz.data() + first * s.row;
    const bool from_logits = i + 1 == layers.size() && loss_ != LossKind::kSquaredError;
    if (layer.dropout > 0.0)
      kernels_.dropout({rows, layer.layout.units, first, dz, s.row, dz, s.row, layer.dropout, seed_,
                        static_cast<std::uint64_t>(steps_), static_cast<std::uint32_t>(i + 1)});
    if (layer.layout.pieces > 1) {
      const MaxoutOrder order{first + rows, layer.layout.units, layer.layout.pieces};
      for (ptrdiff_t chunk = first / kMaxoutChunk; chunk < order.chunks(); ++chunk)
        order.sort(chunk, s.argmax.data(), s.row, s.order.data());
    } else if (layer.activation != kIdentity && !from_logits) {
      ElementwiseTask<T> t{};
      t.columns = layer.layout.units;
      t.in_row = t.dy_row = t.out_row = s.row;
      t.parameter = layer.alpha.data();
      t.parameter_step = layer.parameter_step();
      const T* const saved = (layer.info().saves == Saves::kInput ? s.z : s.y).data();
      for (ptrdiff_t r = first; r < first + rows; r += t.rows) {
        t.rows = std::min(layer.info().learned ? kAlphaRows : rows, first + rows - r);
        t.in = saved + r * s.row;
        t.dy = t.out = s.dz.data() + r * s.row;
        if (layer.info().learned) {
          t.dparameter = s.dalpha.data() + r / kAlphaRows * layer.layout.padded_units();
          std::fill_n(t.dparameter, layer.layout.padded_units(), T(0));
        }
        kernels_.activation[layer.activation].backward(t);
      }
    }
    if (gathers_columns(layer.layout))
      gather_columns(layer.layout, batch.rows, s.dz.data(), s.row, first, rows, s.dz_panels.data());
    if (i == 0) return;
    State& before = state_[i - 1];
    data_gradient(kernels_, layer.layout, s.transposed.data(), rows, dz, s.row,
                  layer.layout.pieces > 1 ? s.argmax.data() + first * s.row : nullptr, s.row,
                  before.dz.data() + first * before.row, before.row);
  }
}

template <class T>
void Trainer<T>::rows_task(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t last) {
  const auto& layers = network_.layers();
  const ptrdiff_t rows = last - first;
  const ptrdiff_t inputs = network_.inputs();
  const std::uint64_t step = static_cast<std::uint64_t>(steps_);
  T* const input = input_.data() + first * input_row_;
  if (copies_input(batch))
    for (ptrdiff_t r = first; r < last; ++r)
      std::copy_n(batch.x + (batch.indices ? batch.indices[r] : r) * inputs, inputs, input_.data() + r * input_row_);
  if (network_.input_dropout() > 0.0)
    kernels_.dropout(
        {rows, inputs, first, input, input_row_, input, input_row_, network_.input_dropout(), seed_, step, 0});
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    ptrdiff_t x_row;
    const T* const x = input_of(i, batch, &x_row) + first * x_row;
    const bool activate = !(i + 1 == layers.size() && loss_ != LossKind::kSquaredError);
    T* const y = s.y.data() + first * s.row;
    T* const z = activate && layer.info().saves == Saves::kInput ? s.z.data() + first * s.row : y;
    LayerTask<T> t = network_.layer_task(layer, rows, x, x_row, z, s.row, y, s.row, activate);
    t.padded = true;
    if (i + 1 < layers.size()) network_.announce(t, layers[i + 1]);
    if (layer.layout.pieces > 1) {
      t.argmax = s.argmax.data() + first * s.row;
      t.argmax_row = s.row;
    }
    layer_forward_serial(kernels_.layer, t, 0, layer.layout.blocks());
    if (activate && layer.info().rowwise)
      activate_rows(kernels_.activation[layer.activation].forward, rows, layer.layout.units, z, s.row, y, s.row);
    if (layer.dropout > 0.0)
      kernels_.dropout({rows, layer.layout.units, first, y, s.row, s.dropped.data() + first * s.row, s.row,
                        layer.dropout, seed_, step, static_cast<std::uint32_t>(i + 1)});
  }
  loss_rows(batch, first, rows);
  backward_rows(batch, first, rows);
}

template <class T>
void Trainer<T>::update_rows(std::size_t layer, ptrdiff_t offset, ptrdiff_t n, const T* gradient,
                             const UpdateStep<T>& step) {
  State& s = state_[layer];
  T* const second = s.second.size() ? s.second.data() + offset : nullptr;
  kernels_.update[static_cast<int>(settings_.kind)](
      {n, network_.layers()[layer].panels.data() + offset, gradient, s.first.data() + offset, second, &step});
}

namespace {

// Where a finished part of a layer's gradient goes: into the update, or with no step to take, into the gradient's own
// panels.
template <class T, class Update>
struct Destination {
  T* gradient;
  Update update;
  static void take(void* context, const Panel& panel, ptrdiff_t first, ptrdiff_t count, const T* values) {
    Destination& self = *static_cast<Destination*>(context);
    const ptrdiff_t offset = panel.offset + (first + 1) * panel.width;
    if (self.gradient)
      std::copy_n(values, count * panel.width, self.gradient + offset);
    else
      self.update(panel, first, count, offset, values);
  }
};
template <class T, class Update>
Destination(T*, Update) -> Destination<T, Update>;

}  // namespace

template <class T>
void Trainer<T>::weights_task(std::size_t i, ptrdiff_t first_part, ptrdiff_t last_part, const Batch<T>& batch,
                              const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  const MaxoutOrder order{batch.rows, layer.layout.units, layer.layout.pieces};
  GradientSource<T> from{};
  from.rows = batch.rows;
  from.x = input_of(i, batch, &from.x_row);
  from.dz = s.dz.data();
  from.dz_row = s.row;
  if (gathers_columns(layer.layout)) from.dz_panels = s.dz_panels.data();
  if (layer.layout.pieces > 1) {
    from.sorted = &order;
    from.order = s.order.data();
  }
  Destination to{weights ? nullptr : s.gradient.data(),
                 [&](const Panel& panel, ptrdiff_t first, ptrdiff_t count, ptrdiff_t offset, const T* values) {
                   update_rows(i, offset, count * panel.width, values, first < 0 ? *others : *weights);
                   if (i > 0 && first >= 0)
                     transpose(layer.layout, panel, layer.panels.data(), first, first + count, s.transposed.data());
                 }};
  weight_gradient(kernels_, GradientParts(layer.layout), first_part, last_part, from, {&to, &decltype(to)::take});
}

// A learned slope's gradient: the sums of the blocks of rows, in order.
template <class T>
void Trainer<T>::alpha_task(std::size_t i, ptrdiff_t rows, const UpdateStep<T>* others) {
  Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  const ptrdiff_t units = layer.layout.padded_units();
  T* const gradient = s.alpha_gradient.data();
  std::copy_n(s.dalpha.data(), units, gradient);
  for (ptrdiff_t block = 1; block < divide_up(rows, kAlphaRows); ++block)
    for (ptrdiff_t u = 0; u < units; ++u) gradient[u] += s.dalpha[block * units + u];
  if (others)
    kernels_.update[static_cast<int>(settings_.kind)](
        {units, layer.alpha.data(), gradient, s.alpha_first.data(), s.alpha_second.data(), others});
}

template <class T>
void Trainer<T>::refresh_transposed(std::size_t i) {
  const Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  if (i == 0 || s.version == layer.version) return;
  const PanelLayout& layout = layer.layout;
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group)
      transpose(layout, layout.panel(block, group), layer.panels.data(), 0, layout.inputs, s.transposed.data());
  s.version = layer.version;
}

template <class T>
double Trainer<T>::run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  reserve(batch);
  auto& layers = network_.layers();
  bool maxout = false, learned = false;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    refresh_transposed(i);
    maxout = maxout || layers[i].layout.pieces > 1;
    learned = learned || layers[i].info().learned;
  }
  // A step hands weights and activations from thread to thread, a line at a time: it wants more work than a forward
  // pass before that pays on cores that share no cache.
  constexpr double kExchange = 0.25;
  const ptrdiff_t threads = worth_threads(batch.rows, network_.work() * 3 * kExchange) ? num_threads() : 1;
  // Blocks of rows: equal, up to four a thread, and not small, since each block reads all weights twice. What is summed
  // or sorted together stays together.
  constexpr ptrdiff_t kLeastRows = 24, kMostRows = 256, kBlocksEach = 4;
  const ptrdiff_t multiple = maxout ? kMaxoutChunk : learned ? kAlphaRows : 1;
  const ptrdiff_t each = std::max({ptrdiff_t{1}, std::min(kBlocksEach, batch.rows / (threads * kLeastRows)),
                                   divide_up(batch.rows, threads * kMostRows)});
  const ptrdiff_t rows_each = divide_up(divide_up(batch.rows, threads * each), multiple) * multiple;
  const auto rows = [&](ptrdiff_t block) {
    rows_task(batch, block * rows_each, std::min(batch.rows, (block + 1) * rows_each));
  };
  const ptrdiff_t row_blocks = divide_up(batch.rows, rows_each);
  if (threads == 1)
    for (ptrdiff_t block = 0; block < row_blocks; ++block) rows(block);
  else
    parallel_for(row_blocks, rows);

  // Tasks [first, last) of all layers', one after the other: a layer's parts, then its slopes.
  ptrdiff_t tasks = 0;
  for (const Layer<T>& layer : layers) tasks += GradientParts(layer.layout).count() + (layer.info().learned ? 1 : 0);
  const auto weight_tasks = [&](ptrdiff_t first, ptrdiff_t last) {
    for (std::size_t i = 0; i < layers.size() && last > 0; ++i) {
      const ptrdiff_t parts = GradientParts(layers[i].layout).count();
      if (first < parts) weights_task(i, std::max(first, ptrdiff_t{0}), std::min(last, parts), batch, weights, others);
      first -= parts;
      last -= parts;
      if (!layers[i].info().learned) continue;
      if (first <= 0 && last > 0) alpha_task(i, batch.rows, others);
      --first;
      --last;
    }
  };
  // Few enough groups of neighbouring parts that each goes to the same thread in every step (threads.hpp): weights and
  // states then stay in that core's cache instead of moving between cores, which costs as much as the arithmetic.
  constexpr ptrdiff_t kGroups = 48;
  const ptrdiff_t group = divide_up(tasks, kGroups);
  if (threads == 1)
    weight_tasks(0, tasks);
  else
    parallel_for(divide_up(tasks, group),
                 [&](ptrdiff_t i) { weight_tasks(i * group, std::min(tasks, (i + 1) * group)); });

  double sum = 0.0;
  for (ptrdiff_t r = 0; r < batch.rows; ++r) sum += row_loss_[r];
  return sum / terms(batch);
}

template <class T>
double Trainer<T>::step(const Batch<T>& batch, double learning_rate) {
  const UpdateStep<T> weights = update_step(learning_rate, true);
  const UpdateStep<T> others = update_step(learning_rate, false);
  const double loss = run(batch, &weights, &others);
  ++steps_;
  // The transposed weights were kept in step by the update itself.
  for (std::size_t i = 0; i < state_.size(); ++i) state_[i].version = ++network_.layers()[i].version;
  return loss;
}

template <class T>
void Trainer<T>::reserve_gradients() {
  for (std::size_t i = 0; i < state_.size(); ++i)
    if (state_[i].gradient.size() == 0) state_[i].gradient = Buffer<T>(network_.layers()[i].layout.size());
}

template <class T>
double Trainer<T>::gradients(const Batch<T>& batch) {
  reserve_gradients();
  return run(batch, nullptr, nullptr);
}

template <class T>
void Trainer<T>::apply(double learning_rate) {
  const UpdateStep<T> weights = update_step(learning_rate, true);
  const UpdateStep<T> others = update_step(learning_rate, false);
  for (std::size_t i = 0; i < state_.size(); ++i) {
    Layer<T>& layer = network_.layers()[i];
    State& s = state_[i];
    const PanelLayout& layout = layer.layout;
    for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(block, group);
        update_rows(i, panel.offset, panel.width, s.gradient.data() + panel.offset, others);
        const ptrdiff_t offset = panel.offset + panel.width;
        update_rows(i, offset, layout.inputs * panel.width, s.gradient.data() + offset, weights);
      }
    if (layer.info().learned)
      kernels_.update[static_cast<int>(settings_.kind)]({layout.padded_units(), layer.alpha.data(),
                                                         s.alpha_gradient.data(), s.alpha_first.data(),
                                                         s.alpha_second.data(), &others});
    ++layer.version;
  }
  ++steps_;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast
