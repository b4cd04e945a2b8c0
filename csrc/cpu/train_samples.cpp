// The steps of a block of samples: forward through the program, the loss, and backward to the gradients of all r
// (core/program.hpp).
#include <algorithm>
#include <numeric>
#include <type_traits>

#include "train.hpp"

namespace fnnfast::cpu {

template <class T>
void Trainer<T>::take_input(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  if (!copies_input(batch)) return;
  const Shape& shape = program_.input();
  const ptrdiff_t inputs = shape.size(), row = row_stride(shape) * shape.pixels();
  for (ptrdiff_t s = first; s < first + samples; ++s) {
    T* const to = input_.data() + s * row;
    if (batch.sample_weights != nullptr && batch.sample_weights[s] == T(0))
      std::fill_n(to, inputs, T(0));  // a NaN would reach the weight gradient as 0 * NaN
    else
      std::copy_n(batch.x + (batch.indices ? batch.indices[s] : s) * inputs, inputs, to);
  }
}

// An image is one row here: the draws of a pixel depend on its place in the image.
template <class T>
void Trainer<T>::perturb(const Perturb& op, ptrdiff_t first, ptrdiff_t samples, const Shape& shape, Rows in,
                         Rows out) const {
  const std::uint64_t step = static_cast<std::uint64_t>(steps_);
  const ptrdiff_t pixels = shape.pixels();
  if (op.noise)
    kernels_.noise({samples, shape.size(), first, in.data, in.row * pixels, out.data, out.row * pixels, op.amount,
                    seed_, step, op.stream});
  else
    kernels_.dropout({samples, shape.size(), first, in.data, in.row * pixels, out.data, out.row * pixels, op.amount,
                      seed_, step, op.stream});
}

template <class T>
void Trainer<T>::forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  if (node.template is<Affine>()) return affine_forward_step(id, batch, first, samples);
  if (node.template is<Pointwise>()) return pointwise_forward_step(id, batch, first, samples);
  if (node.template is<Normalize>()) return normalize_forward_step(id, batch, first, samples);
  if (runs_on_images(node)) return images_forward_step(id, batch, first, samples);
  perturb(*node.template as<Perturb>(), batch.rows_before + first, samples, program_.value(node.out).shape,
          rows_at(schedule_.value_at(node.in), batch, first), rows_at(schedule_.value_at(node.out), batch, first));
}

template <class T>
typename Trainer<T>::Results Trainer<T>::results_at(NodeId id, const Batch<T>& batch, ptrdiff_t first) {
  const Node& node = program_.node(id);
  const Rows out = rows_at(schedule_.value_at(node.out), batch, first);
  const Rows kept = rows_at(schedule_.saved[static_cast<std::size_t>(id)], batch, first);
  const Rows saved = activates(node) && kept ? kept : out;
  return {out, saved, node.epilogue.info().saves == Saves::kOutput && !node.epilogue.add_first ? saved : out};
}

template <class T>
void Trainer<T>::affine_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const Workspace& w = workspace(id);
  const Rows x = rows_at(schedule_.value_at(node.in), batch, first);
  const auto [out, saved, y] = results_at(id, batch, first);
  AffineCall<T> call;
  call.of = &w.of;
  call.rows = samples * pixels_of(node.out);
  call.x = x.data;
  call.x_row = x.row;
  call.z = saved.data;
  call.z_row = saved.row;
  call.y = y.data;
  call.y_row = y.row;
  call.last_block = w.of.blocks;
  call.activate = activates(node);
  call.padded = w.padded;
  if (w.next != kNone) {
    call.next = workspace(w.next).of.panels;
    call.next_size = workspace(w.next).of.first_panel;
  }
  if (e.add != kNone) {
    const Rows add = rows_at(schedule_.value_at(e.add), batch, first);
    call.add = add.data;
    call.add_row = add.row;
    call.sum = out.data;
    call.sum_row = out.row;
  }
  call.argmax = choice_at(id, first);
  call.argmax_row = schedule_.choice[static_cast<std::size_t>(id)].row;
  if constexpr (std::is_same_v<T, float>)
    if (multiplies_pairs(node) && trains(block_of(node)))
      pair_factors(id, batch).round_x(x.data, x.row, first, samples);
  affine_forward_serial(network_.affine_kernel(), call);
  if (call.activate && e.info().rowwise)
    activate_rows(kernels_.activation[e.activation].forward, call.rows, w.of.units, saved.data, saved.row, y.data,
                  y.row);
}

