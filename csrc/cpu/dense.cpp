#include "dense.hpp"

#include <algorithm>

#include "operands.hpp"

namespace fnnfast::cpu {

namespace {

// With fewer rows, packing does not pay: reading the weights in place costs about as much as copying them.
constexpr ptrdiff_t kPackRows = 48;

}  // namespace

template <class T>
void apply_activation(const ActivationUse& use, bool derivative, ptrdiff_t rows, ptrdiff_t columns, const T* z,
                      T* out) {
  const ActivationKernels<T>& k = kernels<T>().activation[use.activation];
  const ElementwiseFunction<T> f = derivative ? k.derivative : k.forward;
  for_row_blocks(rows, columns, [&](ptrdiff_t first, ptrdiff_t count) {
    f(elementwise(use, count, columns, z + first * columns, out + first * columns));
  });
}

template <class T>
void dense_forward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, const T* x, const T* weight, const T* bias,
                   const ActivationUse& use, T* y, T* saved) {
  if (batch == 0) return;
  const Kernels<T>& k = kernels<T>();
  AffineConstants<T> of;
  AffineCall<T> t{};
  t.of = &of;
  // With few rows, only the last, narrower block is packed, as a layer of its own.
  const ptrdiff_t in_place = batch < kPackRows ? units / k.panel_width() * k.panel_width() : 0;
  const PanelLayout rest{inputs, units - in_place, 1, k.lanes, k.panel_vectors};
  const PackedWeights<T> panels(rest.size());
  pack_shared(rest, WeightView<const T>{weight + in_place, 0, units, 1},
              BiasView<const T>{bias ? bias + in_place : nullptr, 0, 1}, panels.data());
  if (in_place > 0) {
    of.unpacked = weight;
    of.unpacked_bias = bias;
    of.unpacked_units = in_place;
  }
  const ActivationInfo& info = kActivationInfo[use.activation];
  T* const z = saved && info.saves == Saves::kInput ? saved : y;
  set_sizes(of, PanelLayout{inputs, units, 1, k.lanes, k.panel_vectors});
  of.panels = panels.data();
  set_activation(of, k, use.activation);
  of.parameter = static_cast<const T*>(use.parameter);
  of.parameter_step = use.by_unit ? 1 : 0;
  t.rows = batch;
  t.x = x;
  t.x_row = inputs;
  t.z = z;
  t.z_row = units;
  t.y = y;
  t.y_row = units;
  affine_forward(k.affine, t);
  if (info.rowwise) apply_activation(use, false, batch, units, z, y);
}

template <class T>
void maxout_forward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, ptrdiff_t pieces, const T* x, const T* weight,
                    const T* bias, T* y, std::uint8_t* argmax) {
  if (batch == 0) return;
  if (pieces == 1) {
    if (argmax) std::fill_n(argmax, batch * units, std::uint8_t{0});
    return dense_forward(batch, inputs, units, x, weight, bias, {}, y, static_cast<T*>(nullptr));
  }
  const Kernels<T>& k = kernels<T>();
  const PanelLayout layout{inputs, units, pieces, k.lanes, k.panel_vectors};
  const PackedWeights<T> panels(layout.size());
  pack_shared(layout, contiguous_weight(weight, layout), contiguous_bias(bias, layout), panels.data());
  AffineConstants<T> of;
  set_sizes(of, layout);
  of.panels = panels.data();
  AffineCall<T> t{};
  t.of = &of;
  t.rows = batch;
  t.x = x;
  t.x_row = inputs;
  t.z = t.y = y;
  t.z_row = t.y_row = units;
  t.argmax = argmax;
  t.argmax_row = units;
  affine_forward(k.affine, t);
}

namespace {

// dx, dweight and dbias from the gradients of the pre-activations.
template <class T>
void gradients(const Kernels<T>& k, const PanelLayout& layout, ptrdiff_t batch, const T* x, const T* weight,
               const T* dz, ptrdiff_t dz_row, const std::uint8_t* argmax, T* dx, T* dweight, T* dbias) {
  Buffer<T> panels = Buffer<T>::uninitialized(layout.size());
  const TransposedLayout backward(layout);
  // Zero for the padding, which transpose() does not write.
  Buffer<T> transposed = backward.padded_inputs() > backward.inputs ? Buffer<T>(backward.size())
                                                                    : Buffer<T>::uninitialized(backward.size());
  if (layout.units == 0) std::fill_n(dx, batch * layout.inputs, T(0));
  for_blocks(layout, [&](BlockRange blocks) {
    pack_weight(layout, blocks, contiguous_weight(weight, layout), panels.data());
    for (ptrdiff_t block = blocks.first; block < blocks.last; ++block)
      for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
        const Panel panel = layout.panel(block, group);
        transpose(layout, panel, panels.data() + panel.row(0), 0, layout.inputs, transposed.data());
      }
  });

