// A training step's second half: the gradients of the weights, and what the optimizer makes of them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "threads.hpp"
#include "train.hpp"

namespace fnnfast {

template <class T>
UpdateStep<T> Trainer<T>::update_step(double learning_rate, bool weights, double scale) const {
  return fnnfast::update_step<T>(settings_, steps_, learning_rate, weights, scale);
}

template <class T>
void Trainer<T>::update_rows(std::size_t layer, ptrdiff_t offset, ptrdiff_t n, const T* gradient,
                             const UpdateStep<T>& step, T* squares) {
  OptimizerState& o = state_[layer].optimizer;
  T* const second = o.panels[1].size() ? o.panels[1].data() + offset : nullptr;
  kernels_.update[static_cast<int>(settings_.kind)]({n, network_.layers()[layer].panels.data() + offset, gradient,
                                                     o.panels[0].data() + offset, second, &step, squares});
}

template <class T>
void Trainer<T>::update_alpha(std::size_t i, const UpdateStep<T>& step) {
  Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  kernels_.update[static_cast<int>(settings_.kind)]({layer.layout.padded_units(), layer.alpha.data(),
                                                     s.alpha_gradient.data(), s.optimizer.alpha[0].data(),
                                                     s.optimizer.alpha[1].data(), &step, nullptr});
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
  from.x = outputs_of(layer.from, batch, &from.x_row);
  from.dz = s.dz.data();
  from.dz_row = s.row;
  if (gathers_columns(layer.layout)) from.dz_panels = s.dz_panels.data();
  if (layer.layout.pieces > 1) {
    from.maxout = &order;
    from.order = s.order.data();
    from.sorted = s.sorted_dz.data();
  }
  T* const squares = squares_of(i, first_part);  // for all parts of this task
  Destination to{weights ? nullptr : s.gradient.data(),
                 [&](const Panel& panel, ptrdiff_t first, ptrdiff_t count, ptrdiff_t offset, const T* values) {
                   update_rows(i, offset, count * panel.width, values, first < 0 ? *others : *weights, squares);
                   if (layer.from != kNetworkInput && first >= 0)
                     transpose(layer.layout, panel, layer.panels.data(), first, first + count, s.transposed.data());
                 }};
  weight_gradient(kernels_, GradientParts(layer.layout), first_part, last_part, from, {&to, &decltype(to)::take});
}

// A learned slope's gradient: the sums of the blocks of rows, in order.
template <class T>
void Trainer<T>::alpha_task(std::size_t i, ptrdiff_t rows, const UpdateStep<T>* others) {
  const ptrdiff_t units = network_.layers()[i].layout.padded_units();
  State& s = state_[i];
  T* const gradient = s.alpha_gradient.data();
  std::copy_n(s.dalpha.data(), units, gradient);
  for (ptrdiff_t block = 1; block < divide_up(rows, kAlphaRows); ++block)
    for (ptrdiff_t u = 0; u < units; ++u) gradient[u] += s.dalpha[block * units + u];
  if (others) update_alpha(i, *others);
}

template <class T>
void Trainer<T>::refresh_transposed(std::size_t i) {
  const Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  if (layer.from == kNetworkInput || s.version == layer.version) return;
  const PanelLayout& layout = layer.layout;
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group)
      transpose(layout, layout.panel(block, group), layer.panels.data(), 0, layout.inputs, s.transposed.data());
  s.version = layer.version;
}

// Of all gradients together. The sums are the same on every instruction set: one for each piece and unit, over the bias
// and the inputs in order, then those in order. Where the squares overflow, everything is taken smaller.
template <class T>
double Trainer<T>::gradient_norm() {
  const double norm = gradient_norm(T(1));
  if (!std::isinf(norm)) return norm;
  const T factor = std::sqrt(std::numeric_limits<T>::min());
  return gradient_norm(factor) / static_cast<double>(factor);
}

template <class T>
double Trainer<T>::gradient_norm(T factor) {
  double sum = 0.0;
  for (std::size_t i = 0; i < state_.size(); ++i) {
    const PanelLayout& layout = network_.layers()[i].layout;
    State& s = state_[i];
    Buffer<T> columns(layout.pieces * layout.units);
    parallel_for(layout.blocks(), [&](ptrdiff_t block) {
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(block, group);
        T* const squares = thread_scratch<T>(Scratch::kTile, panel.width);
        kernels_.column_squares(layout.inputs + 1, panel.width, s.gradient.data() + panel.offset, panel.width, factor,
                                squares);
        for (ptrdiff_t p = 0; p < panel.pieces; ++p)
          std::copy_n(squares + p * panel.stride, panel.units,
                      columns.data() + (panel.piece + p) * layout.units + panel.unit);
      }
    });
    for (ptrdiff_t c = 0; c < columns.size(); ++c) sum += static_cast<double>(columns[c]);
    for (ptrdiff_t u = 0; u < s.alpha_gradient.size(); ++u) {
      const double alpha = static_cast<double>(s.alpha_gradient[u]) * static_cast<double>(factor);
      sum += alpha * alpha;
    }
  }
  return std::sqrt(sum);
}