template <class T>
void Trainer<T>::pointwise_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  const Workspace& w = workspace(id);
  const Rows in = rows_at(schedule_.value_at(node.in), batch, first);
  const auto [out, saved, y] = results_at(id, batch, first);
  const Rows add = e.add == kNone ? Rows{} : rows_at(schedule_.value_at(e.add), batch, first);
  const bool activate = activates(node) && e.activation != kIdentity;
  const ptrdiff_t rows = samples * pixels_of(node.out);
  pointwise<T>({rows, program_.value(node.out).shape.c, in.data, in.row, add.data, add.row, saved.data, saved.row,
                y.data, y.row, out.data, out.row, e.add_first,
                activate && !e.info().rowwise ? kernels_.activation[e.activation].forward : nullptr, w.of.parameter,
                w.of.parameter_step});
  if (activate && e.info().rowwise)
    activate_rows(kernels_.activation[e.activation].forward, rows, w.of.units, y.data, y.row, y.data, y.row);
}

template <class T>
void Trainer<T>::images_forward_step(NodeId id, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Rows x = rows_at(schedule_.value_at(node.in), batch, first);
  const Rows y = rows_at(schedule_.value_at(node.out), batch, first);
  const ImageForward<T> task{{&node, &program_.value(node.in).shape, &program_.value(node.out).shape},
                             x.data,
                             x.row,
                             y.data,
                             y.row,
                             choice_at(id, first),
                             schedule_.choice[static_cast<std::size_t>(id)].row};
  images_forward(kernels_, task, 0, task.lines(samples));
}

template <class T>
void Trainer<T>::loss_step(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const ptrdiff_t columns = loss_.targets(network_.outputs());
  const bool gathered = batch.indices != nullptr && batch.targets != nullptr;
  for (ptrdiff_t r = first; gathered && r < first + samples; ++r)
    std::copy_n(batch.targets + batch.indices[r] * columns, columns, targets_.data() + r * columns);
  const ptrdiff_t pixels = program_.output().pixels();
  const Rows z = rows_at(schedule_.value_at(program_.result), batch, first);
  const Rows dz = rows_at(schedule_.gradient_at(program_.result), batch, first);
  LossTask<T> t{};
  t.rows = samples;
  t.columns = network_.outputs();
  t.z = z.data;
  t.z_row = z.row * pixels;
  if (batch.labels) t.labels = batch.labels + first;
  if (batch.targets) t.targets = (gathered ? targets_.data() : batch.targets) + first * columns;
  t.targets_row = columns;
  t.precision = loss_.precision.empty() ? nullptr : loss_.precision.data();
  t.sample_weights = batch.sample_weights ? batch.sample_weights + first : nullptr;
  t.scale = batch_weight_ > 0.0 ? static_cast<T>(1.0 / loss_.terms(batch_weight_, network_.outputs())) : T(0);
  t.dz = dz.data;
  t.dz_row = dz.row * pixels;
  t.row_loss = row_loss_.data() + first;
  if ((watching_ || batch.is_part()) && measures_accuracy_) count_right_outputs(t, first);
  kernels_.loss(loss_.kind, t);  // may write dz over z
}

// Counts the right outputs of each row; called before the loss overwrites the logits.
template <class T>
void Trainer<T>::count_right_outputs(const LossTask<T>& t, ptrdiff_t first) {
  std::int32_t* const right = right_.data() + first;
  if (t.labels != nullptr)
    for (ptrdiff_t r = 0; r < t.rows; ++r) right[r] = is_right(t.columns, t.z + r * t.z_row, t.labels[r]) ? 1 : 0;
  else if (t.columns == 1)
    for (ptrdiff_t r = 0; r < t.rows; ++r) right[r] = count_right(1, t.z + r * t.z_row, t.targets + r);
  else
    for (ptrdiff_t r = 0; r < t.rows; ++r)
      right[r] = count_right(t.columns, t.z + r * t.z_row, t.targets + r * t.targets_row);
}

template <class T>
double Trainer<T>::batch_accuracy(const Batch<T>& batch, ptrdiff_t first) const {
  const std::int32_t* const right = right_.data() + first;
  double sum = 0.0;
  if (batch.sample_weights != nullptr)
    for (ptrdiff_t r = 0; r < batch.rows; ++r) sum += static_cast<double>(batch.sample_weights[r]) * right[r];
  else
    sum = static_cast<double>(std::accumulate(right, right + batch.rows, std::int64_t{0}));
  const double outputs = loss_.info().labels ? 1.0 : static_cast<double>(network_.outputs());
  return batch_weight_ > 0.0 ? sum / (batch_weight_ * outputs) : 0.0;
}

// Passes the gradient on to the operand of the addition.
template <class T>
void Trainer<T>::pass_gradient(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(step.node);
  const ptrdiff_t rows = samples * pixels_of(node.out), units = program_.value(node.out).shape.c;
  const Rows from = rows_at(schedule_.gradient_at(node.out), batch, first);
  const Rows to = rows_at(schedule_.gradient_at(node.epilogue.add), batch, first);
  if (step.adds)
    add_rows(rows, units, to.data, to.row, from.data, from.row, to.data, to.row);
  else
    copy_rows(rows, units, from.data, from.row, to.data, to.row);
}

