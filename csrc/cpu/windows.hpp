// The windows of a convolution, as kernels read them.
//
// A convolution is a product over windows: its matrix has one row per output pixel, and the inputs of a row are (tap,
// channel), in ascending order. That matrix is never formed. The channels of a tap are contiguous in the image, so a
// row is a list of addresses, one per tap. In the padding, the address is that of zeros, which are multiplied like all
// other inputs: a skipped tap would give other bits (-0 + 0 w is 0) and hide a NaN or infinity (0 inf is NaN).
#pragma once

#include <cstddef>

#include "../core/macros.hpp"

namespace fnnfast::cpu {

using std::ptrdiff_t;

// From the pixel (y stride, x stride) of the image to a tap of the window of output pixel (y, x). May be negative.
struct Tap {
  ptrdiff_t y, x;
};

struct WindowPlan {
  ptrdiff_t height, width;  // of an image
  ptrdiff_t output_height, output_width;
  ptrdiff_t stride_y, stride_x;
  ptrdiff_t channels;  // that a tap reads
  ptrdiff_t taps;
  const Tap* tap;
  // Each channel has a filter of its own: unit u reads channel u of each tap, and the inputs of a row are the taps.
  bool depthwise = false;

  // Rows of the product per sample.
  FNNFAST_INLINE ptrdiff_t pixels() const { return output_height * output_width; }
};

// 1 if 0 <= i < n, else 0: numbers, whose conjunction needs no branch.
FNNFAST_INLINE unsigned is_index(ptrdiff_t i, ptrdiff_t n) {
  return static_cast<std::size_t>(i) < static_cast<std::size_t>(n) ? 1u : 0u;
}

// An output pixel, which moves on along the line, to the next line, to the next sample.
struct OutputPixel {
  ptrdiff_t sample, line, column;

  FNNFAST_INLINE OutputPixel(const WindowPlan& plan, ptrdiff_t row)
      : sample(row / plan.pixels()), line(row % plan.pixels() / plan.output_width), column(row % plan.output_width) {}
  FNNFAST_INLINE void advance(const WindowPlan& plan, ptrdiff_t n) {  // n: at most to the end of the line
    column += n;
    if (column < plan.output_width) return;
    column = 0;
    if (++line < plan.output_height) return;
    line = 0;
    ++sample;
  }
  // The pixel that a tap reads, counted from the first image; -1 in the padding.
  FNNFAST_INLINE ptrdiff_t read_by(const WindowPlan& plan, const Tap& tap) const {
    const ptrdiff_t y = line * plan.stride_y + tap.y, x = column * plan.stride_x + tap.x;
    const bool inside = (is_index(y, plan.height) & is_index(x, plan.width)) != 0;
    return inside ? (sample * plan.height + y) * plan.width + x : -1;
  }
};

// Copies inputs [first, first + count) of a row of the product, zeros in the padding. x: the first image, with `pixel`
// elements from one pixel to the next.
template <class T>
void copy_window(const WindowPlan& plan, const T* x, ptrdiff_t pixel, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count,
                 T* to);

}  // namespace fnnfast::cpu
