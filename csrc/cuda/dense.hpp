// The operations on arrays in the user's layout: dense rows, in device memory. T as in product.hpp.
#pragma once

#include "product.hpp"
#include "workspace.hpp"

namespace fnnfast::cuda {

// Sizes of a dense layer, or with pieces > 1 of maxout.
struct LayerSizes {
  std::int64_t rows, inputs, outputs;
  int pieces = 1;
};

// y = f(x W + b); z where the activation saves its input, or null; winners: maxout's argmax, or null.
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
  std::uint8_t* winners;
};
template <class T>
void layer_forward(const LayerForward<T>& task, const Allocator& allocator, cudaStream_t stream);

// From dy to the gradients. Dense: saved is what the activation saved; maxout: winners.
template <class T>
struct LayerBackward {
  LayerSizes sizes;
  const Stored<T>* dy;
  const Stored<T>* x;
  const Stored<T>* weight;
  const Stored<T>* saved;
  const std::uint8_t* winners;
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
