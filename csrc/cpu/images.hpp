// The operations on images that have no parameters: pools, the local response norm, and the order of the channels.
#pragma once

#include <cstdint>

#include "../core/program.hpp"
#include "kernels.hpp"

namespace fnnfast::cpu {

inline bool runs_on_images(const Node& node) {
  return node.is<Pool>() || node.is<LocalResponse>() || node.is<ChannelsLast>();
}

// Such a node and the shapes of what it reads and writes.
struct ImageOperation {
  const Node* node = nullptr;
  const Shape *in = nullptr, *out = nullptr;
};

// y = op(x). Rows are pixels, which may be slices of wider ones. ChannelsLast reads whole images, one after the other.
template <class T>
struct ImageForward {
  ImageOperation op;
  const T* x;
  ptrdiff_t x_row;
  T* y;
  ptrdiff_t y_row;
  std::uint8_t* choice = nullptr;  // of a max pool, for backward; or null
  ptrdiff_t choice_row = 0;

  ptrdiff_t lines(ptrdiff_t samples) const { return samples * op.out->h; }  // of output pixels
};

// dx, which is overwritten, for whole images. Not for ChannelsLast, whose input is the caller's.
template <class T>
struct ImageGradient {
  ImageOperation op;
  ptrdiff_t samples;
  const T* x;
  ptrdiff_t x_row;
  const T* dy;
  ptrdiff_t dy_row;
  const std::uint8_t* choice;
  ptrdiff_t choice_row;
  T* dx;
  ptrdiff_t dx_row;
};

// std::invalid_argument for what the kernels do not have.
void check_images(const Node& node);

// What a sample costs, in multiply-adds.
double images_work(const Node& node, const Shape& out);

// Lines [first, first + lines) of the output, counted from the first image: on the calling thread, or all of them,
// shared between threads.
template <class T>
void images_forward(const Kernels<T>& k, const ImageForward<T>& task, ptrdiff_t first, ptrdiff_t lines);
template <class T>
void images_forward_shared(const Kernels<T>& k, const ImageForward<T>& task, ptrdiff_t samples);

template <class T>
void images_gradient(const Kernels<T>& k, const ImageGradient<T>& task);

}  // namespace fnnfast::cpu