template <class T>
void Trainer<T>::apply(double learning_rate) {
  double scale = 1.0;
  if (settings_.clip_norm > 0.0) {
    const double norm = gradient_norm();
    if (norm > settings_.clip_norm) scale = settings_.clip_norm / norm;
  }
  const UpdateStep<T> weights = update_step(learning_rate, true, scale);
  const UpdateStep<T> others = update_step(learning_rate, false, scale);
  for (std::size_t i = 0; i < state_.size(); ++i) {
    Layer<T>& layer = network_.layers()[i];
    State& s = state_[i];
    if (s.frozen) continue;
    const PanelLayout& layout = layer.layout;
    // There are at least as many parts as blocks.
    parallel_for(layout.blocks(), [&](ptrdiff_t block) {
      T* const squares = squares_of(i, block);
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(block, group);
        const ptrdiff_t offset = panel.offset + panel.width;
        update_rows(i, panel.offset, panel.width, s.gradient.data() + panel.offset, others, squares);
        update_rows(i, offset, layout.inputs * panel.width, s.gradient.data() + offset, weights, squares);
        if (layer.from != kNetworkInput)
          transpose(layout, panel, layer.panels.data(), 0, layout.inputs, s.transposed.data());
      }
    });
    if (layer.info().learned) update_alpha(i, others);
    s.version = ++layer.version;
  }
  ++steps_;
  count_update();
}

template <class T>
T* Trainer<T>::squares_of(std::size_t layer, ptrdiff_t part) {
  return state_[layer].squares.data() + 2 * kernels_.lanes * part;
}

// After an update. The sums of squares are taken out before they grow too large for the next to show in them.
template <class T>
void Trainer<T>::count_update() {
  constexpr std::int64_t kFoldSteps = 64;
  for (std::size_t i = 0; i < state_.size(); ++i)
    if (++state_[i].diagnosis.steps % kFoldSteps == 0) fold_squares(i);
}

template <class T>
void Trainer<T>::fold_squares(std::size_t i) {
  State& s = state_[i];
  const ptrdiff_t lanes = kernels_.lanes;
  for (ptrdiff_t at = 0; at < s.squares.size(); ++at) {
    (at / lanes % 2 == 0 ? s.diagnosis.gradient_squares : s.diagnosis.update_squares) +=
        static_cast<double>(s.squares[at]);
    s.squares[at] = T(0);
  }
}

// Takes what the blocks of rows have seen of the activations' derivatives together.
template <class T>
void Trainer<T>::fold_watch(std::size_t i) {
  const Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  const ptrdiff_t row = layer.layout.padded_units();
  for (ptrdiff_t at = 0; at < s.watch.size(); ++at) {
    double& unit = s.watched[at % row];
    const double seen = static_cast<double>(s.watch[at]);
    if (layer.info().watch == Watch::kSaturated)
      unit += seen;
    else if (unit == unit && !(seen <= unit))
      unit = seen;  // a NaN stays
    s.watch[at] = T(0);
  }
}

template <class T>
LayerDiagnosis Trainer<T>::take_diagnosis(std::size_t i) {
  const Layer<T>& layer = network_.layers()[i];
  State& s = state_[i];
  fold_squares(i);
  LayerDiagnosis result = s.diagnosis;
  s.diagnosis = {};
  // Nothing is counted where no gradient passes the activation: below the first layer that is trained, and in a head
  // that the loss takes from its logits.
  if (s.watch.size() == 0 || result.rows == 0 || i < first_trained_ ||
      (loss_.info().from_logits && i + 1 == state_.size()))
    return result;
  fold_watch(i);
  const ptrdiff_t units = layer.layout.units;
  double count = 0.0;
  for (ptrdiff_t u = 0; u < units; ++u)
    count += layer.info().watch == Watch::kSaturated ? s.watched[u] : s.watched[u] < layer.info().small ? 1.0 : 0.0;
  std::fill_n(s.watched.data(), s.watched.size(), 0.0);
  if (layer.info().watch == Watch::kDead)
    result.dead = count / static_cast<double>(units);
  else
    result.saturated = count / (static_cast<double>(units) * static_cast<double>(result.rows));
  return result;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fnnfast
