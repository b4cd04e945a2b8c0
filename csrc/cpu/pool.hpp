// Pools: the maximum or the mean of each window, channel by channel.
//
// Channels are in the lanes, so that every step is the same for all of them. The taps of a window that are inside the
// image are a rectangle: padding is never read.
#pragma once

#include "../core/activations.hpp"
#include "../core/epilogues.hpp"
#include "../core/math.hpp"
#include "kernels.hpp"
#include "vec.hpp"

namespace fnnfast::FNNFAST_ISA {

// The taps of one window that are inside the image. There is at least one, since padding is less than a window.
struct WindowTaps {
  ptrdiff_t y, x;           // the pixel of the first one
  ptrdiff_t rows, columns;  // how many there are
  ptrdiff_t first;          // the first one's number in the window
};

// The same along one axis, for a window that begins at pixel `start`.
struct TapRange {
  ptrdiff_t first, count;
};
FNNFAST_INLINE TapRange taps_inside(ptrdiff_t start, ptrdiff_t kernel, ptrdiff_t size) {
  const ptrdiff_t first = start < 0 ? -start : 0, end = size - start < kernel ? size - start : kernel;
  return {first, end - first};
}

// Calls f(sample, output pixel, taps) for the windows of lines [first, first + lines) of the output, in ascending
// order. Lines and output pixels are counted from the first image.
template <class F>
FNNFAST_INLINE void for_windows(const PoolPlan& p, ptrdiff_t first, ptrdiff_t lines, F&& f) {
  const Windows& w = p.windows;
  for (ptrdiff_t line = first; line < first + lines; ++line) {
    const ptrdiff_t sample = line / p.output_height, top = line % p.output_height * w.stride[0] - w.before[0];
    const TapRange rows = taps_inside(top, w.kernel[0], p.height);
    for (ptrdiff_t column = 0; column < p.output_width; ++column) {
      const ptrdiff_t left = column * w.stride[1] - w.before[1];
      const TapRange columns = taps_inside(left, w.kernel[1], p.width);
      f(sample, line * p.output_width + column,
        WindowTaps{top + rows.first, left + columns.first, rows.count, columns.count,
                   rows.first * w.kernel[1] + columns.first});
    }
  }
}

// Calls f.template operator()<vectors>(first channel, channels) for groups of vectors. A group of one may be a part of
// a vector.
template <class T, class F>
FNNFAST_INLINE void for_channels(ptrdiff_t channels, F&& f) {
  constexpr ptrdiff_t kLanes = Vec<T>::kLanes;
  constexpr int kGroup = 4;
  ptrdiff_t c = 0;
  for (; c + kGroup * kLanes <= channels; c += kGroup * kLanes) f.template operator()<kGroup>(c, kGroup * kLanes);
  for (; c < channels; c += kLanes) f.template operator()<1>(c, channels - c);
}

// Vector v of a group of kVectors that begins at p.
template <class T, int kVectors>
FNNFAST_INLINE Vec<T> load_channels(const T* p, int v, ptrdiff_t channels) {
  using V = Vec<T>;
  return kVectors > 1 || channels >= V::kLanes ? V::load(p + v * V::kLanes) : V::load_partial(p, channels);
}
template <class T, int kVectors>
FNNFAST_INLINE void store_channels(Vec<T> value, T* p, int v, ptrdiff_t channels) {
  if (kVectors > 1 || channels >= Vec<T>::kLanes)
    value.store(p + v * Vec<T>::kLanes);
  else
    value.store_partial(p, channels);
}

// 1 / the number of pixels that a mean is over.
template <class T>
FNNFAST_INLINE T inverse_count(const PoolPlan& p, const WindowTaps& taps) {
  const ptrdiff_t all = ptrdiff_t{p.windows.kernel[0]} * p.windows.kernel[1];
  return T(1) / static_cast<T>(p.count_padding ? all : taps.rows * taps.columns);
}

// The running maximum begins as -inf of the first tap inside, so that an image of -inf has a winner, too.
template <class T, int kVectors, bool kChoice>
FNNFAST_INLINE void maximum(const PoolTask<T>& t, const WindowTaps& taps, const T* x, T* y, std::uint8_t* choice,
                            ptrdiff_t channels) {
  using V = Vec<T>;
  using M = Math<T>;
  const Windows& w = t.plan.windows;
  Maxout<V> best[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    best[v] = {V::broadcast(static_cast<T>(-__builtin_inf())), V::broadcast(static_cast<T>(taps.first))};
  for (ptrdiff_t r = 0; r < taps.rows; ++r)
    for (ptrdiff_t c = 0; c < taps.columns; ++c) {
      const V tap = V::broadcast(static_cast<T>(taps.first + r * w.kernel[1] + c));
      const T* const from = x + (r * t.plan.width + c) * t.x_row;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V candidate = load_channels<T, kVectors>(from, v, channels);
        if constexpr (kChoice)
          best[v].template take<M>(candidate, tap);
        else
          best[v].best = M::select(Maxout<V>::wins(candidate, best[v].best), candidate, best[v].best);
      }
    }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    store_channels<T, kVectors>(best[v].best, y, v, channels);
    if constexpr (kChoice)
      store_index(best[v].argmax, choice + v * V::kLanes,
                  kVectors > 1 || channels >= V::kLanes ? ptrdiff_t{V::kLanes} : channels);
  }
}

