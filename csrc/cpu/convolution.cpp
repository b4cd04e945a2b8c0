#include "convolution.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "operands.hpp"

namespace fnnfast::cpu {

template <class T>
std::vector<PhaseWeights<T>> phase_weights(const Convolution& of, int lanes, int vectors) {
  std::vector<PhaseWeights<T>> all;
  const bool maxout = of.pieces > 1;
  for (Phase<T>& phase : phases_of<T>(of)) {
    const ptrdiff_t inputs = phase.plan().taps * of.group_units();
    const PanelLayout layout = maxout ? PanelLayout{of.channels(), inputs, of.pieces, lanes, vectors}
                                      : PanelLayout{inputs, of.image.c, 1, lanes, vectors, of.panel_groups()};
    const ptrdiff_t size = maxout ? TransposedLayout(layout).size() : layout.size();
    all.push_back({std::move(phase), layout, Buffer<T>(size), {}});
  }
  for (PhaseWeights<T>& weights : all) {  // now that they do not move any more
    if (maxout) continue;
    set_sizes(weights.constants, weights.layout);
    set_windows(weights.constants, weights.phase.owned);
    weights.constants.panels = weights.panels.data();
  }
  return all;
}

template <class T>
void PhaseWeights<T>::take(const Convolution& of, const PanelLayout& from, const Panel& panel, const T* weights,
                           ptrdiff_t first, ptrdiff_t last) {
  const auto row_of = [&](ptrdiff_t input) { return weights + (input - first) * panel.width; };
  const ptrdiff_t channels = of.channels(), units = of.group_units();
  // A group's panels are transposed ones, too: over its channels, with a row for the bias before the others.
  const ptrdiff_t bias = of.pieces > 1 ? 0 : 1;
  const TransposedLayout to(
      of.pieces > 1 ? layout : PanelLayout{channels, bias + layout.inputs, 1, layout.lanes, layout.vectors});
  for (ptrdiff_t tap = 0; tap < phase.plan().taps; ++tap) {
    const ptrdiff_t start = phase.taps[static_cast<std::size_t>(tap)] * channels;
    const ptrdiff_t begin = std::max(first, start), end = std::min(last, start + channels);
    if (begin >= end) continue;
    if (of.is_depthwise()) {  // units are channels, and panels have the same ones
      const Panel own = layout.panel(panel.unit / layout.block_units(), 0);
      std::copy_n(row_of(begin), panel.units, panels.data() + own.offset + (1 + tap) * own.width);
      continue;
    }
    const ptrdiff_t group = panel.unit / units;
    const ptrdiff_t row = bias + (tap * units + panel.unit - group * units) * of.pieces + panel.piece;
    transpose(from, panel, row_of(begin), begin, end, to, row, begin - start,
              panels.data() + group * layout.group_size());
  }
}

template <class T>
void maxout_phase(const Kernels<T>& k, const Convolution& of, const PhaseWeights<T>& weights, ptrdiff_t first,
                  ptrdiff_t count, const T* dy, ptrdiff_t dy_row, const std::uint8_t* argmax, ptrdiff_t argmax_row,
                  T* dx, ptrdiff_t dx_row) {
  constexpr ptrdiff_t kRows = 64;  // whose windows of dy and argmax are copied at a time
  const WindowPlan& plan = weights.phase.plan();
  const ptrdiff_t inputs = weights.layout.units, channels = weights.layout.inputs;
  for (ptrdiff_t row = first; row < first + count; row += kRows) {
    const ptrdiff_t rows = std::min(kRows, first + count - row);
    T* const windows = thread_scratch<T>(Scratch::kTile, rows * (inputs + channels));
    T* const to = windows + rows * inputs;
    std::uint8_t* const choices = thread_scratch<std::uint8_t>(Scratch::kTile, rows * inputs);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      copy_window(plan, dy, dy_row, row + r, 0, inputs, windows + r * inputs);
      copy_window(plan, argmax, argmax_row, row + r, 0, inputs, choices + r * inputs);
    }
    if (inputs == 0) std::fill_n(to, rows * channels, T(0));
    data_gradient(k, weights.layout, weights.panels.data(), rows, windows, inputs, choices, inputs, to, channels);
    weights.phase.scatter(of, row, rows, to, channels, dx, dx_row);
  }
}