// From the gradient of f(r) to that of r, in place.
template <class T>
void Trainer<T>::activation_gradient(NodeId id, const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first,
                                     ptrdiff_t samples) {
  const Node& node = program_.node(id);
  const Epilogue& e = node.epilogue;
  Workspace& w = workspace(id);
  const ptrdiff_t pixels = pixels_of(node.out), units = divide_up(w.of.units, kernels_.lanes) * kernels_.lanes;
  const Rows saved = rows_at(schedule_.saved[static_cast<std::size_t>(id)], batch, first);
  const Rows dz = rows_at(schedule_.gradient_at(node.out), batch, first);
  const bool learned = e.slopes != kNone;
  ElementwiseTask<T> t{};
  t.columns = w.of.units;
  t.in_row = saved.row;
  t.dy_row = t.out_row = dz.row;
  t.parameter = w.of.parameter;
  t.parameter_step = w.of.parameter_step;
  if (watching_ && e.info().watch != Watch::kNothing) t.watch = w.watch.data() + block * units;
  const ptrdiff_t rows = samples * pixels, first_row = first * pixels, sum_rows = sum_samples(pixels) * pixels;
  for (ptrdiff_t r = 0; r < rows; r += t.rows) {
    t.rows = std::min(learned ? sum_rows : rows, rows - r);
    t.in = saved.data + r * saved.row;
    t.dy = t.out = dz.data + r * dz.row;
    if (learned) {
      t.dparameter = w.alpha_sums.data() + (first_row + r) / sum_rows * units;
      std::fill_n(t.dparameter, units, T(0));
    }
    kernels_.activation[e.activation].backward(t);
  }
}

template <class T>
void Trainer<T>::epilogue_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first,
                               ptrdiff_t samples) {
  const Node& node = program_.node(step.node);
  const Epilogue& e = node.epilogue;
  Workspace& w = workspace(step.node);
  if (step.pass && !e.add_first) pass_gradient(step, batch, first, samples);
  if (e.activation != kIdentity && activates(node)) activation_gradient(step.node, batch, block, first, samples);
  if (step.pass && e.add_first) pass_gradient(step, batch, first, samples);
  if (!node.template is<Affine>()) return;
  const ptrdiff_t pixels = pixels_of(node.out), first_row = first * pixels, rows = samples * pixels;
  const Rows dz = rows_at(schedule_.gradient_at(node.out), batch, 0);
  const bool images = convolution_of(node) != nullptr;
  if constexpr (std::is_same_v<T, float>)
    if (multiplies_pairs(node) && trains(block_of(node)))
      pair_factors(step.node, batch).round_dz(dz.data + first_row * dz.row, dz.row, first_row, rows);
  if (const Place& choice = schedule_.choice[static_cast<std::size_t>(step.node)]; choice.buffer != kNone && !images) {
    const MaxoutOrder order{first_row + rows, w.of.units, w.of.pieces};
    for (ptrdiff_t chunk = first_row / kMaxoutChunk; chunk < order.chunks(); ++chunk)
      order.sort(chunk, choice_at(step.node, 0), choice.row, dz.data, dz.row, w.order.data(), w.sorted.data());
  }
  if (w.gathers && images) {
    const ptrdiff_t padded = divide_up(w.of.units, kernels_.lanes) * kernels_.lanes;  // the padding stays zero
    copy_rows(rows, w.of.units, dz.data + first_row * dz.row, dz.row, w.columns.data() + first_row * padded, padded);
  } else if (w.gathers) {
    gather_columns(block_of(node) == kNone ? PanelLayout{} : this->block(block_of(node)).layout, batch.rows * pixels,
                   dz.data, dz.row, first_row, rows, w.columns.data());
  }
}

template <class T>
void Trainer<T>::phase_step(const PhaseWeights<T>& weights, const Convolution& of, bool apart, ptrdiff_t samples,
                            const Rows& dz, const Rows& to) {
  AffineCall<T> call;
  call.of = &weights.constants;
  call.rows = samples * weights.phase.plan().pixels();
  call.x = dz.data;
  call.x_row = dz.row;
  call.z = call.y = apart ? thread_scratch<T>(Scratch::kRows, call.rows * of.image.c) : to.data;
  call.z_row = call.y_row = apart ? of.image.c : to.row;
  call.last_block = weights.constants.blocks;
  T* const from = call.y;
  const ptrdiff_t rows = call.rows;
  affine_forward_serial(kernels_.affine, call);
  if (apart) weights.phase.scatter(of, 0, rows, from, of.image.c, to.data, to.row);
}

