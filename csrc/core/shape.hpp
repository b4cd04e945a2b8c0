// The shape of a value in a network, and windows over images.
#pragma once

#include <cstddef>

namespace fnnfast {

using std::ptrdiff_t;

// One sample: h x w pixels of c channels, channels last; a vector is {1, 1, c}. Pixels and samples follow each other
// without gaps, so that a batch of B samples is always one matrix of B * h * w rows, and a dense layer reads an image
// where it lies.
struct Shape {
  ptrdiff_t h = 1, w = 1, c = 0;

  ptrdiff_t pixels() const { return h * w; }
  ptrdiff_t size() const { return h * w * c; }
  bool is_vector() const { return h == 1 && w == 1; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

// The windows of a convolution or a pool over (height, width). Plain numbers: kernels take them as they are.
struct Windows {
  int kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1};
  int before[2] = {0, 0}, after[2] = {0, 0};  // padding: above and left of the image, below and right of it

  ptrdiff_t taps() const { return ptrdiff_t{kernel[0]} * kernel[1]; }
  // One pixel to one pixel: a product over rows, without windows.
  bool is_pointwise() const {
    for (int axis = 0; axis < 2; ++axis)
      if (kernel[axis] != 1 || stride[axis] != 1 || before[axis] != 0 || after[axis] != 0) return false;
    return true;
  }
  // From one end of a window to the other.
  ptrdiff_t extent(int axis) const { return (ptrdiff_t{kernel[axis]} - 1) * dilation[axis] + 1; }
  // The windows over an image, with c channels each; std::invalid_argument where not one fits.
  Shape output(const Shape& in, ptrdiff_t c) const;
};

}  // namespace fnnfast