namespace {

template <class T>
PanelLayout layout_of(const Kernels<T>& k, const Convolution& of) {
  return {of.windows.taps() * of.channels(), of.units, of.pieces, k.lanes, k.panel_vectors, of.panel_groups()};
}

// With weights in the user's layout.
template <class T>
std::vector<PhaseWeights<T>> packed_phases(const Kernels<T>& k, const Convolution& of, const T* weight) {
  std::vector<PhaseWeights<T>> phases = phase_weights<T>(of, k.lanes, k.panel_vectors);
  const PanelLayout layout = layout_of(k, of);
  const Buffer<T> panels = Buffer<T>::uninitialized(layout.size());
  for_blocks(layout, [&](BlockRange blocks) {
    pack_weight(layout, blocks, contiguous_weight(weight, layout), panels.data());
    for (ptrdiff_t block = blocks.first; block < blocks.last; ++block)
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(block, group);
        for (PhaseWeights<T>& weights : phases)
          weights.take(of, layout, panel, panels.data() + panel.row(0), 0, layout.inputs);
      }
  });
  return phases;
}

// dx = dz convolved with the transposed weights: one chain per input over (ky, kx, unit), from 0.
template <class T>
void image_gradient(const Kernels<T>& k, const Convolution& of, ptrdiff_t batch, const T* weight, const T* dz,
                    ptrdiff_t dz_row, T* dx) {
  const ptrdiff_t channels = of.image.c;
  const std::vector<PhaseWeights<T>> phases = packed_phases(k, of, weight);
  for (const PhaseWeights<T>& weights : phases) {
    const Phase<T>& phase = weights.phase;
    const bool apart = phases.size() > 1;
    const ptrdiff_t rows = batch * phase.plan().pixels();
    const Buffer<T> own = Buffer<T>::uninitialized(apart ? rows * channels : 0);
    AffineCall<T> t{};
    t.of = &weights.constants;
    t.rows = rows;
    t.x = dz;
    t.x_row = dz_row;
    t.z = t.y = apart ? own.data() : dx;
    t.z_row = t.y_row = channels;
    affine_forward(k.affine, t);
    if (!apart) continue;
    for_row_blocks(rows, channels, [&](ptrdiff_t first, ptrdiff_t count) {
      phase.scatter(of, first, count, own.data() + first * channels, channels, dx, channels);
    });
  }
}

// dz is readable to the width of a panel after the last unit of a row.
template <class T>
void parameter_gradients(const Kernels<T>& k, const Convolution& of, ptrdiff_t batch, const T* x, const T* dz,
                         ptrdiff_t dz_row, T* dweight, T* dbias) {
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const PanelLayout layout = layout_of(k, of);
  const SampleBlocks blocks(of.pixels(), batch);
  const WindowGradientTasks tasks(owned.plan, layout, blocks, num_threads());
  Buffer<T> sums = Buffer<T>::uninitialized(blocks.count() * layout.size());
  const WindowGradientSource<T> from{owned.plan, owned.zeros.data(), x, of.image.c, dz, dz_row, sums.data()};
  const double work_each = static_cast<double>(blocks.rows(0)) * static_cast<double>(layout.inputs) *
                           static_cast<double>(of.units) / static_cast<double>(tasks.across * tasks.panels);
  long_parallel_for(tasks.count, work_each,
                    [&](ptrdiff_t task) { window_gradient_task(k, tasks, layout, blocks, from, task); });
  for_blocks(layout, [&](BlockRange range) {
    for (ptrdiff_t b = range.first; b < range.last; ++b)
      add_blocks(blocks, layout, layout.panel(b, 0), 0, layout.inputs + 1, sums.data());
    unpack_weight(layout, range, sums.data(), contiguous_weight(dweight, layout));
  });
  unpack_bias(layout, sums.data(), contiguous_bias(dbias, layout));
}

