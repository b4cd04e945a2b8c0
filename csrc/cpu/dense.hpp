// The operations on arrays in the user's layout. They pack the weights, call the kernels, and keep nothing.
#pragma once

#include <cstdint>

#include "affine.hpp"

namespace fnnfast::cpu {

struct ActivationUse {
  int activation = kIdentity;
  const void* parameter = nullptr;  // T, one value or one per unit
  bool by_unit = false;
};

// y = f(z) or f'(z), elementwise over rows (rowwise activations: over whole rows), shared between threads. z and out
// may be the same.
template <class T>
void apply_activation(const ActivationUse& use, bool derivative, ptrdiff_t rows, ptrdiff_t columns, const T* z, T* out);

// x (batch, inputs), weight (inputs, units), bias (units) or null -> y (batch, units). saved, if not null, receives the
// activation's input.
template <class T>
void dense_forward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, const T* x, const T* weight, const T* bias,
                   const ActivationUse& use, T* y, T* saved);

// saved (batch, units): what the activation saves for backward (kSaves). dparameter (units), may be null.
template <class T>
void dense_backward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, const T* dy, const T* x, const T* weight,
                    const T* saved, const ActivationUse& use, T* dx, T* dweight, T* dbias, T* dparameter);

// weight (pieces, inputs, units), bias (pieces, units) or null; argmax (batch, units), may be null.
template <class T>
void maxout_forward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, ptrdiff_t pieces, const T* x, const T* weight,
                    const T* bias, T* y, std::uint8_t* argmax);

template <class T>
void maxout_backward(ptrdiff_t batch, ptrdiff_t inputs, ptrdiff_t units, ptrdiff_t pieces, const T* dy, const T* x,
                     const T* weight, const std::uint8_t* argmax, T* dx, T* dweight, T* dbias);

}  // namespace fnnfast::cpu
