#include "train.hpp"

#include <stdexcept>
#include <utility>

#include "elementwise.hpp"
#include "launch.hpp"
#include "rows.hpp"
#include "softmax.hpp"

namespace fnnfast {

template <class T>
DeviceTrainer<T>::DeviceTrainer(const DeviceNetwork<T>& network, Loss<S> loss, const OptimizerSettings& settings,
                                std::uint64_t seed, std::vector<bool> frozen)
    : network_(network),
      loss_(std::move(loss)),
      settings_(settings),
      seed_(seed),
      frozen_(std::move(frozen)),
      skips_(network.graph().layers.size()) {
  const auto& layers = network_.graph().layers;
  check_trainable(network_.graph());
  loss_.check(network_.outputs());
  frozen_.resize(layers.size());
  // Outputs that a skip connection reads beside the next layer: by way of its projection, or as they are.
  for (const LayerNode& layer : layers) {
    const ptrdiff_t skipped = layer.projection ? layer.from : layer.add;
    if (skipped >= 0 && !layers[static_cast<std::size_t>(skipped)].projection)
      skips_[static_cast<std::size_t>(skipped)] = true;
  }
  while (first_trained_ < layers.size() && frozen_[first_trained_]) ++first_trained_;
}

// Whether the loss reads that layer before its activation.
template <class T>
bool DeviceTrainer<T>::takes_logits(std::size_t i) const {
  return i + 1 == network_.graph().layers.size() && loss_.info().from_logits;
}

// Whether the product that makes the gradient of a layer's outputs can make that of its pre-activations as well, since
// nothing else adds to it or reads it in between.
template <class T>
bool DeviceTrainer<T>::differentiates_in_product(std::size_t i) const {
  const LayerNode& layer = network_.graph().layers[i];
  return !skips_[i] && layer.add == kNoLayer && layer.perturbations.empty() && layer.pieces == 1 &&
         !layer.info().learned && !layer.info().rowwise && layer.info().saves != Saves::kNothing;
}

// Whether the batch is copied: gathered, perturbed, or without the rows of weight 0.
template <class T>
bool DeviceTrainer<T>::copies_input(bool indices, bool weights) const {
  return indices || weights || !network_.graph().input_perturbations.empty();
}

template <class T>
typename DeviceTrainer<T>::Room DeviceTrainer<T>::arrange(Arena& arena, std::int64_t rows, bool indices,
                                                          bool weights) const {
  const auto& layers = network_.graph().layers;
  Room room;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerNode& layer = layers[i];
    const ParameterPlace& place = network_.place(i);
    const std::int64_t row = padded_row<E>(layer.units);
    Kept k;
    k.y = arena.matrix<E>(rows, row);
    k.dz = arena.matrix<E>(rows, row);
    if (layer.saves_apart()) k.saved = arena.matrix<E>(rows, row);
    if (!layer.perturbations.empty()) k.perturbed = arena.matrix<E>(rows, row);
    if (skips_[i]) k.skip = arena.matrix<E>(rows, row);
    if (layer.pieces > 1) k.winners = arena.matrix<std::uint8_t>(rows, padded_row<std::uint8_t>(layer.units));
    k.slices = weight_gradient_slices<T>(rows, layer.inputs, layer.units, static_cast<int>(layer.pieces));
    k.partial = arena.take<S>(k.slices.count * (place.end - place.weight));
    room.layers.push_back(k);
  }
  if (copies_input(indices, weights)) room.input = arena.matrix<E>(rows, padded_row<E>(network_.inputs()));
  if constexpr (DeviceNetwork<T>::kMixed) {
    room.outputs = arena.matrix<S>(rows, network_.outputs());
    room.doutputs = arena.matrix<S>(rows, network_.outputs());
    if (layers.back().info().rowwise && !loss_.info().from_logits)
      room.wide = arena.take<S>(3 * rows * network_.outputs());
  }
  const std::int64_t targets = loss_.targets(network_.outputs());
  if (indices) room.targets = arena.matrix<S>(rows, targets);
  if (indices) room.labels = arena.take<std::int64_t>(rows);
  room.row_loss = arena.take<double>(rows);
  room.squares = arena.take<double>(kSquaresBlocks);
  return room;
}

template <class T>
std::size_t DeviceTrainer<T>::workspace_bytes(std::int64_t rows, bool indices, bool weights) const {
  Arena arena(nullptr);
  arrange(arena, rows, indices, weights);
  return arena.used();
}

template <class T>
Matrix<const Stored<T>> DeviceTrainer<T>::outputs_of(ptrdiff_t layer, const Room& room,
                                                     const DeviceBatch<T>& batch) const {
  if (layer == kNetworkInput) {
    if (room.input.data != nullptr) return room.input;
    return {batch.x, network_.inputs()};
  }
  const Kept& k = room.layers[static_cast<std::size_t>(layer)];
  return k.perturbed.data != nullptr ? k.perturbed : k.y;
}

