// Elementwise kernels that are not part of a product. T and S as in product.hpp.
#pragma once

#include <cstdint>

#include "../core/program.hpp"
#include "product.hpp"

namespace fnnfast::cuda {

// out (rows, columns) = f(z), or f'(z).
template <class T>
struct ActivationTask {
  std::int64_t rows, columns;
  const T* z;
  T* out;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
};
template <class T>
void activation_forward(const ActivationTask<T>& task, cudaStream_t stream);
template <class T>
void activation_derivative(const ActivationTask<T>& task, cudaStream_t stream);

// dz (rows, columns) = dy f'(saved), not for softmax; dz may be dy. dparameter, or null: one per column, summed over
// the rows in order.
template <class T>
struct ActivationGradientTask {
  std::int64_t rows, columns;
  Matrix<const T> dy, saved;
  Matrix<T> dz;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
  Sum<T>* dparameter;
};
template <class T>
void activation_gradient(const ActivationGradientTask<T>& task, cudaStream_t stream);

// out[i] = the sum of partial[number * slice + i] over the slices, in order.
template <class T>
void add_slices(int slices, std::int64_t slice, std::int64_t count, const Sum<T>* partial, T* out, cudaStream_t stream);

// out = f(in) + add, or f(in + add): an epilogue without a product. z and y, if not null, receive the activation's
// input and output; add may be null; out may be in.
template <class T>
struct PointwiseTask {
  std::int64_t rows, columns;
  Matrix<const T> in, add;
  Matrix<T> z, y, out;
  bool add_first;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
};
template <class T>
void pointwise(const PointwiseTask<T>& task, cudaStream_t stream);

template <class From, class To>
void convert(std::int64_t count, const From* from, To* to, cudaStream_t stream);

// The same over the rows of matrices that are not dense.
template <class From, class To>
void convert_rows(std::int64_t rows, std::int64_t columns, const From* from, std::int64_t from_row, To* to,
                  std::int64_t to_row, cudaStream_t stream);

// to += from
template <class T>
void add_rows(std::int64_t rows, std::int64_t columns, Matrix<const T> from, Matrix<T> to, cudaStream_t stream);

// Row r of `to` is row indices[r] of `from`, or row r without indices; zeros if its sample weight is 0.
template <class T, class S>
void gather_rows(std::int64_t rows, std::int64_t columns, Matrix<const T> from, const std::int64_t* indices,
                 const S* sample_weights, Matrix<T> to, cudaStream_t stream);

// Dropout or noise, with the CPU's draws for that seed, number of steps, row and column; `to` may be `from`.
template <class T>
void perturb(const Perturb& perturbation, std::uint64_t seed, const std::int64_t* steps, std::int64_t rows,
             std::int64_t columns, Matrix<const T> from, Matrix<T> to, cudaStream_t stream);

}  // namespace fnnfast::cuda
