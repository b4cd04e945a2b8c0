// A training step's first half: a block of rows, forward through all layers, through the loss, and backward to the
// gradients of all pre-activations.
#include <algorithm>

#include "train.hpp"

namespace fnnfast {

namespace {

template <class T>
void copy_rows(const T* from, ptrdiff_t from_row, T* to, ptrdiff_t to_row, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t r = 0; r < rows; ++r) std::copy_n(from + r * from_row, columns, to + r * to_row);
}

}  // namespace

template <class T>
void Trainer<T>::rows_task(const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first, ptrdiff_t last) {
  forward_rows(batch, first, last - first);
  loss_rows(batch, first, last - first);
  backward_rows(batch, block, first, last - first);
}

// Dropout and noise, one after the other; in and out are the batch's, and may be the same.
template <class T>
void Trainer<T>::perturb(const std::vector<Perturbation>& all, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t columns,
                         const T* in, T* out, ptrdiff_t row) const {
  const std::uint64_t step = static_cast<std::uint64_t>(steps_);
  for (const Perturbation& p : all) {
    if (p.noise)
      kernels_.noise(
          {rows, columns, first, in + first * row, row, out + first * row, row, p.amount, seed_, step, p.stream});
    else
      kernels_.dropout(
          {rows, columns, first, in + first * row, row, out + first * row, row, p.amount, seed_, step, p.stream});
    in = out;
  }
}

template <class T>
void Trainer<T>::forward_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows) {
  const auto& layers = network_.layers();
  const ptrdiff_t inputs = network_.inputs();
  for (ptrdiff_t r = first; copies_input(batch) && r < first + rows; ++r) {
    T* const row = input_.data() + r * input_row_;
    if (batch.weights != nullptr && batch.weights[r] == T(0))
      std::fill_n(row, inputs, T(0));  // a NaN in it would reach the gradient of the weights, as 0 * NaN
    else
      std::copy_n(batch.x + (batch.indices ? batch.indices[r] : r) * inputs, inputs, row);
  }
  perturb(network_.input_perturbations(), first, rows, inputs, input_.data(), input_.data(), input_row_);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    ptrdiff_t x_row;
    const T* const x = outputs_of(layer.from, batch, &x_row) + first * x_row;
    const bool activate = !(i + 1 == layers.size() && loss_.info().from_logits);
    T* const outputs = s.y.data() + first * s.row;
    T* const saved = activate && layer.saves_apart() ? s.saved.data() + first * s.row : outputs;
    T* const y = layer.info().saves == Saves::kOutput ? saved : outputs;
    LayerTask<T> t = network_.layer_task(layer, rows, x, x_row, saved, s.row, y, s.row, activate);
    t.padded = true;
    if (i + 1 < layers.size()) network_.announce(t, layers[i + 1]);
    if (layer.add != kNoLayer) {
      t.add = outputs_of(layer.add, batch, &t.add_row);
      t.add += first * t.add_row;
      t.sum = outputs;
      t.sum_row = s.row;
    }
    if (layer.layout.pieces > 1) {
      t.argmax = s.argmax.data() + first * s.row;
      t.argmax_row = s.row;
    }
    layer_forward_serial(kernels_.layer, t);
    if (activate && layer.info().rowwise)
      activate_rows(kernels_.activation[layer.activation].forward, rows, layer.layout.units, saved, s.row, y, s.row);
    perturb(layer.perturbations, first, rows, layer.layout.units, s.y.data(), s.perturbed.data(), s.row);
  }
}

template <class T>
void Trainer<T>::loss_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows) {
  const State& s = state_.back();
  const ptrdiff_t columns = loss_.targets(network_.outputs());
  const bool gathered = batch.indices != nullptr && batch.targets != nullptr;
  for (ptrdiff_t r = first; gathered && r < first + rows; ++r)
    std::copy_n(batch.targets + batch.indices[r] * columns, columns, targets_.data() + r * columns);
  LossTask<T> t{};
  t.rows = rows;
  t.columns = network_.outputs();
  t.z = s.y.data() + first * s.row;
  t.z_row = s.row;
  if (batch.labels) t.labels = batch.labels + first;
  if (batch.targets) t.targets = (gathered ? targets_.data() : batch.targets) + first * columns;
  t.targets_row = columns;
  t.precision = loss_.precision.empty() ? nullptr : loss_.precision.data();
  t.weights = batch.weights ? batch.weights + first : nullptr;
  t.scale = batch_weight_ > 0.0 ? static_cast<T>(1.0 / loss_.terms(batch_weight_, network_.outputs())) : T(0);
  t.dz = s.dz.data() + first * s.row;
  t.dz_row = s.row;
  t.row_loss = row_loss_.data() + first;
  kernels_.loss(loss_.kind, t);
}

