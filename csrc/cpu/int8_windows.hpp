// The windows of images in 8 bits. Sums of integers are exact in any order, so windows are copied: a byte of a copy
// costs little beside the products that it takes part in.
#pragma once

#include "gemm.hpp"
#include "vec.hpp"
#include "window_rows.hpp"

namespace fnnfast::FNNFAST_ISA {

// Quantizes one row, padded with zeros to whole words. Returns whether it has a NaN.
FNNFAST_INLINE bool quantize(const float* x, ptrdiff_t inputs, float inverse_scale, float zero_point,
                             std::uint8_t* to) {
  using V = Vec<float>;
  const V inverse = V::broadcast(inverse_scale), zero = V::broadcast(zero_point);
  const V low = V::broadcast(0), high = V::broadcast(255);
  V::Mask nan = low != low;
  const auto take = [&](V v, ptrdiff_t i, ptrdiff_t n) {
    nan = nan | (v != v);
    // min takes its second argument where the first is NaN.
    store_index(max(min(round(v * inverse) + zero, high), low), to + i, n);
  };
  ptrdiff_t i = 0;
  for (; i + V::kLanes <= inputs; i += V::kLanes) take(V::load(x + i), i, V::kLanes);
  if (i < inputs) take(V::load_partial(x + i, inputs - i), i, inputs - i);
  for (i = inputs; i % 4 != 0; ++i) to[i] = 0;
  return nan.any();
}

// Copies n bytes, and up to 15 more: rows have room for them (input_row).
FNNFAST_INLINE void copy_bytes(const std::uint8_t* from, ptrdiff_t n, std::uint8_t* to) {
  for (ptrdiff_t i = 0; i < n; i += 16) __builtin_memcpy(to + i, from + i, 16);
}

// The images that some windows read, in 8 bits: whole lines, each pixel with the channels of a tap.
class QuantizedImages {
 public:
  FNNFAST_INLINE QuantizedImages(const WindowPlan& plan, ptrdiff_t first_row, ptrdiff_t rows) : plan_(plan) {
    ptrdiff_t low = plan.tap[0].y, high = low;
    for (ptrdiff_t t = 1; t < plan.taps; ++t) {
      low = plan.tap[t].y < low ? plan.tap[t].y : low;
      high = plan.tap[t].y > high ? plan.tap[t].y : high;
    }
    const auto line = [&](ptrdiff_t y) { return y < 0 ? 0 : y < plan.height ? y : plan.height; };
    const OutputPixel begin(plan, first_row), last(plan, first_row + rows - 1);
    first_ = (begin.sample * plan.height + line(begin.line * plan.stride_y + low)) * plan.width;
    const ptrdiff_t end = (last.sample * plan.height + line(last.line * plan.stride_y + high + 1)) * plan.width;
    pixels_ = end > first_ ? end - first_ : 0;
  }

  // Words of memory: the bytes, those of a pixel of the padding, and a flag for each pixel.
  FNNFAST_INLINE ptrdiff_t words() const { return (pixels_ * (plan_.channels + 1) + plan_.channels) / 4 + 32; }

  // x: of the first image. Returns whether there is a NaN.
  FNNFAST_INLINE bool fill(const AffineCall<float>& task, float* words) {
    const AffineConstants<float>& of = *task.of;
    padding_ = reinterpret_cast<std::uint8_t*>(words);
    for (ptrdiff_t c = 0; c < plan_.channels + 16; ++c) padding_[c] = static_cast<std::uint8_t>(of.zero_point);
    bytes_ = padding_ + plan_.channels + 16;
    nan_ = bytes_ + pixels_ * plan_.channels + 16;
    const float* const x = task.x + first_ * task.x_row;
    bool any = false;
    if (task.x_row == plan_.channels) {  // pixels without others between them are one row
      any = quantize(x, pixels_ * plan_.channels, of.inverse_scale, of.zero_point, bytes_);
      if (!any) return false;
    }
    for (ptrdiff_t p = 0; p < pixels_; ++p) {
      const bool found =
          quantize(x + p * task.x_row, plan_.channels, of.inverse_scale, of.zero_point, bytes_ + p * plan_.channels);
      nan_[p] = found ? 1 : 0;
      any = any || found;
    }
    return any;
  }

