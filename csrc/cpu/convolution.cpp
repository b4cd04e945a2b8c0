#include "convolution.hpp"

#include <algorithm>
#include <vector>

#include "operands.hpp"

namespace fnnfast::cpu {

namespace {

// A plan with the memory that it refers to.
template <class T>
struct OwnedPlan {
  std::vector<Tap> taps;
  Buffer<T> zeros;
  WindowPlan plan{};

  void finish(ptrdiff_t channels) {
    plan.channels = channels;
    plan.taps = static_cast<ptrdiff_t>(taps.size());
    plan.tap = taps.data();
    zeros = Buffer<T>(channels);
  }
};

template <class T>
OwnedPlan<T> forward_plan(const Convolution& of) {
  const Windows& w = of.windows;
  OwnedPlan<T> owned;
  for (ptrdiff_t ky = 0; ky < w.kernel[0]; ++ky)
    for (ptrdiff_t kx = 0; kx < w.kernel[1]; ++kx)
      owned.taps.push_back({ky * w.dilation[0] - w.before[0], kx * w.dilation[1] - w.before[1]});
  const Shape out = of.output();
  owned.plan = {of.image.h, of.image.w, out.h, out.w, w.stride[0], w.stride[1], 0, 0, nullptr};
  owned.finish(of.image.c / of.groups);
  return owned;
}

// The gradient of the image, of the pixels (y, x) with y = phase[0] and x = phase[1] modulo the stride: a convolution
// of stride 1 over dz. A tap (ky, kx) takes part if the stride divides its distance, so no zeros between the pixels of
// dz are multiplied.
template <class T>
struct Phase {
  OwnedPlan<T> owned;
  std::vector<ptrdiff_t> taps;  // ky * kernel width + kx of each tap
  ptrdiff_t first_y, first_x;

  Phase(const Convolution& of, ptrdiff_t y, ptrdiff_t x) : first_y(y), first_x(x) {
    const Windows& w = of.windows;
    for (ptrdiff_t ky = 0; ky < w.kernel[0]; ++ky)
      for (ptrdiff_t kx = 0; kx < w.kernel[1]; ++kx) {
        const ptrdiff_t dy = y + w.before[0] - ky * w.dilation[0], dx = x + w.before[1] - kx * w.dilation[1];
        if (dy % w.stride[0] != 0 || dx % w.stride[1] != 0) continue;
        owned.taps.push_back({dy / w.stride[0], dx / w.stride[1]});
        taps.push_back(ky * w.kernel[1] + kx);
      }
    const Shape out = of.output();
    owned.plan = {
        out.h, out.w,  divide_up(of.image.h - y, w.stride[0]), divide_up(of.image.w - x, w.stride[1]), 1, 1, 0,
        0,     nullptr};
    owned.finish(of.units / of.groups);
  }

  ptrdiff_t rows(const Convolution& of) const { return of.batch * owned.plan.pixels(); }

  // The weights of one group as a matrix [tap, unit][channel] for each piece.
  Buffer<T> transposed(const Convolution& of, const T* weight, ptrdiff_t group) const {
    const ptrdiff_t channels = of.image.c / of.groups, units = of.units / of.groups;
    const auto count = static_cast<ptrdiff_t>(taps.size());
    Buffer<T> to = Buffer<T>::uninitialized(of.pieces * count * units * channels);
    parallel_for(of.pieces * count, [&](ptrdiff_t i) {
      const ptrdiff_t tap = i / count * of.windows.taps() + taps[static_cast<std::size_t>(i % count)];
      const T* const in = weight + tap * channels * of.units + group * units;
      T* const out = to.data() + i * units * channels;
      for (ptrdiff_t c = 0; c < channels; ++c)
        for (ptrdiff_t u = 0; u < units; ++u) out[u * channels + c] = in[c * of.units + u];
    });
    return to;
  }

