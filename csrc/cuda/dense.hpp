// The operations on arrays in the user's layout: dense rows in device memory. T as in product.hpp.
#pragma once

#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast::cuda {

// The sizes of a dense layer or, with pieces > 1, of maxout.
struct LayerSizes {
  std::int64_t rows, inputs, units;
  int pieces = 1;
};

// y = f(x W + b). z, if not null, receives the activation's input, and argmax that of maxout.
template <class T>
struct LayerForward {
  LayerSizes sizes;
  const Stored<T>* x;
  const Stored<T>* weight;
  const Sum<T>* bias;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
  Stored<T>* y;
  Stored<T>* z;
  std::uint8_t* argmax;
};
template <class T>
void layer_forward(const LayerForward<T>& task, const Allocator& allocator, cudaStream_t stream);

// The gradients, from dy and, for dense layers, what the activation saved, or, for maxout, the argmax.
template <class T>
struct LayerBackward {
  LayerSizes sizes;
  const Stored<T>* dy;
  const Stored<T>* x;
  const Stored<T>* weight;
  const Stored<T>* saved;
  const std::uint8_t* argmax;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
  Stored<T>* dx;
  Stored<T>* dweight;
  Stored<T>* dbias;
  Sum<T>* dparameter;  // or null
};
template <class T>
void layer_backward(const LayerBackward<T>& task, const Allocator& allocator, cudaStream_t stream);

// y = softmax(z) over dense rows; y may be z.
template <class T>
void softmax_forward(std::int64_t rows, std::int64_t columns, const T* z, T* y, const Allocator& allocator,
                     cudaStream_t stream);

}  // namespace fnnfast::cuda