template <class T>
void Trainer<T>::pair_input_step(BlockId id, ptrdiff_t rows, const Rows& dz, const Rows& to) {
  AffineCall<T> call;
  call.of = &state(id).pairs;
  call.rows = rows;
  call.x = dz.data;
  call.x_row = dz.row;
  call.z = call.y = to.data;
  call.z_row = call.y_row = to.row;
  call.last_block = call.of->blocks;
  affine_forward_serial(network_.affine_kernel(), call);
}

// If another reader has written the gradient, this one is computed apart and added: image by image, while it is in the
// cache.
template <class T>
void Trainer<T>::images_input_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first,
                                   ptrdiff_t samples) {
  const Node& node = program_.node(step.node);
  const Shape &in = program_.value(node.in).shape, &out = program_.value(node.out).shape;
  const Rows x = rows_at(schedule_.value_at(node.in), batch, first);
  const Rows dy = rows_at(schedule_.gradient_at(node.out), batch, first);
  const Rows dx = rows_at(schedule_.gradient_at(node.in), batch, first);
  const std::uint8_t* const choice = choice_at(step.node, first);
  const ptrdiff_t choice_row = schedule_.choice[static_cast<std::size_t>(step.node)].row;
  const Rows apart = step.adds ? Rows{thread_scratch<T>(Scratch::kOutputs, in.size()), in.c} : Rows{};
  const ptrdiff_t each = step.adds ? 1 : samples;
  for (ptrdiff_t s = 0; s < samples; s += each) {
    T* const own = dx.data + s * in.pixels() * dx.row;
    const Rows to = step.adds ? apart : Rows{own, dx.row};
    images_gradient<T>(kernels_, {{&node, &in, &out},
                                  each,
                                  x.data + s * in.pixels() * x.row,
                                  x.row,
                                  dy.data + s * out.pixels() * dy.row,
                                  dy.row,
                                  choice ? choice + s * out.pixels() * choice_row : nullptr,
                                  choice_row,
                                  to.data,
                                  to.row});
    if (step.adds) add_rows(in.pixels(), in.c, own, dx.row, to.data, to.row, own, dx.row);
  }
}

template <class T>
void Trainer<T>::input_step(const TrainingStep& step, const Batch<T>& batch, ptrdiff_t first, ptrdiff_t samples) {
  const Node& node = program_.node(step.node);
  if (runs_on_images(node)) return images_input_step(step, batch, first, samples);
  const Shape& in = program_.value(node.in).shape;
  const ptrdiff_t rows = samples * pixels_of(node.out);
  const Rows dz = rows_at(schedule_.gradient_at(node.out), batch, first);
  const Rows dx = rows_at(schedule_.gradient_at(node.in), batch, first);
  const ptrdiff_t in_rows = samples * in.pixels();
  // If another reader has written the gradient, this one is computed separately and added.
  const bool apart = step.adds && !node.template is<Pointwise>();
  const Rows to = apart ? Rows{thread_scratch<T>(Scratch::kOutputs, in_rows * row_stride(in)), row_stride(in)} : dx;
  if (const Affine* const affine = node.template as<Affine>()) {
    const Place& choice = schedule_.choice[static_cast<std::size_t>(step.node)];
    const std::vector<PhaseWeights<T>>& phases = state(affine->block).phases;
    for (const PhaseWeights<T>& weights : phases)
      if (choice.buffer != kNone)
        maxout_phase(kernels_, *convolution_of(node), weights, 0, samples * weights.phase.plan().pixels(), dz.data,
                     dz.row, choice_at(step.node, first), choice.row, to.data, to.row);
      else
        phase_step(weights, *convolution_of(node), phases.size() > 1, samples, dz, to);
    if (multiplies_pairs(node))
      pair_input_step(affine->block, rows, dz, to);
    else if (phases.empty())
      data_gradient(kernels_, block(affine->block).layout, state(affine->block).transposed.data(), rows, dz.data,
                    dz.row, choice_at(step.node, first), choice.row, to.data, to.row);
  } else if (node.template is<Normalize>()) {
    normalize_input_step(step.node, batch, first, samples, dz, to);
  } else if (const Perturb* const op = node.template as<Perturb>()) {
    if (!op->noise)
      perturb(*op, batch.rows_before + first, samples, in, dz, to);
    else if (dz.data != to.data)
      copy_rows(in_rows, in.c, dz.data, dz.row, to.data, to.row);
  } else if (step.adds) {
    add_rows(in_rows, in.c, dx.data, dx.row, dz.data, dz.row, dx.data, dx.row);
  } else {
    copy_rows(in_rows, in.c, dz.data, dz.row, dx.data, dx.row);
  }
  if (apart) add_rows(in_rows, in.c, dx.data, dx.row, to.data, to.row, dx.data, dx.row);
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast::cpu