  const MaxoutOrder maxout{batch, layout.units, layout.pieces};
  Buffer<std::uint8_t> order = Buffer<std::uint8_t>::uninitialized(argmax ? maxout.size() : 0);
  Buffer<T> sorted = Buffer<T>::uninitialized(argmax ? maxout.gradients() : 0);
  const bool gathers = gathers_columns(layout);
  Buffer<T> columns = Buffer<T>::uninitialized(gathers ? batch * layout.padded_units() : 0);
  // Maxout reads its weights once per block of rows. Larger blocks read them less often, as long as every thread has
  // several blocks.
  constexpr ptrdiff_t kMostChunks = 4, kBlocksEach = 4;
  const bool many = argmax && batch >= kBlocksEach * num_threads() * kMostChunks * kMaxoutChunk;
  const ptrdiff_t chunks = many ? kMostChunks : 1;
  const ptrdiff_t rows_each = chunks * kMaxoutChunk;
  const double work = static_cast<double>(layout.inputs * layout.units * layout.pieces);
  long_parallel_for(divide_up(batch, rows_each), static_cast<double>(rows_each) * work, [&](ptrdiff_t block) {
    const ptrdiff_t first = block * rows_each;
    const ptrdiff_t rows = std::min(rows_each, batch - first);
    for (ptrdiff_t chunk = block * chunks; argmax && chunk < std::min((block + 1) * chunks, maxout.chunks()); ++chunk)
      maxout.sort(chunk, argmax, layout.units, dz, dz_row, order.data(), sorted.data());
    data_gradient(k, layout, transposed.data(), rows, dz + first * dz_row, dz_row,
                  argmax ? argmax + first * layout.units : nullptr, layout.units, dx + first * layout.inputs,
                  layout.inputs);
    if (gathers) gather_columns(layout, batch, dz, dz_row, first, rows, columns.data());
  });

  Buffer<T>& gradient = panels;  // the packed weights are no longer needed
  const GradientParts parts(layout);
  const GradientSource<T> from{batch,
                               x,
                               layout.inputs,
                               dz,
                               dz_row,
                               gathers ? columns.data() : nullptr,
                               argmax ? &maxout : nullptr,
                               order.data(),
                               sorted.data()};
  const GradientSink<T> to = stored_gradient(gradient.data());
  const double of_part = static_cast<double>(batch) * work / static_cast<double>(std::max(parts.count(), ptrdiff_t{1}));
  const auto most = static_cast<ptrdiff_t>(std::min(kPollWork / std::max(of_part, 1.0), 1e9));
  const ptrdiff_t each = std::max(ptrdiff_t{1}, std::min({layout.blocks(), parts.count() / (4 * num_threads()), most}));
  const double work_each = of_part * static_cast<double>(each);
  long_parallel_for(divide_up(parts.count(), each), work_each, [&](ptrdiff_t i) {
    weight_gradient(k, parts, i * each, std::min(parts.count(), (i + 1) * each), from, to);
  });
  for_blocks(layout, [&](BlockRange blocks) {
    unpack_weight(layout, blocks, gradient.data(), contiguous_weight(dweight, layout));
  });
  unpack_bias(layout, gradient.data(), contiguous_bias(dbias, layout));
}

template <class T>
void no_rows(const PanelLayout& layout, T* dweight, T* dbias) {
  std::fill_n(dweight, layout.pieces * layout.inputs * layout.units, T(0));
  std::fill_n(dbias, layout.pieces * layout.units, T(0));
}

}  // namespace

template <class T>
void dense_backward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, const T* dy, const T* x, const T* weight,
                    const T* saved, const ActivationUse& use, T* dx, T* dweight, T* dbias, T* dparameter) {
  const Kernels<T>& k = kernels<T>();
  const PanelLayout layout{inputs, units, 1, k.lanes, k.panel_vectors};
  if (dparameter) std::fill_n(dparameter, units, T(0));
  if (batch == 0) return no_rows(layout, dweight, dbias);
  const ptrdiff_t row = leading_dimension(layout.padded_units());
  Buffer<T> dz(batch * row);
  activation_backward(k, use, kSumRows, batch, units, dy, saved, dz.data(), row, dparameter);
  gradients(k, layout, batch, x, weight, dz.data(), row, static_cast<const std::uint8_t*>(nullptr), dx, dweight, dbias);
}

template <class T>
void maxout_backward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, ptrdiff_t pieces, const T* dy, const T* x,
                     const T* weight, const std::uint8_t* argmax, T* dx, T* dweight, T* dbias) {
  const Kernels<T>& k = kernels<T>();
  const PanelLayout layout{inputs, units, pieces, k.lanes, k.panel_vectors};
  if (batch == 0) return no_rows(layout, dweight, dbias);
  if (pieces == 1)
    return dense_backward(batch, inputs, units, dy, x, weight, dy, {}, dx, dweight, dbias, static_cast<T*>(nullptr));
  gradients(k, layout, batch, x, weight, dy, units, argmax, dx, dweight, dbias);
}

#define FNNFAST_INSTANTIATE(T)                                                                                        \
  template void apply_activation<T>(const ActivationUse&, bool, ptrdiff_t, ptrdiff_t, const T*, T*);                  \
  template void dense_forward<T>(ptrdiff_t, ptrdiff_t, ptrdiff_t, const T*, const T*, const T*, const ActivationUse&, \
                                 T*, T*);                                                                             \
  template void dense_backward<T>(ptrdiff_t, ptrdiff_t, ptrdiff_t, const T*, const T*, const T*, const T*,            \
                                  const ActivationUse&, T*, T*, T*, T*);                                              \
  template void maxout_forward<T>(ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const T*, const T*, const T*, T*,       \
                                  std::uint8_t*);                                                                     \
  template void maxout_backward<T>(ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const T*, const T*, const T*,          \
                                   const std::uint8_t*, T*, T*, T*);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