  // Calls f(tap, its bytes, whether it has a NaN) for the window of an output pixel; flags: whether to look for a NaN.
  template <class F>
  FNNFAST_INLINE void for_taps(const OutputPixel& at, bool flags, F&& f) const {
    for (ptrdiff_t t = 0; t < plan_.taps; ++t) {
      const ptrdiff_t pixel = at.read_by(plan_, plan_.tap[t]);
      const bool inside = pixel >= 0;
      f(t, inside ? bytes_ + (pixel - first_) * plan_.channels : padding_,
        flags && inside && nan_[pixel - first_] != 0);
    }
  }

 private:
  const WindowPlan& plan_;
  ptrdiff_t first_, pixels_;
  std::uint8_t *padding_ = nullptr, *bytes_ = nullptr, *nan_ = nullptr;
};

// Quantizes the images of a call, and calls take(row, tap, its bytes) for the taps of all windows. Returns whether a
// window has a NaN, and which: poisoned.
template <class F>
FNNFAST_INLINE bool quantize_images(const AffineCall<float>& task, float* memory, float* poisoned, F&& take) {
  const WindowPlan& plan = *task.of->windows;
  QuantizedImages images(plan, task.first_row, task.rows);
  const bool any = images.fill(task, memory);
  OutputPixel at(plan, task.first_row);
  for (ptrdiff_t r = 0; r < task.rows; ++r, at.advance(plan, 1)) {
    poisoned[r] = 0.0f;
    images.for_taps(at, any, [&](ptrdiff_t tap, const std::uint8_t* from, bool nan) {
      take(r, tap, from);
      if (nan) poisoned[r] = 1.0f;
    });
  }
  return any;
}

// Copies the windows as rows.
FNNFAST_INLINE bool quantize_windows(const AffineCall<float>& task, float* memory, ptrdiff_t row_words, float* words,
                                     float* poisoned) {
  const ptrdiff_t channels = task.of->windows->channels;
  return quantize_images(task, memory, poisoned, [&](ptrdiff_t r, ptrdiff_t tap, const std::uint8_t* from) {
    copy_bytes(from, channels, reinterpret_cast<std::uint8_t*>(words + r * row_words) + tap * channels);
  });
}

// Filters of single channels ------------------------------------------------------------------------------------------
// The same without copies: the address of each tap of each row.
FNNFAST_INLINE bool quantize_taps(const AffineCall<float>& task, float* memory, const std::uint8_t** taps,
                                  float* poisoned) {
  const ptrdiff_t count = task.of->windows->taps;
  return quantize_images(task, memory, poisoned,
                         [&](ptrdiff_t r, ptrdiff_t tap, const std::uint8_t* from) { taps[r * count + tap] = from; });
}

// A panel of filters of single channels: the sums of products channel by channel.
FNNFAST_INLINE void channel_panel(const AffineCall<float>& task, const Panel& panel, const std::uint8_t* const* taps) {
  using V = Vec<float>;
  const ptrdiff_t count = task.of->windows->taps;
  const float* const start = task.of->panels + panel.offset;
  const auto* const weights = reinterpret_cast<const std::int8_t*>(start + kInt8Header * panel.width);
  for (ptrdiff_t r = 0; r < task.rows; ++r) {
    alignas(64) std::int32_t sum[kNR<float>];
    __builtin_memcpy(sum, start, static_cast<std::size_t>(panel.width) * sizeof(float));
    for (ptrdiff_t t = 0; t < count; ++t) {
      const std::uint8_t* const x = taps[r * count + t] + panel.unit;
      const std::int8_t* const w = weights + t / 4 * panel.width * 4 + t % 4;
      for (ptrdiff_t u = 0; u < panel.units; ++u) sum[u] += static_cast<std::int32_t>(x[u]) * w[4 * u];
    }
    alignas(64) float values[kNR<float>];
    for (ptrdiff_t u = 0; u < panel.width; ++u) values[u] = static_cast<float>(sum[u]);
    float* const z = task.z + r * task.z_row + panel.unit;
    for (ptrdiff_t u = 0; u < panel.width; u += V::kLanes) {
      const V value = fma(V::load(values + u), V::load(start + panel.width + u), V::load(start + 2 * panel.width + u));
      const ptrdiff_t rest = panel.units - u;
      store_columns(value, z + u, rest);
    }
  }
  finish(task, panel, panel.units, 0, task.rows);
}

}  // namespace fnnfast::FNNFAST_ISA
