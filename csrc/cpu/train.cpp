#include "train.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "threads.hpp"

namespace fnnfast {

template <class T>
Trainer<T>::Trainer(Network<T>& network, Loss<T> loss, const OptimizerSettings& settings, std::uint64_t seed,
                    std::vector<bool> frozen)
    : network_(network), kernels_(network.kernels()), loss_(std::move(loss)), settings_(settings), seed_(seed) {
  check();
  const auto& layers = network.layers();
  state_.resize(layers.size());
  const int states = settings.kind == OptimizerKind::kAdam ? Adam::kStates : Sgd::kStates;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    s.row = leading_dimension(layer.layout.padded_units());
    s.frozen = i < frozen.size() && frozen[i];
    s.squares = Buffer<T>(2 * kernels_.lanes * GradientParts(layer.layout).count());
    for (int which = 0; which < states; ++which) {
      s.optimizer.panels[which] = Buffer<T>(layer.layout.size());
      if (layer.info().learned) s.optimizer.alpha[which] = Buffer<T>(layer.layout.padded_units());
    }
    if (layer.from != kNetworkInput) s.transposed = Buffer<T>(TransposedLayout(layer.layout).size());
    if (layer.info().learned) s.alpha_gradient = Buffer<T>(layer.layout.padded_units());
    // Outputs that a skip connection reads beside the next layer: by way of its projection, or as they are.
    const ptrdiff_t skipped = layer.projection ? layer.from : layer.add;
    if (skipped >= 0 && !layers[static_cast<std::size_t>(skipped)].projection)
      state_[static_cast<std::size_t>(skipped)].skips = true;
  }
  while (first_trained_ < layers.size() && state_[first_trained_].frozen) ++first_trained_;
}

template <class T>
void Trainer<T>::check() const {
  if (network_.format() != WeightFormat::kFull)
    throw std::invalid_argument("a network of reduced precision is for inference: train the one it was made from");
  check_trainable(network_.graph());
  loss_.check(network_.outputs());
}

// Room for a batch of that many rows; what there is already is kept.
template <class T>
void Trainer<T>::reserve(const Batch<T>& batch, ptrdiff_t row_blocks) {
  const auto grow = [](auto& buffer, ptrdiff_t n) {
    if (buffer.size() < n) buffer = std::remove_reference_t<decltype(buffer)>(n);
  };
  const ptrdiff_t rows = batch.rows;
  const auto& layers = network_.layers();
  input_row_ = leading_dimension(network_.inputs());
  if (copies_input(batch)) grow(input_, rows * input_row_);
  if (batch.indices != nullptr && batch.targets != nullptr) grow(targets_, rows * loss_.targets(network_.outputs()));
  grow(row_loss_, rows);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    const ptrdiff_t units = layer.layout.padded_units();
    State& s = state_[i];
    grow(s.y, rows * s.row);
    grow(s.dz, rows * s.row);
    if (s.skips) grow(s.skip, rows * s.row);
    if (gathers_columns(layer.layout)) grow(s.dz_panels, rows * units);
    if (layer.saves_apart()) grow(s.saved, rows * s.row);
    if (!layer.perturbations.empty()) grow(s.perturbed, rows * s.row);
    if (layer.layout.pieces > 1) {
      grow(s.argmax, rows * s.row);
      const MaxoutOrder order{rows, layer.layout.units, layer.layout.pieces};
      grow(s.order, order.size());
      grow(s.sorted_dz, order.gradients());
    }
    if (layer.info().learned) grow(s.dalpha, divide_up(rows, kAlphaRows) * units);
    if (layer.info().watch != Watch::kNothing && s.watch.size() < row_blocks * units) {
      Buffer<T> more(row_blocks * units);
      std::copy_n(s.watch.data(), s.watch.size(), more.data());
      s.watch = std::move(more);
      grow(s.watched, units);
    }
  }
}

// Whether the batch is copied into input_: gathered, perturbed, or without the rows of weight 0.
template <class T>
bool Trainer<T>::copies_input(const Batch<T>& batch) const {
  return batch.indices != nullptr || batch.weights != nullptr || !network_.input_perturbations().empty();
}