// y, and what backward needs: the activation's input z, else equal to y; the argmax of maxout, else null.
template <class T>
void forward(const Convolution& of, ptrdiff_t batch, const T* x, const T* weight, const T* bias,
             const ActivationUse& use, T* z, T* y, std::uint8_t* argmax) {
  const Kernels<T>& k = kernels<T>();
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const PanelLayout layout = layout_of(k, of);
  const PackedWeights<T> panels(layout.size());
  pack_shared(layout, contiguous_weight(weight, layout), contiguous_bias(bias, layout), panels.data());
  AffineConstants<T> constants;
  set_sizes(constants, layout);
  set_windows(constants, owned);
  set_activation(constants, k, use.activation);
  constants.panels = panels.data();
  constants.parameter = static_cast<const T*>(use.parameter);
  constants.parameter_step = use.by_unit ? 1 : 0;
  AffineCall<T> t{};
  t.of = &constants;
  t.rows = batch * of.pixels();
  t.x = x;
  t.x_row = of.image.c;
  t.z = z;
  t.y = y;
  t.argmax = argmax;
  t.z_row = t.y_row = t.argmax_row = of.units;
  affine_forward(k.affine, t);
}

template <class T>
void no_samples(const Convolution& of, T* dweight, T* dbias) {
  std::fill_n(dweight, of.pieces * of.windows.taps() * of.channels() * of.units, T(0));
  std::fill_n(dbias, of.pieces * of.units, T(0));
}

}  // namespace

template <class T>
void convolution_forward(const Convolution& of, ptrdiff_t batch, const T* x, const T* weight, const T* bias,
                         const ActivationUse& use, T* y, T* saved) {
  const ptrdiff_t rows = batch * of.pixels();
  if (of.windows.is_pointwise() && of.groups == 1)
    return dense_forward(rows, of.image.c, of.units, x, weight, bias, use, y, saved);
  if (rows == 0) return;
  const ActivationInfo& info = kActivationInfo[use.activation];
  T* const z = saved && info.saves == Saves::kInput ? saved : y;
  forward<T>(of, batch, x, weight, bias, use, z, y, nullptr);
  if (info.rowwise) apply_activation(use, false, rows, of.units, z, y);
}

template <class T>
void convolution_backward(const Convolution& of, ptrdiff_t batch, const T* dy, const T* x, const T* weight,
                          const T* saved, const ActivationUse& use, T* dx, T* dweight, T* dbias, T* dparameter) {
  if (dparameter) std::fill_n(dparameter, of.units, T(0));
  if (batch == 0) return no_samples(of, dweight, dbias);
  const Kernels<T>& k = kernels<T>();
  const ptrdiff_t rows = batch * of.pixels();
  const ptrdiff_t row = leading_dimension((of.units + k.lanes - 1) / k.lanes * k.lanes);
  Buffer<T> dz(rows * row + k.panel_width());  // the last group's panels may end after the row
  activation_backward(k, use, sum_samples(of.pixels()) * of.pixels(), rows, of.units, dy, saved, dz.data(), row,
                      dparameter);
  image_gradient(k, of, batch, weight, dz.data(), row, dx);
  parameter_gradients(k, of, batch, x, dz.data(), row, dweight, dbias);
}

template <class T>
void maxout_convolution_forward(const Convolution& of, ptrdiff_t batch, const T* x, const T* weight, const T* bias,
                                T* y, std::uint8_t* argmax) {
  const ptrdiff_t rows = batch * of.pixels();
  if (rows == 0) return;
  if (of.pieces == 1) {
    if (argmax) std::fill_n(argmax, rows * of.units, std::uint8_t{0});
    return convolution_forward(of, batch, x, weight, bias, {}, y, static_cast<T*>(nullptr));
  }
  forward(of, batch, x, weight, bias, {}, y, y, argmax);
}

