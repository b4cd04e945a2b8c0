// The interface of the product kernels (product_kernels.cuh) in plain C++: products with fused epilogues, as in the
// forward and backward pass of a dense or maxout layer.
//
// T is the type of elements: float, double, Tf32 (float32 in memory), Half, Bfloat16. S = Sum<T> is the type of sums,
// biases, parameters, and gradients of weights. Matrices have rows of contiguous elements, `stride` elements apart.
// Nothing here allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "elements.hpp"
#include "plan.hpp"

namespace fnnfast::cuda {

// A matrix in device memory.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t stride = 0;

  FNNFAST_INLINE T& at(std::int64_t row, std::int64_t column) const { return data[row * stride + column]; }
  template <class U>
    requires(std::is_same_v<U, const T> && !std::is_const_v<T>)
  FNNFAST_INLINE operator Matrix<U>() const {
    return {data, stride};
  }
};

// The type of an element in memory: Tf32 is a way to multiply floats.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, Tf32>, float, T>;

// y (rows, units) = f(x (rows, inputs) W (pieces, inputs, units) + b (pieces, units)), with the largest of the pieces.
template <class T>
struct ForwardTask {
  std::int64_t rows, inputs, units;
  int pieces = 1;
  Matrix<const Stored<T>> x, weight;
  std::int64_t weight_piece = 0;  // stride from piece to piece
  bool padded = false;            // rows of the weight go on to a multiple of 16 bytes, so whole chunks can be copied
  const Sum<T>* bias = nullptr;   // or null: zero
  std::int64_t bias_piece = 0;
  int activation = 0;  // softmax: units <= kFusedSoftmax<T>
  const Sum<T>* parameter = nullptr;
  int parameter_step = 0;
  Matrix<Stored<T>> z;          // receives the activation's input, or null
  Matrix<Stored<T>> y;          // or null
  Matrix<Sum<T>> y_sum;         // unrounded, or null
  Matrix<const Stored<T>> add;  // a skip connection, or null: sum = y + add
  Matrix<Stored<T>> sum;        // or null
  Matrix<std::uint8_t> argmax;  // maxout's argmax, or null
};

// dx (rows, inputs) = dz (rows, units) W^T, times f' of the previous layer if `saved` is given. Maxout: only the argmax
// piece of an output has a gradient.
template <class T>
struct InputGradientTask {
  std::int64_t rows, inputs, units;
  int pieces = 1;
  Matrix<const Stored<T>> dz, weight;
  std::int64_t weight_piece = 0;
  Matrix<const std::uint8_t> argmax;  // pieces > 1
  Matrix<const Stored<T>> add;        // a gradient that comes by a skip connection, or null
  int activation = 0;                 // of the previous layer
  const Sum<T>* parameter = nullptr;
  int parameter_step = 0;
  Matrix<const Stored<T>> saved;  // what that activation saved, or null: no derivative
  Matrix<Stored<T>> dx;
};

// dW (pieces, inputs, units) = x^T dz and db (pieces, units), one set for each slice of the rows.
template <class T>
struct WeightGradientTask {
  std::int64_t rows, inputs, units;
  int pieces = 1;
  Matrix<const Stored<T>> x, dz;
  Matrix<const std::uint8_t> argmax;  // pieces > 1
  int slices = 1;
  std::int64_t slice_rows = 0;  // of each except the last
  Matrix<Sum<T>> weight;        // rows of a piece's inputs, the pieces weight_piece apart
  std::int64_t weight_piece = 0;
  Sum<T>* bias = nullptr;  // (units), the pieces bias_piece apart
  std::int64_t bias_piece = 0;
  std::int64_t slice = 0;  // the stride between the sums of slices
  // With one slice, both may be stored rounded instead, with the same strides between pieces; or null.
  Matrix<Stored<T>> rounded;
  Stored<T>* rounded_bias = nullptr;
};

// The widest rows that fit one tile in any plan: softmax over wider ones is a separate kernel.
template <class T>
inline constexpr std::int64_t kFusedSoftmax = std::is_same_v<T, double> ? 32 : 64;

// As many slices as fill the device.
template <class T>
Slices weight_gradient_slices(std::int64_t rows, std::int64_t inputs, std::int64_t units, int pieces);

template <class T>
void forward_product(const ForwardTask<T>& task, cudaStream_t stream);
template <class T>
void input_gradient_product(const InputGradientTask<T>& task, cudaStream_t stream);
template <class T>
void weight_gradient_product(const WeightGradientTask<T>& task, cudaStream_t stream);

}  // namespace fnnfast::cuda