// From the gradient of a layer's outputs to that of its pre-activations, in place.
template <class T>
void Trainer<T>::activation_gradient(std::size_t i, ptrdiff_t block, ptrdiff_t first, ptrdiff_t rows) {
  const Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  const ptrdiff_t units = layer.layout.padded_units();
  ElementwiseTask<T> t{};
  t.columns = layer.layout.units;
  t.in_row = t.dy_row = t.out_row = s.row;
  t.parameter = layer.alpha.data();
  t.parameter_step = layer.parameter_step();
  if (watching_ && layer.info().watch != Watch::kNothing) t.watch = s.watch.data() + block * units;
  const T* const saved = (layer.saves_apart() ? s.saved : s.y).data();
  for (ptrdiff_t r = first; r < first + rows; r += t.rows) {
    t.rows = std::min(layer.info().learned ? kAlphaRows : rows, first + rows - r);
    t.in = saved + r * s.row;
    t.dy = t.out = s.dz.data() + r * s.row;
    if (layer.info().learned) {
      t.dparameter = s.dalpha.data() + r / kAlphaRows * units;
      std::fill_n(t.dparameter, units, T(0));
    }
    kernels_.activation[layer.activation].backward(t);
  }
}

// From the gradient of the last layer's output (or of its logits) to the gradients of all pre-activations. A layer's dz
// holds the gradient of its outputs when its turn comes, but for what a skip connection brings.
template <class T>
void Trainer<T>::backward_rows(const Batch<T>& batch, ptrdiff_t block, ptrdiff_t first, ptrdiff_t rows) {
  const auto& layers = network_.layers();
  const auto at = [first](const Buffer<T>& buffer, const State& s) { return buffer.data() + first * s.row; };
  for (std::size_t i = layers.size(); i-- > first_trained_;) {
    const Layer<T>& layer = layers[i];
    State& s = state_[i];
    T* const dz = at(s.dz, s);
    for (ptrdiff_t r = 0; s.skips && r < rows; ++r)
      for (ptrdiff_t u = 0; u < layer.layout.units; ++u) dz[r * s.row + u] += s.skip[(first + r) * s.row + u];
    for (std::size_t p = layer.perturbations.size(); p-- > 0;)
      if (const Perturbation& dropout = layer.perturbations[p]; !dropout.noise)
        kernels_.dropout({rows, layer.layout.units, first, dz, s.row, dz, s.row, dropout.amount, seed_,
                          static_cast<std::uint64_t>(steps_), dropout.stream});
    if (layer.add >= 0) {
      State& added = state_[static_cast<std::size_t>(layer.add)];
      const bool projection = layers[static_cast<std::size_t>(layer.add)].projection;
      copy_rows(dz, s.row, at(projection ? added.dz : added.skip, added), added.row, rows, layer.layout.padded_units());
    }
    if (layer.layout.pieces > 1) {
      const MaxoutOrder order{first + rows, layer.layout.units, layer.layout.pieces};
      for (ptrdiff_t chunk = first / kMaxoutChunk; chunk < order.chunks(); ++chunk)
        order.sort(chunk, s.argmax.data(), s.row, s.dz.data(), s.row, s.order.data(), s.sorted_dz.data());
    } else if (layer.activation != kIdentity && !(i + 1 == layers.size() && loss_.info().from_logits)) {
      activation_gradient(i, block, first, rows);
    }
    if (gathers_columns(layer.layout))
      gather_columns(layer.layout, batch.rows, s.dz.data(), s.row, first, rows, s.dz_panels.data());
    if (layer.from < static_cast<ptrdiff_t>(first_trained_)) continue;
    State& before = state_[static_cast<std::size_t>(layer.from)];
    data_gradient(kernels_, layer.layout, s.transposed.data(), rows, dz, s.row,
                  layer.layout.pieces > 1 ? s.argmax.data() + first * s.row : nullptr, s.row,
                  at(layer.projection ? before.skip : before.dz, before), before.row);
  }
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast
