#define FNNFAST_ISA cuda::device_rows
#define FNNFAST_LANES_ARE_THREADS

#include "rows.hpp"

#include <cmath>

#include "../core/vec_scalar.hpp"  // before the kernels, which use it

#include "../core/loss_rows.hpp"
#include "grid.cuh"

namespace fnnfast::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kSumThreads = 512;
constexpr int kRowsEach = kThreads / device_rows::Lanes::kCount;  // per block, at a time
constexpr int kBlocksEach = 16;                                   // of a multiprocessor

dim3 grid_for(std::int64_t rows) { return cuda::grid_for(rows, kRowsEach, kBlocksEach); }

// Calls f(row) with 16 threads for each row.
template <class F>
__device__ __forceinline__ void for_rows(std::int64_t rows, F f) {
  const std::int64_t step = std::int64_t{gridDim.x} * kRowsEach;
  for (std::int64_t r = std::int64_t{blockIdx.x} * kRowsEach + threadIdx.x / device_rows::Lanes::kCount; r < rows;
       r += step)
    f(r);
}

template <class S>
__device__ __forceinline__ ElementwiseTask<S> row_of(ElementwiseTask<S> task, std::int64_t row) {
  task.rows = 1;
  task.in += row * task.in_row;
  task.out += row * task.out_row;
  if (task.dy != nullptr) task.dy += row * task.dy_row;
  return task;
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1) softmax_forward_kernel(const __grid_constant__ ElementwiseTask<S> task) {
  for_rows(task.rows, [&](std::int64_t r) { device_rows::softmax_forward<S>(row_of(task, r)); });
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    softmax_backward_kernel(const __grid_constant__ ElementwiseTask<S> task) {
  for_rows(task.rows, [&](std::int64_t r) { device_rows::softmax_backward<S>(row_of(task, r)); });
}

// The result for an invalid label: NaN everywhere. Labels in device memory cannot be checked before.
template <class S>
__device__ __forceinline__ void refuse(const LossTask<S>& row) {
  const S nan = static_cast<S>(__builtin_nan(""));
  *row.row_loss = static_cast<double>(nan);
  for (std::int64_t c = device_rows::Lanes::own(); row.dz != nullptr && c < row.columns;
       c += device_rows::Lanes::kCount)
    row.dz[c] = nan;
}

// How many of a row's outputs are right, as cpu/loss.hpp counts them: the first of the largest is the label's, or each
// is on the side of 0 of its target. Its 16 threads read all of them before the derivative may overwrite them.
template <class S>
__device__ __forceinline__ int count_right(const LossTask<S>& row) {
  using Lanes = device_rows::Lanes;
  int own = 0;
  for (std::int64_t c = Lanes::own(); c < row.columns; c += Lanes::kCount) {
    const S z = row.z[c];
    if (row.labels != nullptr) {
      const S of_label = row.z[*row.labels];
      own += z < of_label || (z == of_label && c >= *row.labels) ? 1 : 0;  // counts those below it, and itself
    } else {
      own += (row.targets[c] != S(0) ? z >= S(0) : z < S(0)) ? 1 : 0;
    }
  }
  for (int half = Lanes::kCount / 2; half > 0; half /= 2)
    own += __shfl_xor_sync(Lanes::mask(), own, half, Lanes::kCount);
  return row.labels != nullptr ? (own == row.columns ? 1 : 0) : own;
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    loss_kernel(LossKind kind, const __grid_constant__ LossTask<S> task, const WeightScale<S>* scale, double* right) {
  for_rows(task.rows, [&](std::int64_t r) {
    LossTask<S> row = task;
    row.rows = 1;
    row.z += r * task.z_row;
    if (task.targets != nullptr) row.targets += r * task.targets_row;
    if (task.labels != nullptr) row.labels += r;
    S weight = S(1);
    if (task.sample_weights != nullptr) {  // in the unit of the batch
      weight = task.sample_weights[r] * scale->unit;
      row.sample_weights = &weight;
      row.scale = scale->scale;
    }
    if (task.dz != nullptr) row.dz += r * task.dz_row;
    row.row_loss += r;
    const bool valid = row.labels == nullptr || (*row.labels >= 0 && *row.labels < task.columns);
    if (right != nullptr) {
      const int count = valid ? count_right(row) : 0;
      if (device_rows::Lanes::own() == 0) right[r] = static_cast<double>(weight) * count;
    }
    if (valid)
      device_rows::loss(kind, row);
    else
      refuse(row);
  });
}

// The sum of values over a block, each block by itself; only thread 0 has it.
template <class T>
__device__ __forceinline__ double sum_of(std::int64_t count, const T* values) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += static_cast<double>(values[i]);
  return block_sum(sum);
}

template <class S>
__global__ void __launch_bounds__(kSumThreads, 1)
    weigh_rows_kernel(std::int64_t rows, const S* sample_weights, double each, WeightScale<S>* scale) {
  const double sum = sum_of(rows, sample_weights);
  if (threadIdx.x != 0) return;
  // A power of two, so that no bit depends on it: in S the inverse of a small sum might be infinite.
  constexpr int kLargest = sizeof(S) == 4 ? 120 : 1000;
  int exponent = 0;
  frexp(sum, &exponent);
  exponent = exponent > kLargest ? kLargest : exponent < -kLargest ? -kLargest : exponent;
  const double unit = ldexp(1.0, -exponent);
  scale->unit = static_cast<S>(unit);
  scale->weight = sum * unit;
  scale->scale = sum > 0.0 ? static_cast<S>(1.0 / (sum * unit * each)) : S(0);
}

// One block for the loss, and one for the accuracy.
template <class S>
__global__ void __launch_bounds__(kSumThreads, 1)
    mean_loss_kernel(std::int64_t rows, RowMean loss, double constant, S* mean, RowMean right, double* accuracy,
                     double weight, const double* weighed) {
  const bool of_loss = blockIdx.x == 0;
  const RowMean of = of_loss ? loss : right;
  const double sum = sum_of(rows, of.sum_of);
  if (threadIdx.x != 0) return;
  if (weighed != nullptr) weight = *weighed;
  if (of_loss)
    *mean = weight > 0.0 ? static_cast<S>(sum / (weight * of.each) + constant) : S(0);
  else
    *accuracy = weight > 0.0 ? sum / (weight * of.each) : 0.0;
}

}  // namespace

