// Plans of convolutions: forward, and for the gradient of the image.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../core/shape.hpp"
#include "affine.hpp"
#include "buffer.hpp"
#include "windows.hpp"

namespace fnnfast::cpu {

struct Convolution {
  Shape image;
  Windows windows;
  ptrdiff_t units, groups = 1, pieces = 1;

  Shape output() const { return windows.output(image, units); }
  ptrdiff_t pixels() const { return output().pixels(); }
  ptrdiff_t channels() const { return image.c / groups; }  // of a group
  ptrdiff_t group_units() const { return units / groups; }
  // Each channel has a filter of its own. Units then lie side by side in panels, as those of one group.
  bool is_depthwise() const { return groups > 1 && groups == image.c && groups == units; }
  ptrdiff_t panel_groups() const { return is_depthwise() ? 1 : groups; }
};

// A plan with the memory that it refers to.
template <class T>
struct OwnedPlan {
  std::vector<Tap> taps;
  Buffer<T> zeros;
  WindowPlan plan{};

  // channels: of a group, or of all
  void finish(ptrdiff_t channels, bool depthwise) {
    plan.channels = channels;
    plan.depthwise = depthwise;
    plan.taps = static_cast<ptrdiff_t>(taps.size());
    plan.tap = taps.data();
    zeros = Buffer<T>(channels);
  }
};

// For a product over images: its rows are their windows.
template <class T>
void set_windows(AffineConstants<T>& of, const OwnedPlan<T>& owned) {
  of.windows = &owned.plan;
  of.zeros = owned.zeros.data();
}

template <class T>
OwnedPlan<T> forward_plan(const Convolution& of) {
  const Windows& w = of.windows;
  OwnedPlan<T> owned;
  for (ptrdiff_t ky = 0; ky < w.kernel[0]; ++ky)
    for (ptrdiff_t kx = 0; kx < w.kernel[1]; ++kx)
      owned.taps.push_back({ky * w.dilation[0] - w.before[0], kx * w.dilation[1] - w.before[1]});
  const Shape out = of.output();
  owned.plan = {of.image.h, of.image.w, out.h, out.w, w.stride[0], w.stride[1], 0, 0, nullptr};
  owned.finish(of.is_depthwise() ? of.image.c : of.channels(), of.is_depthwise());
  return owned;
}

// The gradient of the image, of the pixels (y, x) with y = first_y and x = first_x modulo the stride: a convolution of
// stride 1 over dz. A tap (ky, kx) takes part if the stride divides its distance, so no zeros between the pixels of dz
// are multiplied.
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
    owned.finish(of.is_depthwise() ? of.units : of.group_units(), of.is_depthwise());
  }

  const WindowPlan& plan() const { return owned.plan; }

  // Copies rows [first, first + count) of this phase to their pixels of dx.
  void scatter(const Convolution& of, ptrdiff_t first, ptrdiff_t count, const T* from, ptrdiff_t from_row, T* dx,
               ptrdiff_t dx_row) const {
    OutputPixel at(plan(), first);
    for (ptrdiff_t r = 0; r < count; ++r, at.advance(plan(), 1)) {
      const ptrdiff_t y = first_y + at.line * of.windows.stride[0], x = first_x + at.column * of.windows.stride[1];
      std::copy_n(from + r * from_row, of.image.c, dx + ((at.sample * of.image.h + y) * of.image.w + x) * dx_row);
    }
  }
};

// Those with pixels.
template <class T>
std::vector<Phase<T>> phases_of(const Convolution& of) {
  std::vector<Phase<T>> phases;
  for (ptrdiff_t y = 0; y < std::min(ptrdiff_t{of.windows.stride[0]}, of.image.h); ++y)
    for (ptrdiff_t x = 0; x < std::min(ptrdiff_t{of.windows.stride[1]}, of.image.w); ++x) phases.emplace_back(of, y, x);
  return phases;
}

// Gradients of parameters are summed over blocks of whole samples, of about so many output pixels, and the blocks' sums
// are added in order. Fixed, since the bits depend on it. Images are large where weights are few, so the sums are
// small.
inline constexpr ptrdiff_t kSummedRows = 16384;