// Dropout and noise, one after the other; `to` may be `from`.
template <class T>
void DeviceTrainer<T>::perturb_all(const std::vector<Perturbation>& all, const Memory& memory, std::int64_t rows,
                                   std::int64_t columns, Matrix<const E> from, Matrix<E> to,
                                   cudaStream_t stream) const {
  for (const Perturbation& p : all) {
    perturb<E>(p, seed_, &memory.state->steps, rows, columns, from, to, stream);
    from = to;
  }
}

template <class T>
void DeviceTrainer<T>::forward(const Memory& memory, const Room& room, const DeviceBatch<T>& batch,
                               cudaStream_t stream) const {
  const auto& layers = network_.graph().layers;
  const std::int64_t rows = batch.rows;
  if (room.input.data != nullptr) {
    gather_rows<E, S>(rows, network_.inputs(), {batch.x, network_.inputs()}, batch.indices, batch.weights, room.input,
                      stream);
    perturb_all(network_.graph().input_perturbations, memory, rows, network_.inputs(), room.input, room.input, stream);
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerNode& layer = layers[i];
    const Kept& k = room.layers[i];
    const bool last = i + 1 == layers.size();
    ForwardTask<T> t = network_.layer_task(i, memory.parameters, rows);
    t.x = outputs_of(layer.from, room, batch);
    t.activation = takes_logits(i) ? kIdentity : layer.activation;
    const bool saves_input = kActivationInfo[t.activation].saves == Saves::kInput;
    const bool saves_output = kActivationInfo[t.activation].saves == Saves::kOutput;
    const bool softmax = kActivationInfo[t.activation].rowwise;
    if (softmax && layer.units > kFusedSoftmax<T>) t.activation = kIdentity;
    if (saves_input) t.z = k.saved;
    if (layer.add != kNoLayer) {
      if (saves_output) t.y = k.saved;
      t.add = outputs_of(layer.add, room, batch);
      t.sum = k.y;
    } else {
      t.y = k.y;
    }
    t.winners = k.winners;
    if constexpr (DeviceNetwork<T>::kMixed)
      if (last) t.y_sum = room.outputs;
    forward_product(t, stream);
    if (softmax && layer.units > kFusedSoftmax<T>) {
      if constexpr (DeviceNetwork<T>::kMixed)
        softmax_of_sums<T>(rows, layer.units, room.outputs, room.outputs, k.y, stream);
      else
        softmax_of_sums<T>(rows, layer.units, k.y, k.y, k.y, stream);
    }
    if (k.perturbed.data != nullptr)
      perturb_all(layer.perturbations, memory, rows, layer.units, k.y, k.perturbed, stream);
  }
}

template <class T>
void DeviceTrainer<T>::loss(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, S* loss,
                            cudaStream_t stream) const {
  const Kept& k = room.layers.back();
  const std::int64_t rows = batch.rows, outputs = network_.outputs(), targets = loss_.targets(outputs);
  const double each = loss_.terms(1.0, outputs);
  const double weight = static_cast<double>(rows);
  LossTask<S> t{};
  t.rows = rows;
  t.columns = outputs;
  if constexpr (DeviceNetwork<T>::kMixed) {
    t.z = room.outputs.data;
    t.z_row = room.outputs.stride;
    t.dz = room.doutputs.data;
    t.dz_row = room.doutputs.stride;
  } else {
    t.z = k.y.data;
    t.z_row = k.y.stride;
    t.dz = k.dz.data;
    t.dz_row = k.dz.stride;
  }
  t.targets = batch.targets;
  t.targets_row = targets;
  t.labels = batch.labels;
  if (batch.indices != nullptr && batch.targets != nullptr) {
    gather_rows<S, S>(rows, targets, {batch.targets, targets}, batch.indices, nullptr, room.targets, stream);
    t.targets = room.targets.data;
  }
  if (batch.indices != nullptr && batch.labels != nullptr) {
    gather_rows<std::int64_t, S>(rows, 1, {batch.labels, 1}, batch.indices, nullptr, {room.labels, 1}, stream);
    t.labels = room.labels;
  }
  t.precision = memory.precision;
  t.weights = batch.weights;
  t.scale = static_cast<S>(1.0 / (weight * each));
  t.row_loss = room.row_loss;
  const bool weighs = batch.weights != nullptr;
  if (weighs) weigh_rows(rows, batch.weights, each, &memory.state->weight, &memory.state->scale, stream);
  loss_rows(loss_.kind, t, weighs ? &memory.state->scale : nullptr, stream);
  mean_loss(rows, room.row_loss, weight, weighs ? &memory.state->weight : nullptr, each, loss_.constant(outputs), loss,
            stream);
  if constexpr (DeviceNetwork<T>::kMixed)
    convert_rows(rows, outputs, room.doutputs.data, room.doutputs.stride, k.dz.data, k.dz.stride, stream);
}

