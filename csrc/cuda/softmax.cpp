#include "softmax.hpp"

#include "elementwise.hpp"
#include "rows.hpp"

namespace fnnfast::cuda {

template <class T>
void softmax_of_sums(std::int64_t rows, std::int64_t columns, Matrix<const Sum<T>> z, Matrix<Sum<T>> sums,
                     Matrix<Stored<T>> y, cudaStream_t stream) {
  ElementwiseTask<Sum<T>> t{};
  t.rows = rows;
  t.columns = columns;
  t.in = z.data;
  t.in_row = z.stride;
  t.out = sums.data;
  t.out_row = sums.stride;
  softmax_forward_rows(t, stream);
  if constexpr (!std::is_same_v<Sum<T>, Stored<T>>)
    convert_rows(rows, columns, static_cast<const Sum<T>*>(sums.data), sums.stride, y.data, y.stride, stream);
}

template <class E>
void softmax_in_place(std::int64_t rows, std::int64_t columns, Matrix<E> y, Sum<E>* wide, cudaStream_t stream) {
  using S = Sum<E>;
  ElementwiseTask<S> t{};
  t.rows = rows;
  t.columns = columns;
  if constexpr (std::is_same_v<E, S>) {
    t.in = t.out = y.data;
    t.in_row = t.out_row = y.stride;
    softmax_forward_rows(t, stream);
  } else {
    convert_rows(rows, columns, static_cast<const E*>(y.data), y.stride, wide, columns, stream);
    t.in = t.out = wide;
    t.in_row = t.out_row = columns;
    softmax_forward_rows(t, stream);
    convert_rows(rows, columns, static_cast<const S*>(wide), columns, y.data, y.stride, stream);
  }
}

template <class E>
void softmax_gradient(std::int64_t rows, std::int64_t columns, Matrix<const E> y, Matrix<const E> dy, Matrix<E> dz,
                      Sum<E>* wide, cudaStream_t stream) {
  using S = Sum<E>;
  ElementwiseTask<S> t{};
  t.rows = rows;
  t.columns = columns;
  if constexpr (std::is_same_v<E, S>) {
    t.in = y.data;
    t.in_row = y.stride;
    t.dy = dy.data;
    t.dy_row = dy.stride;
    t.out = dz.data;
    t.out_row = dz.stride;
    softmax_backward_rows(t, stream);
  } else {
    S* const gradient = wide + rows * columns;
    S* const result = gradient + rows * columns;
    convert_rows(rows, columns, y.data, y.stride, wide, columns, stream);
    convert_rows(rows, columns, dy.data, dy.stride, gradient, columns, stream);
    t.in = wide;
    t.dy = gradient;
    t.out = result;
    t.in_row = t.dy_row = t.out_row = columns;
    softmax_backward_rows(t, stream);
    convert_rows(rows, columns, result, columns, dz.data, dz.stride, stream);
  }
}

template void softmax_of_sums<float>(std::int64_t, std::int64_t, Matrix<const float>, Matrix<float>, Matrix<float>,
                                     cudaStream_t);
template void softmax_of_sums<double>(std::int64_t, std::int64_t, Matrix<const double>, Matrix<double>, Matrix<double>,
                                      cudaStream_t);
template void softmax_of_sums<Tf32>(std::int64_t, std::int64_t, Matrix<const float>, Matrix<float>, Matrix<float>,
                                    cudaStream_t);
template void softmax_of_sums<Half>(std::int64_t, std::int64_t, Matrix<const float>, Matrix<float>, Matrix<Half>,
                                    cudaStream_t);
template void softmax_of_sums<Bfloat16>(std::int64_t, std::int64_t, Matrix<const float>, Matrix<float>,
                                        Matrix<Bfloat16>, cudaStream_t);
template void softmax_in_place(std::int64_t, std::int64_t, Matrix<float>, float*, cudaStream_t);
template void softmax_in_place(std::int64_t, std::int64_t, Matrix<double>, double*, cudaStream_t);
template void softmax_in_place(std::int64_t, std::int64_t, Matrix<Half>, float*, cudaStream_t);
template void softmax_in_place(std::int64_t, std::int64_t, Matrix<Bfloat16>, float*, cudaStream_t);
template void softmax_gradient(std::int64_t, std::int64_t, Matrix<const float>, Matrix<const float>, Matrix<float>,
                               float*, cudaStream_t);
template void softmax_gradient(std::int64_t, std::int64_t, Matrix<const double>, Matrix<const double>, Matrix<double>,
                               double*, cudaStream_t);
template void softmax_gradient(std::int64_t, std::int64_t, Matrix<const Half>, Matrix<const Half>, Matrix<Half>, float*,
                               cudaStream_t);
template void softmax_gradient(std::int64_t, std::int64_t, Matrix<const Bfloat16>, Matrix<const Bfloat16>,
                               Matrix<Bfloat16>, float*, cudaStream_t);

}  // namespace fnnfast::cuda
