// Softmax over rows in memory, and its gradient, for all types of elements: the row kernels (rows.hpp) have only the
// types of sums. T as in product.hpp.
#pragma once

#include "product.hpp"

namespace fnnfast::cuda {

// sums = softmax(z) over each row, and y the same, rounded, if its type is narrower; else y is not used. sums may be z.
template <class T>
void softmax_of_sums(std::int64_t rows, std::int64_t columns, Matrix<const Sum<T>> z, Matrix<Sum<T>> sums,
                     Matrix<Stored<T>> y, cudaStream_t stream);

// y = softmax(y) over each row. wide: memory for rows columns sums if their type is wider, else not used.
template <class E>
void softmax_in_place(std::int64_t rows, std::int64_t columns, Matrix<E> y, Sum<E>* wide, cudaStream_t stream);

// dz = y (dy - sum_j dy_j y_j) over each row; dz may be dy. wide: memory for 3 rows columns sums if their type is
// wider, else not used.
template <class E>
void softmax_gradient(std::int64_t rows, std::int64_t columns, Matrix<const E> y, Matrix<const E> dy, Matrix<E> dz,
                      Sum<E>* wide, cudaStream_t stream);

}  // namespace fnnfast::cuda
