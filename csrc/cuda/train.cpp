#include "train.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "elementwise.hpp"
#include "launch.hpp"
#include "rows.hpp"
#include "softmax.hpp"
#include "watch.hpp"

namespace fnnfast::cuda {

template <class T>
Trainer<T>::Trainer(const Network<T>& network, Loss<S> loss, const OptimizerSettings& settings, std::uint64_t seed,
                    std::vector<bool> frozen)
    : network_(network),
      loss_(std::move(loss)),
      settings_(settings),
      seed_(seed),
      frozen_(std::move(frozen)),
      program_(network.training_program()) {
  check_trainable(program_);
  check_operations(program_);
  loss_.check(network_.outputs());
  frozen_.resize(program_.blocks.size());
  schedule_ = schedule_training(program_, frozen_, loss_.info().from_logits);
  node_of_.assign(program_.blocks.size(), kNone);
  differentiated_.assign(program_.nodes.size(), kNone);
  in_product_.assign(program_.nodes.size(), false);
  std::vector<int> readers(program_.values.size());
  for (NodeId n = 0; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    for (const BlockId block : {block_of(node), node.epilogue.slopes})
      if (block != kNone) node_of_[static_cast<std::size_t>(block)] = n;
    for (const ValueId read : {node.in, node.epilogue.add})
      if (read != kNone) ++readers[static_cast<std::size_t>(read)];
  }
  // The product that computes the gradient of a value can also compute that of its r, if nothing else adds to it or
  // reads it in between.
  for (NodeId n = 0; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    const Epilogue& e = node.epilogue;
    if (!node.template is<Affine>() || readers[static_cast<std::size_t>(node.out)] != 1 || e.add != kNone ||
        e.slopes != kNone || e.info().rowwise || e.info().saves == Saves::kNothing)
      continue;
    for (NodeId next = n + 1; next < static_cast<NodeId>(program_.nodes.size()); ++next)
      if (program_.node(next).in == node.out && program_.node(next).template is<Affine>()) {
        differentiated_[static_cast<std::size_t>(next)] = n;
        in_product_[static_cast<std::size_t>(n)] = true;
      }
  }
}

// Whether the activation of a node is applied and differentiated: not if the loss reads the logits instead.
template <class T>
bool Trainer<T>::activates(const Node& node) const {
  return !(node.out == program_.result && loss_.info().from_logits);
}

// Whether the batch is copied: gathered, perturbed, or with zeros for rows of weight 0.
template <class T>
bool Trainer<T>::copies_input(bool indices, bool sample_weights) const {
  return indices || sample_weights || schedule_.input_in_place;
}

template <class T>
std::int64_t Trainer<T>::rows_of(const Call& call, ValueId id) const {
  return call.batch.rows * program_.value(id).shape.pixels();
}

template <class T>
typename Trainer<T>::Room Trainer<T>::arrange(Arena& arena, std::int64_t rows, bool indices,
                                              bool sample_weights) const {
  Room room;
  for (const BufferShape& shape : schedule_.buffers) {
    const std::int64_t elements = rows * shape.row * shape.pixels;
    room.buffers.push_back(shape.bytes ? static_cast<void*>(arena.take<std::uint8_t>(elements))
                                       : static_cast<void*>(arena.take<E>(elements)));
  }
  for (std::size_t b = 0; b < program_.blocks.size(); ++b) {
    const ParameterBlock& block = program_.blocks[b];
    const ParameterPlace& place = network_.place(static_cast<BlockId>(b));
    const std::int64_t pixels = program_.value(program_.node(node_of_[b]).out).shape.pixels();
    Partial partial{nullptr, {1, rows * pixels}};
    if (block.kind == ParameterBlock::Kind::kAffine)
      partial.slices =
          weight_gradient_slices<T>(rows * pixels, block.inputs, block.units, static_cast<int>(block.pieces));
    partial.data = arena.take<S>(partial.slices.count * (place.end - place.weight));
    room.partials.push_back(partial);
  }
  const Shape& input = program_.input();
  if (copies_input(indices, sample_weights)) room.input = arena.matrix<E>(rows * input.pixels(), row_stride(input));
  const std::int64_t outputs = network_.outputs();
  if constexpr (Network<T>::kMixed) {
    room.outputs = arena.matrix<S>(rows, outputs);
    room.doutputs = arena.matrix<S>(rows, outputs);
    if (program_.nodes.back().epilogue.info().rowwise && !loss_.info().from_logits)
      room.wide = arena.take<S>(3 * rows * outputs);
  }
  const std::int64_t targets = loss_.targets(outputs);
  if (indices) room.targets = arena.matrix<S>(rows, targets);
  if (indices) room.labels = arena.take<std::int64_t>(rows);
  room.row_loss = arena.take<double>(rows);
  if (loss_.info().classifies) room.row_right = arena.take<double>(rows);
  room.squares = arena.take<double>(kSquaresBlocks);
  return room;
}

template <class T>
std::size_t Trainer<T>::workspace_bytes(std::int64_t rows, bool indices, bool sample_weights) const {
  Arena arena(nullptr);
  arrange(arena, rows, indices, sample_weights);
  return arena.used();
}

template <class T>
Matrix<Stored<T>> Trainer<T>::at(const Call& call, const Place& place) const {
  if (place.buffer == kNone) return {};
  if (place.buffer == kInputBuffer) {
    if (call.room.input.data != nullptr) return {call.room.input.data + place.channel, place.row};
    const std::int64_t row = network_.inputs() / place.pixels;  // the caller's rows are dense, and only read
    return {const_cast<E*>(call.batch.x) + place.channel, row};
  }
  return {static_cast<E*>(call.room.buffers[static_cast<std::size_t>(place.buffer)]) + place.channel, place.row};
}

template <class T>
Matrix<std::uint8_t> Trainer<T>::choice(const Call& call, NodeId id) const {
  const Place& place = schedule_.choice[static_cast<std::size_t>(id)];
  if (place.buffer == kNone) return {};
  return {static_cast<std::uint8_t*>(call.room.buffers[static_cast<std::size_t>(place.buffer)]), place.row};
}

template <class T>
void Trainer<T>::take_input(const Call& call) const {
  if (call.room.input.data == nullptr) return;
  const std::int64_t inputs = network_.inputs();
  gather_rows<E, S>(call.batch.rows, inputs, {call.batch.x, inputs}, call.batch.indices, call.batch.sample_weights,
                    {call.room.input.data, call.room.input.stride * program_.input().pixels()}, call.stream);
}

template <class T>
void Trainer<T>::forward_step(const Call& call, NodeId id) const {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  if (node.template is<Affine>()) return affine_forward(call, id);
  const Matrix<E> in = value(call, node.in), out = value(call, node.out);
  if (const Perturb* const op = node.template as<Perturb>()) {
    const Shape& shape = program_.value(node.out).shape;
    perturb<E>(*op, seed_, &call.memory.state->steps, call.batch.rows, shape.size(),
               {in.data, in.stride * shape.pixels()}, {out.data, out.stride * shape.pixels()}, call.stream);
    return;
  }
  const Matrix<E> add = e.add == kNone ? Matrix<E>{} : value(call, e.add);
  const Matrix<E> kept = at(call, schedule_.saved[static_cast<std::size_t>(id)]);
  const bool keeps = activates(node) && kept.data != nullptr && kept.data != out.data;
  const bool of_input = e.info().saves == Saves::kInput, softmax = activates(node) && e.info().rowwise;
  const std::int64_t columns = program_.value(node.out).shape.c;
  pointwise<E>({rows_of(call, node.out), columns, in, add, keeps && of_input ? kept : Matrix<E>{},
                keeps && !of_input ? kept : Matrix<E>{}, out, e.add_first,
                activates(node) && !softmax ? e.activation : kIdentity,
                network_.activation_parameter(node, call.memory.parameters), e.slopes != kNone ? 1 : 0},
               call.stream);
  if (softmax) softmax_in_place(rows_of(call, node.out), columns, out, call.room.outputs.data, call.stream);
}

template <class T>
void Trainer<T>::affine_forward(const Call& call, NodeId id) const {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const Matrix<E> out = value(call, node.out);
  const Matrix<E> saved = at(call, schedule_.saved[static_cast<std::size_t>(id)]);
  ForwardTask<T> t = network_.product(node, call.memory.parameters, rows_of(call, node.out));
  t.x = value(call, node.in);
  const int activation = activates(node) ? e.activation : kIdentity;
  const ActivationInfo& info = kActivationInfo[activation];
  const bool adds_first = e.add != kNone && e.add_first;
  const bool wide = info.rowwise && !adds_first && t.units > kFusedSoftmax<T>;
  t.activation = wide || adds_first ? kIdentity : activation;
  if (info.saves == Saves::kInput && !adds_first) t.z = saved;
  if (e.add != kNone && !adds_first) {
    if (info.saves == Saves::kOutput) t.y = saved;
    t.add = value(call, e.add);
    t.sum = out;
  } else {
    t.y = out;
  }
  t.argmax = choice(call, id);
  const bool is_output = node.out == program_.result;
  if constexpr (Network<T>::kMixed)
    if (is_output && !adds_first) t.y_sum = call.room.outputs;
  forward_product(t, call.stream);
  if (adds_first)
    pointwise<E>({t.rows,
                  t.units,
                  out,
                  value(call, e.add),
                  info.saves == Saves::kInput ? saved : Matrix<E>{},
                  {},
                  out,
                  true,
                  info.rowwise ? kIdentity : activation,
                  t.parameter,
                  t.parameter_step},
                 call.stream);
  if (adds_first && info.rowwise) softmax_in_place(t.rows, t.units, out, call.room.outputs.data, call.stream);
  if (!wide) return;
  if constexpr (Network<T>::kMixed)
    softmax_of_sums<T>(t.rows, t.units, call.room.outputs, call.room.outputs, out, call.stream);
  else
    softmax_of_sums<T>(t.rows, t.units, out, out, out, call.stream);
}

template <class T>
void Trainer<T>::loss_step(const Call& call, S* loss) const {
  const Batch<T>& batch = call.batch;
  const Room& room = call.room;
  const std::int64_t rows = batch.rows, outputs = network_.outputs(), targets = loss_.targets(outputs);
  const std::int64_t pixels = program_.output().pixels();
  const double each = loss_.terms(1.0, outputs);
  const double weight = static_cast<double>(rows);
  const Matrix<E> y = value(call, program_.result), dy = gradient(call, program_.result);
  LossTask<S> t{};
  t.rows = rows;
  t.columns = outputs;
  if constexpr (Network<T>::kMixed) {
    // A product has written its sums unrounded; another last operation has not.
    const Node& last = program_.nodes.back();
    if (!last.template is<Affine>() || last.epilogue.add_first)
      convert_rows(rows * pixels, outputs / pixels, static_cast<const E*>(y.data), y.stride, room.outputs.data,
                   outputs / pixels, call.stream);
    t.z = room.outputs.data;
    t.z_row = room.outputs.stride;
    t.dz = room.doutputs.data;
    t.dz_row = room.doutputs.stride;
  } else {
    t.z = y.data;
    t.z_row = y.stride * pixels;
    t.dz = dy.data;
    t.dz_row = dy.stride * pixels;
  }
  t.targets = batch.targets;
  t.targets_row = targets;
  t.labels = batch.labels;
  if (batch.indices != nullptr && batch.targets != nullptr) {
    gather_rows<S, S>(rows, targets, {batch.targets, targets}, batch.indices, nullptr, room.targets, call.stream);
    t.targets = room.targets.data;
  }
  if (batch.indices != nullptr && batch.labels != nullptr) {
    gather_rows<std::int64_t, S>(rows, 1, {batch.labels, 1}, batch.indices, nullptr, {room.labels, 1}, call.stream);
    t.labels = room.labels;
  }
  t.precision = call.memory.precision;
  t.sample_weights = batch.sample_weights;
  t.scale = static_cast<S>(1.0 / (weight * each));
  t.row_loss = room.row_loss;
  StepState<S>* const state = call.memory.state;
  const bool weighs = batch.sample_weights != nullptr;
  if (weighs) weigh_rows(rows, batch.sample_weights, each, &state->weighed, call.stream);
  double* const accuracy = loss_.info().classifies ? call.record.accuracy : nullptr;
  loss_rows(loss_.kind, t, &state->weighed, accuracy == nullptr ? nullptr : room.row_right, call.stream);
  mean_loss(rows, {room.row_loss, each}, loss_.constant(outputs), loss,
            {room.row_right, loss_.info().labels ? 1.0 : static_cast<double>(outputs)}, accuracy, weight,
            weighs ? &state->weighed.weight : nullptr, call.stream);
  if constexpr (Network<T>::kMixed)
    convert_rows(rows * pixels, outputs / pixels, room.doutputs.data, outputs / pixels, dy.data, dy.stride,
                 call.stream);
}

// Passes the gradient on to the operand of the addition.
template <class T>
void Trainer<T>::pass_gradient(const Call& call, const TrainingStep& step) const {
  const Node& node = program_.node(step.node);
  const std::int64_t rows = rows_of(call, node.out), columns = program_.value(node.out).shape.c;
  const Matrix<const E> from = gradient(call, node.out);
  const Matrix<E> to = gradient(call, node.epilogue.add);
  if (step.adds)
    add_rows<E>(rows, columns, from, to, call.stream);
  else
    convert_rows(rows, columns, from.data, from.stride, to.data, to.stride, call.stream);
}

// From the gradient of f(r) to that of r, in place.
template <class T>
void Trainer<T>::activation_gradient_of(const Call& call, NodeId id) const {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const std::int64_t rows = rows_of(call, node.out), columns = program_.value(node.out).shape.c;
  const Matrix<E> dz = gradient(call, node.out);
  const Matrix<const E> saved = at(call, schedule_.saved[static_cast<std::size_t>(id)]);
  if (e.info().rowwise) return softmax_gradient<E>(rows, columns, saved, dz, dz, call.room.wide, call.stream);
  S* dparameter = nullptr;
  if (e.slopes != kNone) {
    const ParameterPlace& place = network_.place(e.slopes);
    dparameter = call.room.partials[static_cast<std::size_t>(e.slopes)].data + (place.alpha - place.weight);
  }
  activation_gradient<E>(
      {rows, columns, dz, saved, dz, e.activation, network_.activation_parameter(node, call.memory.parameters),
       e.slopes != kNone ? 1 : 0, dparameter},
      call.stream);
}

// Reads the derivatives once more: a product's epilogue, which may have applied them, sees a tile of the rows.
template <class T>
void Trainer<T>::watch_step(const Call& call, NodeId id) const {
  unsigned long long* const seen =
      call.record.tally.seen.empty() ? nullptr : call.record.tally.seen[static_cast<std::size_t>(id)];
  if (seen == nullptr) return;
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const Matrix<const E> saved = at(call, schedule_.saved[static_cast<std::size_t>(id)]);
  watch<E>({rows_of(call, node.out), program_.value(node.out).shape.c, saved, e.activation,
            network_.activation_parameter(node, call.memory.parameters), e.slopes != kNone ? 1 : 0, seen},
           call.memory.state, call.record.follows, call.stream);
}

template <class T>
void Trainer<T>::epilogue_step(const Call& call, const TrainingStep& step) const {
  const Node& node = program_.node(step.node);
  const Epilogue& e = node.epilogue;
  if (step.pass && !e.add_first) pass_gradient(call, step);
  const bool done = in_product_[static_cast<std::size_t>(step.node)];
  watch_step(call, step.node);
  if (e.activation != kIdentity && activates(node) && !done) activation_gradient_of(call, step.node);
  if (step.pass && e.add_first) pass_gradient(call, step);
}

template <class T>
void Trainer<T>::input_step(const Call& call, const TrainingStep& step) const {
  const Node& node = program_.node(step.node);
  const Shape& in = program_.value(node.in).shape;
  const Matrix<E> dz = gradient(call, node.out), dx = gradient(call, node.in);
  const std::int64_t rows = rows_of(call, node.in);
  if (!node.template is<Affine>()) {
    const Perturb* const op = node.template as<Perturb>();
    if (op != nullptr && !op->noise) {
      const std::int64_t pixels = in.pixels();
      perturb<E>(*op, seed_, &call.memory.state->steps, call.batch.rows, in.size(), {dz.data, dz.stride * pixels},
                 {dz.data, dz.stride * pixels}, call.stream);
    }
    if (dz.data == dx.data) return;
    if (step.adds)
      add_rows<E>(rows, in.c, dz, dx, call.stream);
    else
      convert_rows(rows, in.c, static_cast<const E*>(dz.data), dz.stride, dx.data, dx.stride, call.stream);
    return;
  }
  const ForwardTask<T> of = network_.product(node, call.memory.parameters, rows);
  InputGradientTask<T> t{};
  t.rows = of.rows;
  t.inputs = of.inputs;
  t.units = of.units;
  t.pieces = of.pieces;
  t.dz = dz;
  t.weight = of.weight;
  t.weight_piece = of.weight_piece;
  t.argmax = choice(call, step.node);
  t.dx = dx;
  if (step.adds) t.add = dx;
  if (const NodeId before = differentiated_[static_cast<std::size_t>(step.node)]; before != kNone) {
    const Node& producer = program_.node(before);
    t.activation = producer.epilogue.activation;
    t.parameter = network_.activation_parameter(producer, call.memory.parameters);
    t.parameter_step = 0;
    t.saved = at(call, schedule_.saved[static_cast<std::size_t>(before)]);
  }
  input_gradient_product(t, call.stream);
}

template <class T>
void Trainer<T>::weights_step(const Call& call, NodeId id) const {
  const Node& node = program_.node(id);
  const Affine* const affine = node.template as<Affine>();
  if (affine == nullptr || is_frozen(affine->block)) return;  // slopes only, which the epilogue has summed
  const ParameterBlock& block = program_.block(affine->block);
  const ParameterPlace& place = network_.place(affine->block);
  const Partial& partial = call.room.partials[static_cast<std::size_t>(affine->block)];
  WeightGradientTask<T> w{};
  w.rows = rows_of(call, node.out);
  w.inputs = block.inputs;
  w.units = block.units;
  w.pieces = static_cast<int>(block.pieces);
  w.x = value(call, node.in);
  w.dz = gradient(call, node.out);
  w.argmax = choice(call, id);
  w.slices = partial.slices.count;
  w.slice_rows = partial.slices.rows;
  w.weight = {partial.data, place.row};
  w.weight_piece = block.inputs * place.row;
  w.bias = partial.data + (place.bias - place.weight);
  w.bias_piece = place.row;
  w.slice = place.end - place.weight;
  weight_gradient_product(w, call.stream);
  const std::vector<std::uint8_t*>& won = call.record.tally.won;
  if (!won.empty() && won[static_cast<std::size_t>(id)] != nullptr)
    note_winners<S>(w.rows, w.units, w.pieces, w.argmax, won[static_cast<std::size_t>(id)], call.memory.state,
                    call.record.follows, call.stream);
}

template <class T>
void Trainer<T>::run(const Call& call, S* loss) const {
  take_input(call);
  for (const TrainingStep& step : schedule_.steps) switch (step.task) {
      case Task::kForward:
        forward_step(call, step.node);
        break;
      case Task::kLoss:
        loss_step(call, loss);
        break;
      case Task::kEpilogue:
        epilogue_step(call, step);
        break;
      case Task::kInput:
        input_step(call, step);
        break;
      case Task::kWeights:
        weights_step(call, step.node);
        break;
      case Task::kStatistics:  // of batch normalization, which check_operations() rejects
      case Task::kMerge:
      case Task::kSums:
      case Task::kMergeSums:
        break;
    }
}

// The length of a block's arrays, padding included.
template <class T>
std::int64_t Trainer<T>::elements(BlockId id) const {
  const ParameterPlace& place = network_.place(id);
  return (program_.block(id).slopes ? place.end : place.alpha) - place.weight;
}

// The update of a block from memory.gradient.
template <class T>
UpdateTaskOf<Stored<T>> Trainer<T>::update_task(BlockId id, const Memory& memory, const Tally& tally) const {
  const ParameterBlock& block = program_.block(id);
  const ParameterPlace& place = network_.place(id);
  UpdateTaskOf<E> t{};
  t.units = block.units;
  t.row = place.row;
  t.weight_end = block.pieces * block.inputs * place.row;
  t.bias = place.bias - place.weight;
  t.bias_end = t.bias + (block.bias ? block.pieces * place.row : 0);
  t.alpha = place.alpha - place.weight;
  t.count = elements(id);
  t.full = memory.parameters.full + place.weight;
  t.products = Network<T>::kMixed ? memory.parameters.products + place.weight : nullptr;
  t.gradient = memory.gradient + place.weight;
  t.slices = 1;
  t.first = memory.states[0] + place.weight;
  t.second = memory.states[1] == nullptr ? nullptr : memory.states[1] + place.weight;
  t.squares = tally.squares.empty() ? nullptr : tally.squares[static_cast<std::size_t>(id)];
  return t;
}

// The update of a block from the slices of its weight gradient.
template <class T>
UpdateTaskOf<Stored<T>> Trainer<T>::sliced_update_task(BlockId id, const Memory& memory, const Room& room,
                                                       const Tally& tally) const {
  UpdateTaskOf<E> t = update_task(id, memory, tally);
  const Partial& partial = room.partials[static_cast<std::size_t>(id)];
  t.gradient = partial.data;
  t.slices = partial.slices.count;
  t.slice = network_.place(id).end - network_.place(id).weight;
  return t;
}

template <class T>
void Trainer<T>::step(const Memory& memory, const Batch<T>& batch, std::optional<double> learning_rate, S* loss,
                      double* accuracy, bool follows, cudaStream_t stream) {
  const Record record{tally_of(memory), accuracy, follows};
  if (settings_.clip_norm > 0.0) {  // needs the norm of the whole gradient before the first update
    gradients(memory, batch, loss, record, stream);
    apply(memory, learning_rate, loss, batch.rows, record, stream);
    return;
  }
  Arena arena(memory.workspace);
  const Room room = arrange(arena, batch.rows, batch.indices != nullptr, batch.sample_weights != nullptr);
  run({memory, room, batch, record, stream}, loss);
  begin_update(memory.state, settings_, learning_rate, loss, follows, batch.rows, record.tally.counted, stream);
  for (BlockId b = 0; b < static_cast<BlockId>(program_.blocks.size()); ++b)
    if (!is_frozen(b)) update(sliced_update_task(b, memory, room, record.tally), settings_.kind, memory.state, stream);
}

template <class T>
void Trainer<T>::gradients(const Memory& memory, const Batch<T>& batch, S* loss, cudaStream_t stream) {
  gradients(memory, batch, loss, {}, stream);
}

template <class T>
void Trainer<T>::gradients(const Memory& memory, const Batch<T>& batch, S* loss, const Record& record,
                           cudaStream_t stream) {
  Arena arena(memory.workspace);
  const Room room = arrange(arena, batch.rows, batch.indices != nullptr, batch.sample_weights != nullptr);
  run({memory, room, batch, record, stream}, loss);
  check_device(cudaMemsetAsync(memory.gradient, 0, static_cast<std::size_t>(network_.parameters()) * sizeof(S), stream),
               "cudaMemsetAsync");
  for (BlockId b = 0; b < static_cast<BlockId>(program_.blocks.size()); ++b)
    if (!is_frozen(b))
      collect_gradient(sliced_update_task(b, memory, room, {}), memory.gradient + network_.place(b).weight, stream);
}

template <class T>
void Trainer<T>::apply(const Memory& memory, std::optional<double> learning_rate, cudaStream_t stream) {
  apply(memory, learning_rate, nullptr, 0, {tally_of(memory)}, stream);
}

template <class T>
void Trainer<T>::apply(const Memory& memory, std::optional<double> learning_rate, const S* loss, std::int64_t rows,
                       const Record& record, cudaStream_t stream) {
  if (settings_.clip_norm > 0.0)
    sum_squares(network_.parameters(), memory.gradient, reinterpret_cast<double*>(memory.workspace), memory.state,
                stream);
  begin_update(memory.state, settings_, learning_rate, loss, record.follows, rows, record.tally.counted, stream);
  for (BlockId b = 0; b < static_cast<BlockId>(program_.blocks.size()); ++b)
    if (!is_frozen(b)) update(update_task(b, memory, record.tally), settings_.kind, memory.state, stream);
}

// Whether the derivatives of a node are counted: those that gradients pass.
template <class T>
bool Trainer<T>::watches(NodeId id) const {
  const Node& node = program_.node(id);
  return id >= schedule_.first_trained && activates(node) && node.epilogue.info().watch != Watch::kNothing;
}

template <class T>
typename Trainer<T>::Tally Trainer<T>::tally(Arena& arena) const {
  Tally tally;
  tally.counted = arena.take<Counted>(1);
  for (BlockId b = 0; b < static_cast<BlockId>(program_.blocks.size()); ++b)
    tally.squares.push_back(arena.take<double>(2 * update_sums(elements(b))));
  for (NodeId n = 0; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    const Affine* const affine = node.template as<Affine>();
    const std::int64_t units = program_.value(node.out).shape.c;
    const bool chooses = n >= schedule_.first_trained && affine != nullptr && !is_frozen(affine->block) &&
                         schedule_.choice[static_cast<std::size_t>(n)].buffer != kNone;
    tally.seen.push_back(watches(n) ? arena.take<unsigned long long>(units) : nullptr);
    tally.won.push_back(chooses ? arena.take<std::uint8_t>(units * program_.block(affine->block).pieces) : nullptr);
  }
  return tally;
}

template <class T>
typename Trainer<T>::Tally Trainer<T>::tally_of(const Memory& memory) const {
  if (memory.tally == nullptr) return {};
  Arena arena(memory.tally);
  return tally(arena);
}

template <class T>
std::size_t Trainer<T>::tally_bytes() const {
  Arena arena(nullptr);
  tally(arena);
  return arena.used();
}

template <class T>
typename Trainer<T>::Statistics Trainer<T>::statistics(char* tally_on_host) const {
  Arena arena(tally_on_host);
  const Tally of = tally(arena);
  Statistics found;
  const auto layer = [&](std::int32_t spec) -> std::array<double, 5>& {
    return found.try_emplace(spec, std::array{-1.0, -1.0, -1.0, -1.0, -1.0}).first->second;
  };
  const double steps = static_cast<double>(std::max(of.counted->steps, std::int64_t{1}));
  for (std::size_t b = 0; b < program_.blocks.size(); ++b) {
    double squares[2] = {0.0, 0.0};
    const std::int64_t sums = update_sums(elements(static_cast<BlockId>(b)));
    for (std::int64_t i = 0; i < 2 * sums; ++i) squares[i % 2] += of.squares[b][i];
    auto& values = layer(program_.blocks[b].spec);
    values[0] = std::sqrt(squares[0] / steps);
    values[1] = std::sqrt(squares[1] / steps);
  }
  if (of.counted->rows == 0) return found;
  for (NodeId n = 0; n < static_cast<NodeId>(program_.nodes.size()); ++n) {
    const Node& node = program_.node(n);
    const std::int64_t units = program_.value(node.out).shape.c;
    if (const std::uint8_t* const won = of.won[static_cast<std::size_t>(n)]) {
      const std::int64_t pieces = program_.block(block_of(node)).pieces;
      double winners = 0.0, linear = 0.0;
      for (std::int64_t u = 0; u < units; ++u) {
        const auto count = std::accumulate(won + u * pieces, won + (u + 1) * pieces, std::int64_t{0});
        winners += static_cast<double>(count);
        linear += count == 1 ? 1.0 : 0.0;
      }
      auto& values = layer(node.spec);
      values[2] = 1.0 - winners / static_cast<double>(units * pieces);
      values[4] = linear / static_cast<double>(units);
    } else if (const unsigned long long* const seen = of.seen[static_cast<std::size_t>(n)]) {
      const ActivationInfo& info = node.epilogue.info();
      const bool saturated = info.watch == Watch::kSaturated;
      const std::int64_t rows = of.counted->rows * program_.value(node.out).shape.pixels();
      double count = 0.0;
      for (std::int64_t u = 0; u < units; ++u)
        if (saturated)
          count += static_cast<double>(seen[u]);
        else
          count += std::bit_cast<double>(seen[u]) < info.small ? 1.0 : 0.0;
      layer(node.epilogue.spec)[saturated ? 3 : 2] =
          count / (static_cast<double>(units) * static_cast<double>(saturated ? rows : 1));
    }
  }
  return found;
}

template class Trainer<float>;
template class Trainer<double>;
template class Trainer<Tf32>;
template class Trainer<Half>;
template class Trainer<Bfloat16>;

}  // namespace fnnfast::cuda