  // Rows of this phase to their pixels of dx. `first` is the first one's number.
  void scatter(const Convolution& of, ptrdiff_t first, ptrdiff_t count, const T* from, ptrdiff_t from_row,
               ptrdiff_t channels, T* dx) const {
    const WindowPlan& plan = owned.plan;
    for (ptrdiff_t r = first; r < first + count; ++r) {
      const ptrdiff_t sample = r / plan.pixels();
      const ptrdiff_t y = first_y + r % plan.pixels() / plan.output_width * of.windows.stride[0];
      const ptrdiff_t x = first_x + r % plan.output_width * of.windows.stride[1];
      std::copy_n(from + (r - first) * from_row, channels,
                  dx + ((sample * of.image.h + y) * of.image.w + x) * of.image.c);
    }
  }
};

// f(phase) for those with pixels.
template <class T, class F>
void for_phases(const Convolution& of, F&& f) {
  for (ptrdiff_t y = 0; y < std::min(ptrdiff_t{of.windows.stride[0]}, of.image.h); ++y)
    for (ptrdiff_t x = 0; x < std::min(ptrdiff_t{of.windows.stride[1]}, of.image.w); ++x) f(Phase<T>(of, y, x));
}
bool one_phase(const Convolution& of) { return of.windows.stride[0] == 1 && of.windows.stride[1] == 1; }

// dx = dz convolved with the transposed weights: one chain per input over (ky, kx, unit), from 0. dz is readable for
// rows of dz_row.
template <class T>
void image_gradient(const Kernels<T>& k, const Convolution& of, const T* weight, const T* dz, ptrdiff_t dz_row, T* dx) {
  const ptrdiff_t channels = of.image.c / of.groups, units = of.units / of.groups;
  for_phases<T>(of, [&](const Phase<T>& phase) {
    const PanelLayout layout{phase.owned.plan.taps * units, channels, 1, k.lanes, k.panel_vectors};
    const ptrdiff_t rows = phase.rows(of);
    const Buffer<T> apart = Buffer<T>::uninitialized(one_phase(of) ? 0 : rows * channels);
    for (ptrdiff_t group = 0; group < of.groups; ++group) {
      const Buffer<T> transposed = phase.transposed(of, weight, group);
      const PackedWeights<T> panels(layout.size());
      pack_shared(layout, contiguous_weight<const T>(transposed.data(), layout), BiasView<const T>{}, panels.data());
      AffineConstants<T> constants;
      set_sizes(constants, layout);
      constants.panels = panels.data();
      constants.windows = &phase.owned.plan;
      constants.zeros = phase.owned.zeros.data();
      AffineCall<T> t{};
      t.of = &constants;
      t.rows = rows;
      t.x = dz + group * units;
      t.x_row = dz_row;
      t.z = t.y = one_phase(of) ? dx + group * channels : apart.data();
      t.z_row = t.y_row = one_phase(of) ? of.image.c : channels;
      affine_forward(k.affine, t);
      if (one_phase(of)) continue;
      for_row_blocks(rows, channels, [&](ptrdiff_t first, ptrdiff_t count) {
        phase.scatter(of, first, count, apart.data() + first * channels, channels, channels, dx + group * channels);
      });
    }
  });
}

// Gradients of parameters are summed over blocks of whole samples of about so many output pixels.
constexpr ptrdiff_t kSummedRows = 16384;

struct SampleBlocks {
  ptrdiff_t pixels, samples, batch;
  explicit SampleBlocks(const Convolution& of)
      : pixels(of.output().pixels()), samples(std::max(ptrdiff_t{1}, kSummedRows / pixels)), batch(of.batch) {}
  ptrdiff_t count() const { return divide_up(batch, samples); }
  ptrdiff_t first_row(ptrdiff_t block) const { return block * samples * pixels; }
  ptrdiff_t rows(ptrdiff_t block) const { return std::min(samples, batch - block * samples) * pixels; }
};

// sum += term
template <class T>
void add(ptrdiff_t n, const T* term, T* sum) {
  for (ptrdiff_t i = 0; i < n; ++i) sum[i] += term[i];
}

// dz is readable to whole vectors after the last unit of a row.
template <class T>
void parameter_gradients(const Kernels<T>& k, const Convolution& of, const T* x, const T* dz, ptrdiff_t dz_row,
                         T* dweight, T* dbias) {
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const WindowPlan& plan = owned.plan;
  const ptrdiff_t units = of.units / of.groups;
  const PanelLayout layout{plan.taps * plan.channels, units, 1, k.lanes, k.panel_vectors};
  const SampleBlocks blocks(of);
  // A task is a range of parts, each some channels of one tap, for one panel and one block of samples.
  constexpr ptrdiff_t kChannels = 96, kTasksEach = 4;
  const ptrdiff_t parts = plan.taps * divide_up(plan.channels, kChannels);
  const ptrdiff_t apart = blocks.count() * layout.blocks();
  const ptrdiff_t cuts = std::min(divide_up(kTasksEach * num_threads(), std::max(apart, ptrdiff_t{1})), parts);
  const ptrdiff_t parts_each = divide_up(parts, cuts);
  const ptrdiff_t across = divide_up(parts, parts_each);
  Buffer<T> sums = Buffer<T>::uninitialized(blocks.count() * layout.size());
  const double work_each = static_cast<double>(blocks.rows(0)) * static_cast<double>(layout.inputs) *
                           static_cast<double>(units) / static_cast<double>(across * layout.blocks());
  for (ptrdiff_t group = 0; group < of.groups; ++group) {
    long_parallel_for(apart * across, work_each, [&](ptrdiff_t i) {
      const ptrdiff_t block = i / across / layout.blocks();
      const Panel panel = layout.panel(i / across % layout.blocks(), 0);
      const ptrdiff_t first = i % across * parts_each, last = std::min(parts, first + parts_each);
      const T* const gradients = dz + blocks.first_row(block) * dz_row + group * units + panel.unit;
      T* const to = sums.data() + block * layout.size() + panel.offset;
      if (first == 0) k.column_sums(blocks.rows(block), panel.width, gradients, dz_row, to);
      k.window_product({&plan, owned.zeros.data(), x + group * plan.channels, of.image.c, blocks.first_row(block),
                        blocks.rows(block), gradients, dz_row, first, last, kChannels, panel.width, to + panel.width});
    });
    for_blocks(layout, [&](BlockRange range) {
      for (ptrdiff_t b = range.first; b < range.last; ++b) {
        const Panel panel = layout.panel(b, 0);
        for (ptrdiff_t block = 1; block < blocks.count(); ++block)
          add((layout.inputs + 1) * panel.width, sums.data() + block * layout.size() + panel.offset,
              sums.data() + panel.offset);
      }
      unpack_weight(layout, range, sums.data(), WeightView<T>{dweight + group * units, 0, of.units, 1});
    });
    unpack_bias(layout, sums.data(), BiasView<T>{dbias + group * units, 0, 1});
  }
}

template <class T>
void set_windows(AffineConstants<T>& constants, AffineCall<T>& call, const Convolution& of, const OwnedPlan<T>& owned,
                 const T* x) {
  constants.windows = &owned.plan;
  constants.zeros = owned.zeros.data();
  call.x = x;
  call.x_row = of.image.c;
  call.rows = of.rows();
  call.z_row = call.y_row = of.units;
}

template <class T>
void no_samples(const Convolution& of, T* dweight, T* dbias) {
  std::fill_n(dweight, of.pieces * of.windows.taps() * (of.image.c / of.groups) * of.units, T(0));
  std::fill_n(dbias, of.pieces * of.units, T(0));
}

}  // namespace

template <class T>
void convolution_forward(const Convolution& of, const T* x, const T* weight, const T* bias, const ActivationUse& use,
                         T* y, T* saved) {
  const ptrdiff_t rows = of.rows();
  if (of.windows.is_pointwise() && of.groups == 1)
    return dense_forward(rows, of.image.c, of.units, x, weight, bias, use, y, saved);
  if (rows == 0) return;
  const Kernels<T>& k = kernels<T>();
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const ptrdiff_t channels = owned.plan.channels, units = of.units / of.groups;
  const PanelLayout layout{owned.plan.taps * channels, units, 1, k.lanes, k.panel_vectors};
  const ActivationInfo& info = kActivationInfo[use.activation];
  T* const z = saved && info.saves == Saves::kInput ? saved : y;
  for (ptrdiff_t group = 0; group < of.groups; ++group) {
    const ptrdiff_t unit = group * units;
    const PackedWeights<T> panels(layout.size());
    pack_shared(layout, WeightView<const T>{weight + unit, 0, of.units, 1},
                BiasView<const T>{bias ? bias + unit : nullptr, 0, 1}, panels.data());
    AffineConstants<T> constants;
    AffineCall<T> t{};
    t.of = &constants;
    set_sizes(constants, layout);
    set_activation(constants, k, use.activation);
    set_windows(constants, t, of, owned, x + group * channels);
    constants.panels = panels.data();
    constants.parameter = static_cast<const T*>(use.parameter);
    constants.parameter_step = use.by_unit ? 1 : 0;
    if (use.by_unit) constants.parameter += unit;
    t.z = z + unit;
    t.y = y + unit;
    affine_forward(k.affine, t);
  }
  if (info.rowwise) apply_activation(use, false, rows, of.units, z, y);
}

template <class T>
void convolution_backward(const Convolution& of, const T* dy, const T* x, const T* weight, const T* saved,
                          const ActivationUse& use, T* dx, T* dweight, T* dbias, T* dparameter) {
  if (dparameter) std::fill_n(dparameter, of.units, T(0));
  if (of.batch == 0) return no_samples(of, dweight, dbias);
  const Kernels<T>& k = kernels<T>();
  const ptrdiff_t rows = of.rows(), pixels = of.output().pixels();
  const ptrdiff_t row = leading_dimension((of.units + k.lanes - 1) / k.lanes * k.lanes);
  Buffer<T> dz(rows * row + k.panel_width());  // the last group's panels may end after the row
  const ptrdiff_t sum_rows = std::max(ptrdiff_t{1}, kSumRows / pixels) * pixels;
  activation_backward(k, use, sum_rows, rows, of.units, dy, saved, dz.data(), row, dparameter);
  image_gradient(k, of, weight, dz.data(), row, dx);
  parameter_gradients(k, of, x, dz.data(), row, dweight, dbias);
}

template <class T>
void maxout_convolution_forward(const Convolution& of, const T* x, const T* weight, const T* bias, T* y,
                                std::uint8_t* argmax) {
  const ptrdiff_t rows = of.rows();
  if (rows == 0) return;
  if (of.pieces == 1) {
    if (argmax) std::fill_n(argmax, rows * of.units, std::uint8_t{0});
    return convolution_forward(of, x, weight, bias, {}, y, static_cast<T*>(nullptr));
  }
  const Kernels<T>& k = kernels<T>();
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const PanelLayout layout{owned.plan.taps * of.image.c, of.units, of.pieces, k.lanes, k.panel_vectors};
  const PackedWeights<T> panels(layout.size());
  pack_shared(layout, contiguous_weight(weight, layout), contiguous_bias(bias, layout), panels.data());
  AffineConstants<T> constants;
  AffineCall<T> t{};
  t.of = &constants;
  set_sizes(constants, layout);
  set_windows(constants, t, of, owned, x);
  constants.panels = panels.data();
  t.z = t.y = y;
  t.argmax = argmax;
  t.argmax_row = of.units;
  affine_forward(k.affine, t);
}

namespace {

template <class T>
void maxout_image_gradient(const Kernels<T>& k, const Convolution& of, const T* weight, const T* dy,
                           const std::uint8_t* argmax, T* dx) {
  for_phases<T>(of, [&](const Phase<T>& phase) {
    const ptrdiff_t inputs = phase.owned.plan.taps * of.units;
    const PanelLayout layout{of.image.c, inputs, of.pieces, k.lanes, k.panel_vectors};
    const Buffer<T> transposed = phase.transposed(of, weight, 0);
    Buffer<T> panels = Buffer<T>::uninitialized(layout.size());
    Buffer<T> by_unit(TransposedLayout(layout).size());
    const WeightView<const T> view{transposed.data(), inputs * of.image.c, 1, of.image.c};
    for_blocks(layout, [&](BlockRange blocks) {
      pack_weight(layout, blocks, view, panels.data());
      for (ptrdiff_t block = blocks.first; block < blocks.last; ++block)
        for (ptrdiff_t group = 0; group < layout.groups(); ++group)
          transpose(layout, layout.panel(block, group), panels.data(), 0, layout.inputs, by_unit.data());
    });
    // The windows of dy and of argmax, some rows at a time.
    constexpr ptrdiff_t kRows = 64;
    const ptrdiff_t rows = phase.rows(of);
    const double work_each = static_cast<double>(kRows * inputs) * static_cast<double>(of.image.c);
    long_parallel_for(divide_up(rows, kRows), work_each, [&](ptrdiff_t block) {
      const ptrdiff_t first = block * kRows, count = std::min(kRows, rows - first);
      T* const windows = thread_scratch<T>(Scratch::kTile, count * (inputs + of.image.c));
      T* const to = windows + count * inputs;
      std::uint8_t* const choices = thread_scratch<std::uint8_t>(Scratch::kTile, count * inputs);
      for (ptrdiff_t r = 0; r < count; ++r) {
        copy_window(phase.owned.plan, dy, of.units, first + r, 0, inputs, windows + r * inputs);
        copy_window(phase.owned.plan, argmax, of.units, first + r, 0, inputs, choices + r * inputs);
      }
      if (inputs == 0) std::fill_n(to, count * of.image.c, T(0));
      data_gradient(k, layout, by_unit.data(), count, windows, inputs, choices, inputs, to, of.image.c);
      phase.scatter(of, first, count, to, of.image.c, of.image.c, dx);
    });
  });
}

template <class T>
void maxout_parameter_gradients(const Kernels<T>& k, const Convolution& of, const T* x, const T* dy,
                                const std::uint8_t* argmax, T* dweight, T* dbias) {
  const OwnedPlan<T> owned = forward_plan<T>(of);
  const PanelLayout layout{owned.plan.taps * of.image.c, of.units, of.pieces, k.lanes, k.panel_vectors};
  const SampleBlocks blocks(of);
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
    const GradientSink<T> to{block == 0 ? sum.data() : term.data(),
                             [](void* context, const Panel& panel, ptrdiff_t input, ptrdiff_t count, const T* values) {
                               std::copy_n(values, count * panel.width,
                                           static_cast<T*>(context) + panel.offset + (input + 1) * panel.width);
                             }};
    const double work_each =
        static_cast<double>(rows) * static_cast<double>(layout.size()) / static_cast<double>(parts.count());
    long_parallel_for(parts.count(), work_each,
                      [&](ptrdiff_t part) { weight_gradient(k, parts, part, part + 1, from, to); });
    if (block > 0) add(layout.size(), term.data(), sum.data());
  }
  unpack_weight(layout, sum.data(), contiguous_weight(dweight, layout));
  unpack_bias(layout, sum.data(), contiguous_bias(dbias, layout));
}

}  // namespace