// What layer i multiplies: the batch, gathered or perturbed where it must be, or the outputs of the layer it reads.
template <class T>
const T* Trainer<T>::outputs_of(ptrdiff_t layer, const Batch<T>& batch, ptrdiff_t* row) const {
  if (layer == kNetworkInput) {
    *row = copies_input(batch) ? input_row_ : network_.inputs();
    return copies_input(batch) ? input_.data() : batch.x;
  }
  const State& s = state_[static_cast<std::size_t>(layer)];
  *row = s.row;
  return network_.layers()[static_cast<std::size_t>(layer)].perturbations.empty() ? s.y.data() : s.perturbed.data();
}

template <class T>
double Trainer<T>::run(const Batch<T>& batch, const UpdateStep<T>* weights, const UpdateStep<T>* others) {
  auto& layers = network_.layers();
  bool maxout = false, learned = false;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    refresh_transposed(i);
    maxout = maxout || layers[i].layout.pieces > 1;
    learned = learned || layers[i].info().learned;
  }
  batch_weight_ = total_weight(batch.rows, batch.weights);
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
  const ptrdiff_t row_blocks = divide_up(batch.rows, rows_each);
  reserve(batch, row_blocks);
  const auto rows = [&](ptrdiff_t block) {
    rows_task(batch, block, block * rows_each, std::min(batch.rows, (block + 1) * rows_each));
  };
  if (threads == 1)
    for (ptrdiff_t block = 0; block < row_blocks; ++block) rows(block);
  else
    parallel_for(row_blocks, rows);

  // Tasks [first, last) of all layers', one after the other: a layer's parts, then its slopes.
  const auto tasks_of = [&](std::size_t i) {
    return state_[i].frozen ? 0 : GradientParts(layers[i].layout).count() + (layers[i].info().learned ? 1 : 0);
  };
  ptrdiff_t tasks = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) tasks += tasks_of(i);
  const auto weight_tasks = [&](ptrdiff_t first, ptrdiff_t last) {
    for (std::size_t i = 0; i < layers.size() && last > 0; ++i) {
      if (state_[i].frozen) continue;
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
  const ptrdiff_t group = std::max(ptrdiff_t{1}, divide_up(tasks, kGroups));
  if (threads == 1)
    weight_tasks(0, tasks);
  else
    parallel_for(divide_up(tasks, group),
                 [&](ptrdiff_t i) { weight_tasks(i * group, std::min(tasks, (i + 1) * group)); });
  return loss_.mean(batch.rows, row_loss_.data(), batch_weight_, network_.outputs());
}

template <class T>
double Trainer<T>::step(const Batch<T>& batch, double learning_rate) {
  watching_ = true;
  double loss;
  if (settings_.clip_norm > 0.0) {
    loss = gradients(batch);
    apply(learning_rate);
  } else {
    const UpdateStep<T> weights = update_step(learning_rate, true, 1.0);
    const UpdateStep<T> others = update_step(learning_rate, false, 1.0);
    loss = run(batch, &weights, &others);
    ++steps_;
    // The transposed weights were kept in step by the update itself.
    for (std::size_t i = 0; i < state_.size(); ++i)
      if (!state_[i].frozen) state_[i].version = ++network_.layers()[i].version;
    count_update();
  }
  watching_ = false;
  constexpr std::int64_t kFoldRows = std::int64_t{1} << 22;  // a float counts to 2^24
  for (std::size_t i = 0; i < state_.size(); ++i) {
    LayerDiagnosis& d = state_[i].diagnosis;
    const std::int64_t before = d.rows;
    d.rows += batch.rows;
    if (before / kFoldRows != d.rows / kFoldRows) fold_watch(i);
  }
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
  for (State& s : state_)
    if (s.frozen) {
      std::fill_n(s.gradient.data(), s.gradient.size(), T(0));
      std::fill_n(s.alpha_gradient.data(), s.alpha_gradient.size(), T(0));
    }
  return run(batch, nullptr, nullptr);
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast
