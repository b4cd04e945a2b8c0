// The shape of a value in a network, and windows over images.
#pragma once

#include <cstddef>

namespace fnnfast {

using std::ptrdiff_t;

// One sample: h x w pixels of c channels, channels last; a vector is {1, 1, c}. Pixels and samples are stored without
// gaps, so a batch of B samples is one matrix of B * h * w rows, and a dense layer reads an image in place.
struct Shape {
  ptrdiff_t h = 1, w = 1, c = 0;

  ptrdiff_t pixels() const { return h * w; }
  ptrdiff_t size() const { return h * w * c; }
  bool is_vector() const { return h == 1 && w == 1; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

// The windows of a convolution or a pool over (height, width). Plain numbers, which kernels take as they are.
struct Windows {
  int kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1};
  int before[2] = {0, 0}, after[2] = {0, 0};  // padding: above and left of the image, below and right of it

  ptrdiff_t taps() const { return ptrdiff_t{kernel[0]} * kernel[1]; }
  // Whether each output reads one pixel, so that the operation is a product over rows.
  bool is_pointwise() const {
    for (int axis = 0; axis < 2; ++axis)
      if (kernel[axis] != 1 || stride[axis] != 1 || before[axis] != 0 || after[axis] != 0) return false;
    return true;
  }
  // The pixels from one end of a window to the other.
  ptrdiff_t extent(int axis) const { return (ptrdiff_t{kernel[axis]} - 1) * dilation[axis] + 1; }
  // The shape of the output, with c channels; std::invalid_argument if no window fits.
  Shape output(const Shape& in, ptrdiff_t c) const;
};

}  // namespace fnnfast