// From the gradient of a layer's outputs to that of its pre-activations, in place.
template <class T>
void DeviceTrainer<T>::activation_gradient_of(std::size_t i, const Memory& memory, const Room& room, std::int64_t rows,
                                              cudaStream_t stream) const {
  const LayerNode& layer = network_.graph().layers[i];
  const Kept& k = room.layers[i];
  const Matrix<const E> saved = layer.saves_apart() ? k.saved : k.y;
  const ForwardTask<T> of = network_.layer_task(i, memory.parameters, rows);
  const ParameterPlace& place = network_.place(i);
  if (!layer.info().rowwise) {
    activation_gradient<E>({rows, layer.units, k.dz, saved, k.dz, layer.activation, of.parameter, of.parameter_step,
                            layer.info().learned ? k.partial + (place.alpha - place.weight) : nullptr},
                           stream);
    return;
  }
  softmax_gradient<E>(rows, layer.units, saved, k.dz, k.dz, room.wide, stream);
}

template <class T>
void DeviceTrainer<T>::weight_gradient(std::size_t i, const Room& room, const DeviceBatch<T>& batch,
                                       cudaStream_t stream) const {
  const LayerNode& layer = network_.graph().layers[i];
  const Kept& k = room.layers[i];
  const ParameterPlace& place = network_.place(i);
  WeightGradientTask<T> w{};
  w.rows = batch.rows;
  w.inputs = layer.inputs;
  w.outputs = layer.units;
  w.pieces = static_cast<int>(layer.pieces);
  w.x = outputs_of(layer.from, room, batch);
  w.dz = k.dz;
  w.winners = k.winners;
  w.slices = k.slices.count;
  w.slice_rows = k.slices.rows;
  w.weight = {k.partial, place.row};
  w.weight_piece = layer.inputs * place.row;
  w.bias = k.partial + (place.bias - place.weight);
  w.bias_piece = place.row;
  w.slice = place.end - place.weight;
  weight_gradient_product(w, stream);
}

// From the gradient of the last layer's output (or of its logits) to the gradients of all pre-activations and of all
// parameters. A layer's dz holds the gradient of its outputs when its turn comes, but for what a skip connection
// brings; or that of its pre-activations, where the product could make it.
template <class T>
void DeviceTrainer<T>::backward(const Memory& memory, const Room& room, const DeviceBatch<T>& batch,
                                cudaStream_t stream) const {
  const auto& layers = network_.graph().layers;
  const std::int64_t rows = batch.rows;
  for (std::size_t i = layers.size(); i-- > first_trained_;) {
    const LayerNode& layer = layers[i];
    const Kept& k = room.layers[i];
    if (skips_[i]) add_rows<E>(rows, layer.units, k.skip, k.dz, stream);
    for (std::size_t p = layer.perturbations.size(); p-- > 0;)
      if (const Perturbation& dropout = layer.perturbations[p]; !dropout.noise)
        perturb<E>(dropout, seed_, &memory.state->steps, rows, layer.units, k.dz, k.dz, stream);
    if (layer.add >= 0) {
      const Kept& added = room.layers[static_cast<std::size_t>(layer.add)];
      const Matrix<E> to = layers[static_cast<std::size_t>(layer.add)].projection ? added.dz : added.skip;
      convert_rows(rows, layer.units, static_cast<const E*>(k.dz.data), k.dz.stride, to.data, to.stride, stream);
    }
    const bool last = i + 1 == layers.size();
    if (layer.pieces == 1 && layer.activation != kIdentity && !takes_logits(i) &&
        (last || !differentiates_in_product(i)))
      activation_gradient_of(i, memory, room, rows, stream);
    if (layer.from >= static_cast<ptrdiff_t>(first_trained_)) {
      const std::size_t from = static_cast<std::size_t>(layer.from);
      const Kept& before = room.layers[from];
      const ForwardTask<T> of = network_.layer_task(i, memory.parameters, rows);
      InputGradientTask<T> t{};
      t.rows = rows;
      t.inputs = layer.inputs;
      t.outputs = layer.units;
      t.pieces = of.pieces;
      t.dz = k.dz;
      t.weight = of.weight;
      t.weight_piece = of.weight_piece;
      t.winners = k.winners;
      t.dx = layer.projection ? before.skip : before.dz;
      if (differentiates_in_product(from)) {
        const ForwardTask<T> of_before = network_.layer_task(from, memory.parameters, rows);
        t.activation = layers[from].activation;
        t.parameter = of_before.parameter;
        t.parameter_step = of_before.parameter_step;
        t.saved = layers[from].saves_apart() ? before.saved : before.y;
      }
      input_gradient_product(t, stream);
    }
    if (!frozen_[i]) weight_gradient(i, room, batch, stream);
  }
}

