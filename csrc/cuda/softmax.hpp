// Softmax over rows in memory, and its gradient, for every type of element: the kernels over rows (rows.hpp) know the
// type of sums alone. T as in product.hpp.
#pragma once

#include "product.hpp"

namespace fnnfast::cuda {

// sums = softmax(z) over each row, and y the same, rounded, where its type is narrower; else it is not looked at. sums
// may be z.
template <class T>
void softmax_of_sums(std::int64_t rows, std::int64_t columns, Matrix<const Sum<T>> z, Matrix<Sum<T>> sums,
                     Matrix<Stored<T>> y, cudaStream_t stream);

// y = softmax(y) over each row. wide: rows columns sums where those are wider, else not looked at.
template <class E>
void softmax_in_place(std::int64_t rows, std::int64_t columns, Matrix<E> y, Sum<E>* wide, cudaStream_t stream);

// dz = y (dy - sum_j dy_j y_j) over each row; dz may be dy. wide: 3 rows columns sums where those are wider, else not
// looked at.
template <class E>
void softmax_gradient(std::int64_t rows, std::int64_t columns, Matrix<const E> y, Matrix<const E> dy, Matrix<E> dz,
                      Sum<E>* wide, cudaStream_t stream);

}  // namespace fnnfast::cuda