template <class T>
void maxout_convolution_backward(const Convolution& of, const T* dy, const T* x, const T* weight,
                                 const std::uint8_t* argmax, T* dx, T* dweight, T* dbias) {
  if (of.batch == 0) return no_samples(of, dweight, dbias);
  if (of.pieces == 1)
    return convolution_backward(of, dy, x, weight, dy, {}, dx, dweight, dbias, static_cast<T*>(nullptr));
  const Kernels<T>& k = kernels<T>();
  maxout_image_gradient(k, of, weight, dy, argmax, dx);
  maxout_parameter_gradients(k, of, x, dy, argmax, dweight, dbias);
}

#define FNNFAST_INSTANTIATE(T)                                                                                        \
  template void convolution_forward<T>(const Convolution&, const T*, const T*, const T*, const ActivationUse&, T*,    \
                                       T*);                                                                           \
  template void convolution_backward<T>(const Convolution&, const T*, const T*, const T*, const T*,                   \
                                        const ActivationUse&, T*, T*, T*, T*);                                        \
  template void maxout_convolution_forward<T>(const Convolution&, const T*, const T*, const T*, T*, std::uint8_t*);   \
  template void maxout_convolution_backward<T>(const Convolution&, const T*, const T*, const T*, const std::uint8_t*, \
                                               T*, T*, T*);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