template <class T>
void DeviceTrainer<T>::run(const Memory& memory, const Room& room, const DeviceBatch<T>& batch, S* value,
                           cudaStream_t stream) const {
  forward(memory, room, batch, stream);
  loss(memory, room, batch, value, stream);
  backward(memory, room, batch, stream);
}

// The update of a layer from memory.gradient.
template <class T>
UpdateTaskOf<Stored<T>> DeviceTrainer<T>::update_task(std::size_t i, const Memory& memory) const {
  const LayerNode& layer = network_.graph().layers[i];
  const ParameterPlace& place = network_.place(i);
  UpdateTaskOf<E> t{};
  t.units = layer.units;
  t.row = place.row;
  t.weight_end = layer.pieces * layer.inputs * place.row;
  t.bias = place.bias - place.weight;
  t.bias_end = t.bias + layer.pieces * place.row;
  t.alpha = place.alpha - place.weight;
  // Fixed parameters of activations stay as they are.
  t.count = (layer.info().learned ? place.end : place.alpha) - place.weight;
  t.full = memory.parameters.full + place.weight;
  t.products = DeviceNetwork<T>::kMixed ? memory.parameters.products + place.weight : nullptr;
  t.gradient = memory.gradient + place.weight;
  t.slices = 1;
  t.first = memory.states[0] + place.weight;
  t.second = memory.states[1] == nullptr ? nullptr : memory.states[1] + place.weight;
  return t;
}

// The same from what the weight gradient's product has left.
template <class T>
UpdateTaskOf<Stored<T>> DeviceTrainer<T>::sliced_update_task(std::size_t i, const Memory& memory,
                                                             const Room& room) const {
  UpdateTaskOf<E> t = update_task(i, memory);
  t.gradient = room.layers[i].partial;
  t.slices = room.layers[i].slices.count;
  t.slice = network_.place(i).end - network_.place(i).weight;
  return t;
}

template <class T>
void DeviceTrainer<T>::step(const Memory& memory, const DeviceBatch<T>& batch, double learning_rate, S* loss,
                            cudaStream_t stream) {
  if (settings_.clip_norm > 0.0) {  // which needs the whole gradient's norm before the first update
    gradients(memory, batch, loss, stream);
    apply(memory, learning_rate, stream);
    return;
  }
  Arena arena(memory.workspace);
  const Room room = arrange(arena, batch.rows, batch.indices != nullptr, batch.weights != nullptr);
  run(memory, room, batch, loss, stream);
  begin_update(memory.state, settings_, learning_rate, stream);
  for (std::size_t i = first_trained_; i < room.layers.size(); ++i) {
    if (frozen_[i]) continue;
    update(sliced_update_task(i, memory, room), settings_.kind, memory.state, stream);
  }
}

template <class T>
void DeviceTrainer<T>::gradients(const Memory& memory, const DeviceBatch<T>& batch, S* loss, cudaStream_t stream) {
  Arena arena(memory.workspace);
  const Room room = arrange(arena, batch.rows, batch.indices != nullptr, batch.weights != nullptr);
  run(memory, room, batch, loss, stream);
  check_device(cudaMemsetAsync(memory.gradient, 0, static_cast<std::size_t>(network_.parameters()) * sizeof(S), stream),
               "cudaMemsetAsync");
  for (std::size_t i = first_trained_; i < room.layers.size(); ++i) {
    if (frozen_[i]) continue;
    collect_gradient(sliced_update_task(i, memory, room), memory.gradient + network_.place(i).weight, stream);
  }
}

template <class T>
void DeviceTrainer<T>::apply(const Memory& memory, double learning_rate, cudaStream_t stream) {
  if (settings_.clip_norm > 0.0)
    sum_squares(network_.parameters(), memory.gradient, reinterpret_cast<double*>(memory.workspace), memory.state,
                stream);
  begin_update(memory.state, settings_, learning_rate, stream);
  for (std::size_t i = 0; i < network_.graph().layers.size(); ++i)
    if (!frozen_[i]) update(update_task(i, memory), settings_.kind, memory.state, stream);
}

template class DeviceTrainer<float>;
template class DeviceTrainer<double>;
template class DeviceTrainer<Tf32>;
template class DeviceTrainer<Half>;
template class DeviceTrainer<Bfloat16>;

}  // namespace fnnfast