// The sum begins at -0, which adds nothing to any number.
template <class T, int kVectors>
FNNFAST_INLINE void mean(const PoolTask<T>& t, const WindowTaps& taps, const T* x, T* y, ptrdiff_t channels) {
  using V = Vec<T>;
  V sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = V::broadcast(T(-0.0));
  for (ptrdiff_t r = 0; r < taps.rows; ++r)
    for (ptrdiff_t c = 0; c < taps.columns; ++c) {
      const T* const from = x + (r * t.plan.width + c) * t.x_row;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[v] = sum[v] + load_channels<T, kVectors>(from, v, channels);
    }
  const V inverse = V::broadcast(inverse_count<T>(t.plan, taps));
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) store_channels<T, kVectors>(sum[v] * inverse, y, v, channels);
}

template <class T>
void pool(const PoolTask<T>& t) {
  const PoolPlan& p = t.plan;
  for_windows(p, t.first_line, t.lines, [&](ptrdiff_t sample, ptrdiff_t pixel, const WindowTaps& taps) {
    const T* const x = t.x + ((sample * p.height + taps.y) * p.width + taps.x) * t.x_row;
    T* const y = t.y + pixel * t.y_row;
    std::uint8_t* const choice = t.choice ? t.choice + pixel * t.choice_row : nullptr;
    for_channels<T>(p.channels, [&]<int kVectors>(ptrdiff_t c, ptrdiff_t channels) {
      if (!p.maximum)
        mean<T, kVectors>(t, taps, x + c, y + c, channels);
      else if (choice)
        maximum<T, kVectors, true>(t, taps, x + c, y + c, choice + c, channels);
      else
        maximum<T, kVectors, false>(t, taps, x + c, y + c, nullptr, channels);
    });
  });
}

// Zeros for the gradient of the images, to which each window then adds.
template <class T>
FNNFAST_INLINE void clear_gradient(const PoolGradientTask<T>& t) {
  const ptrdiff_t pixels = t.samples * t.plan.height * t.plan.width;
  for (ptrdiff_t pixel = 0; pixel < pixels; ++pixel) {
    T* const dx = t.dx + pixel * t.dx_row;
    for_channels<T>(t.plan.channels, [&]<int kVectors>(ptrdiff_t c, ptrdiff_t channels) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) store_channels<T, kVectors>(Vec<T>::broadcast(0), dx + c, v, channels);
    });
  }
}

// Each channel has a winner of its own: one addition for each, without vectors.
template <class T>
FNNFAST_INLINE void maximum_gradient(const PoolGradientTask<T>& t) {
  const PoolPlan& p = t.plan;
  const Windows& w = p.windows;
  ptrdiff_t offset[kMaxPiecesSaved];  // of a tap from the window's first one
  for (ptrdiff_t ky = 0; ky < w.kernel[0]; ++ky)
    for (ptrdiff_t kx = 0; kx < w.kernel[1]; ++kx) offset[ky * w.kernel[1] + kx] = (ky * p.width + kx) * t.dx_row;
  for_windows(p, 0, t.samples * p.output_height, [&](ptrdiff_t sample, ptrdiff_t pixel, const WindowTaps& taps) {
    const T* const dy = t.dy + pixel * t.dy_row;
    const std::uint8_t* const choice = t.choice + pixel * t.choice_row;
    const ptrdiff_t start = ((sample * p.height + taps.y) * p.width + taps.x) * t.dx_row - offset[taps.first];
    for (ptrdiff_t c = 0; c < p.channels; ++c) t.dx[start + offset[choice[c]] + c] += dy[c];
  });
}

template <class T>
FNNFAST_INLINE void mean_gradient(const PoolGradientTask<T>& t) {
  using V = Vec<T>;
  const PoolPlan& p = t.plan;
  for_windows(p, 0, t.samples * p.output_height, [&](ptrdiff_t sample, ptrdiff_t pixel, const WindowTaps& taps) {
    const T* const dy = t.dy + pixel * t.dy_row;
    T* const dx = t.dx + ((sample * p.height + taps.y) * p.width + taps.x) * t.dx_row;
    const V inverse = V::broadcast(inverse_count<T>(p, taps));
    for_channels<T>(p.channels, [&]<int kVectors>(ptrdiff_t c, ptrdiff_t channels) {
      V share[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) share[v] = load_channels<T, kVectors>(dy + c, v, channels) * inverse;
      for (ptrdiff_t row = 0; row < taps.rows; ++row)
        for (ptrdiff_t column = 0; column < taps.columns; ++column) {
          T* const to = dx + (row * p.width + column) * t.dx_row + c;
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            store_channels<T, kVectors>(load_channels<T, kVectors>(to, v, channels) + share[v], to, v, channels);
        }
    });
  });
}

template <class T>
void pool_gradient(const PoolGradientTask<T>& t) {
  clear_gradient(t);
  if (t.plan.maximum)
    maximum_gradient(t);
  else
    mean_gradient(t);
}

}  // namespace fnnfast::FNNFAST_ISA