namespace {

template <class T>
void maxout_image_gradient(const Kernels<T>& k, const Convolution& of, ptrdiff_t batch, const T* weight, const T* dy,
                           const std::uint8_t* argmax, T* dx) {
  for (const PhaseWeights<T>& weights : packed_phases(k, of, weight)) {
    constexpr ptrdiff_t kRows = 64;
    const ptrdiff_t rows = batch * weights.phase.plan().pixels();
    const double work_each = static_cast<double>(kRows * weights.layout.units) * static_cast<double>(of.image.c);
    long_parallel_for(divide_up(rows, kRows), work_each, [&](ptrdiff_t block) {
      const ptrdiff_t first = block * kRows;
      maxout_phase(k, of, weights, first, std::min(kRows, rows - first), dy, of.units, argmax, of.units, dx,
                   of.image.c);
    });
  }
}

template <class T>
void maxout_parameter_gradients(const Kernels<T>& k, const Convolution& of, ptrdiff_t batch, const T* x, const T* dy,
                                const std::uint8_t* argmax, T* dweight, T* dbias) {
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const PanelLayout layout = layout_of(k, of);
  const SampleBlocks blocks(of.pixels(), batch);
  const MaxoutOrder largest{blocks.rows(0), of.units, of.pieces};
  const Buffer<std::uint8_t> order = Buffer<std::uint8_t>::uninitialized(largest.size());
  const Buffer<T> sorted = Buffer<T>::uninitialized(largest.gradients());
  const GradientParts parts(layout);
  Buffer<T> sum(layout.size());
  Buffer<T> term = Buffer<T>::uninitialized(blocks.count() > 1 ? layout.size() : 0);
  for (ptrdiff_t block = 0; block < blocks.count(); ++block) {
    const ptrdiff_t first = blocks.first_row(block), rows = blocks.rows(block);
    const MaxoutOrder maxout{rows, of.units, of.pieces};
    parallel_for(maxout.chunks(), [&](ptrdiff_t chunk) {
      maxout.sort(chunk, argmax + first * of.units, of.units, dy + first * of.units, of.units, order.data(),
                  sorted.data());
    });
    const GradientSource<T> from{rows,          x,           of.image.c, nullptr, 0, nullptr, &maxout, order.data(),
                                 sorted.data(), &owned.plan, first};
    const GradientSink<T> to = stored_gradient(block == 0 ? sum.data() : term.data());
    const double work_each =
        static_cast<double>(rows) * static_cast<double>(layout.size()) / static_cast<double>(parts.count());
    long_parallel_for(parts.count(), work_each,
                      [&](ptrdiff_t part) { weight_gradient(k, parts, part, part + 1, from, to); });
    if (block > 0) add_to(layout.size(), term.data(), sum.data());
  }
  unpack_weight(layout, sum.data(), contiguous_weight(dweight, layout));
  unpack_bias(layout, sum.data(), contiguous_bias(dbias, layout));
}

}  // namespace

template <class T>
void maxout_convolution_backward(const Convolution& of, ptrdiff_t batch, const T* dy, const T* x, const T* weight,
                                 const std::uint8_t* argmax, T* dx, T* dweight, T* dbias) {
  if (batch == 0) return no_samples(of, dweight, dbias);
  if (of.pieces == 1)
    return convolution_backward(of, batch, dy, x, weight, dy, {}, dx, dweight, dbias, static_cast<T*>(nullptr));
  const Kernels<T>& k = kernels<T>();
  maxout_image_gradient(k, of, batch, weight, dy, argmax, dx);
  maxout_parameter_gradients(k, of, batch, x, dy, argmax, dweight, dbias);
}

#define FNNFAST_INSTANTIATE(T)                                                                                       \
  template void convolution_forward<T>(const Convolution&, ptrdiff_t, const T*, const T*, const T*,                  \
                                       const ActivationUse&, T*, T*);                                                \
  template void convolution_backward<T>(const Convolution&, ptrdiff_t, const T*, const T*, const T*, const T*,       \
                                        const ActivationUse&, T*, T*, T*, T*);                                       \
  template void maxout_convolution_forward<T>(const Convolution&, ptrdiff_t, const T*, const T*, const T*, T*,       \
                                              std::uint8_t*);                                                        \
  template void maxout_convolution_backward<T>(const Convolution&, ptrdiff_t, const T*, const T*, const T*,          \
                                               const std::uint8_t*, T*, T*, T*);                                     \
  template std::vector<PhaseWeights<T>> phase_weights<T>(const Convolution&, int, int);                              \
  template void PhaseWeights<T>::take(const Convolution&, const PanelLayout&, const Panel&, const T*, ptrdiff_t,     \
                                      ptrdiff_t);                                                                    \
  template void maxout_phase<T>(const Kernels<T>&, const Convolution&, const PhaseWeights<T>&, ptrdiff_t, ptrdiff_t, \
                                const T*, ptrdiff_t, const std::uint8_t*, ptrdiff_t, T*, ptrdiff_t);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