struct SampleBlocks {
  ptrdiff_t pixels, samples, batch;
  SampleBlocks(ptrdiff_t pixels_of_sample, ptrdiff_t samples_of_batch)
      : pixels(pixels_of_sample), samples(std::max(ptrdiff_t{1}, kSummedRows / pixels)), batch(samples_of_batch) {}
  ptrdiff_t count() const { return divide_up(batch, samples); }
  ptrdiff_t first_row(ptrdiff_t block) const { return block * samples * pixels; }
  ptrdiff_t rows(ptrdiff_t block) const { return std::min(samples, batch - block * samples) * pixels; }
};

// The tasks of the gradient of the weights: some channels of some taps, for one panel and one block of samples.
// How many does not change the bits.
struct WindowGradientTasks {
  static constexpr ptrdiff_t kChannels = 96, kTasksEach = 4;
  ptrdiff_t panels, parts, parts_each, across, count;

  WindowGradientTasks(const WindowPlan& plan, const PanelLayout& layout, const SampleBlocks& blocks, ptrdiff_t threads)
      : panels(layout.blocks()), parts(plan.taps * (plan.depthwise ? 1 : divide_up(plan.channels, kChannels))) {
    const ptrdiff_t apart = std::max(blocks.count() * panels, ptrdiff_t{1});
    const ptrdiff_t cuts = std::clamp(divide_up(kTasksEach * threads, apart), ptrdiff_t{1}, parts);
    parts_each = divide_up(parts, cuts);
    across = divide_up(parts, parts_each);
    count = blocks.count() * panels * across;
  }
};

// The operands of such a gradient. dz is readable to the width of a panel after its first unit. sums: one set of panels
// per block of samples.
template <class T>
struct WindowGradientSource {
  const WindowPlan& plan;
  const T* zeros;
  const T* x;
  ptrdiff_t x_row;
  const T* dz;
  ptrdiff_t dz_row;
  T* sums;
};
template <class T>
void window_gradient_task(const Kernels<T>& k, const WindowGradientTasks& tasks, const PanelLayout& layout,
                          const SampleBlocks& blocks, const WindowGradientSource<T>& from, ptrdiff_t task) {
  const ptrdiff_t block = task / tasks.across / tasks.panels;
  const Panel panel = layout.panel(task / tasks.across % tasks.panels, 0);
  const ptrdiff_t first = task % tasks.across * tasks.parts_each;
  const ptrdiff_t last = std::min(tasks.parts, first + tasks.parts_each);
  const ptrdiff_t row = blocks.first_row(block), rows = blocks.rows(block);
  const T* const dz = from.dz + row * from.dz_row + panel.unit;
  T* const to = from.sums + block * layout.size() + panel.offset;
  if (first == 0) k.column_sums(rows, panel.width, dz, from.dz_row, to);
  const ptrdiff_t group = panel.unit / layout.group_units();
  const bool depthwise = from.plan.depthwise;
  k.window_product({&from.plan, from.zeros, from.x + (depthwise ? panel.unit : group * from.plan.channels), from.x_row,
                    row, rows, dz, from.dz_row, first, last, depthwise ? panel.units : WindowGradientTasks::kChannels,
                    panel.width, to + panel.width});
  if (layout.channel_groups == 1 || panel.units == panel.width) return;
  // Beside a group's last units lie those of the next, not zeros.
  const auto row_of = [&](ptrdiff_t part) {
    const ptrdiff_t across = divide_up(from.plan.channels, WindowGradientTasks::kChannels);
    return part / across * from.plan.channels +
           std::min(part % across * WindowGradientTasks::kChannels, from.plan.channels);
  };
  for (ptrdiff_t r = first == 0 ? 0 : row_of(first) + 1; r < row_of(last) + 1; ++r)
    std::fill_n(to + r * panel.width + panel.units, panel.width - panel.units, T(0));
}

// sum += term
template <class T>
void add_to(ptrdiff_t n, const T* term, T* sum) {
  for (ptrdiff_t i = 0; i < n; ++i) sum[i] += term[i];
}

// Adds rows [first, last) of a panel of all blocks to those of the first.
template <class T>
void add_blocks(const SampleBlocks& blocks, const PanelLayout& layout, const Panel& panel, ptrdiff_t first,
                ptrdiff_t last, T* sums) {
  T* const sum = sums + panel.offset + first * panel.width;
  for (ptrdiff_t block = 1; block < blocks.count(); ++block)
    add_to((last - first) * panel.width, sum + block * layout.size(), sum);
}

}  // namespace fnnfast::cpu