template <class S>
void softmax_forward_rows(const ElementwiseTask<S>& task, cudaStream_t stream) {
  launch("softmax_forward", softmax_forward_kernel<S>, grid_for(task.rows), kThreads, 0, stream, task);
}

template <class S>
void softmax_backward_rows(const ElementwiseTask<S>& task, cudaStream_t stream) {
  launch("softmax_backward", softmax_backward_kernel<S>, grid_for(task.rows), kThreads, 0, stream, task);
}

template <class S>
void loss_rows(LossKind kind, const LossTask<S>& task, const WeightScale<S>* scale, double* right,
               cudaStream_t stream) {
  launch("loss", loss_kernel<S>, grid_for(task.rows), kThreads, 0, stream, kind, task, scale, right);
}

template <class S>
void weigh_rows(std::int64_t rows, const S* sample_weights, double each, WeightScale<S>* scale, cudaStream_t stream) {
  launch("weigh_rows", weigh_rows_kernel<S>, dim3(1), kSumThreads, kSumThreads * sizeof(double), stream, rows,
         sample_weights, each, scale);
}

template <class S>
void mean_loss(std::int64_t rows, const RowMean& loss, double constant, S* mean, const RowMean& right, double* accuracy,
               double weight, const double* weighed, cudaStream_t stream) {
  launch("mean_loss", mean_loss_kernel<S>, dim3(accuracy == nullptr ? 1 : 2), kSumThreads, kSumThreads * sizeof(double),
         stream, rows, loss, constant, mean, right, accuracy, weight, weighed);
}

template void softmax_forward_rows(const ElementwiseTask<float>&, cudaStream_t);
template void softmax_forward_rows(const ElementwiseTask<double>&, cudaStream_t);
template void softmax_backward_rows(const ElementwiseTask<float>&, cudaStream_t);
template void softmax_backward_rows(const ElementwiseTask<double>&, cudaStream_t);
template void loss_rows(LossKind, const LossTask<float>&, const WeightScale<float>*, double*, cudaStream_t);
template void loss_rows(LossKind, const LossTask<double>&, const WeightScale<double>*, double*, cudaStream_t);
template void weigh_rows(std::int64_t, const float*, double, WeightScale<float>*, cudaStream_t);
template void weigh_rows(std::int64_t, const double*, double, WeightScale<double>*, cudaStream_t);
template void mean_loss(std::int64_t, const RowMean&, double, float*, const RowMean&, double*, double, const double*,
                        cudaStream_t);
template void mean_loss(std::int64_t, const RowMean&, double, double*, const RowMean&, double*, double, const double*,
                        cudaStream_t);

}  // namespace fnnfast::cuda
