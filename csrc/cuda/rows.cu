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

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    loss_kernel(LossKind kind, const __grid_constant__ LossTask<S> task, const WeightScale<S>* scale) {
  for_rows(task.rows, [&](std::int64_t r) {
    LossTask<S> row = task;
    row.rows = 1;
    row.z += r * task.z_row;
    if (task.targets != nullptr) row.targets += r * task.targets_row;
    if (task.labels != nullptr) row.labels += r;
    S weight;
    if (task.sample_weights != nullptr) {  // in the unit of the batch
      weight = task.sample_weights[r] * scale->unit;
      row.sample_weights = &weight;
      row.scale = scale->scale;
    }
    if (task.dz != nullptr) row.dz += r * task.dz_row;
    row.row_loss += r;
    const bool valid = row.labels == nullptr || (*row.labels >= 0 && *row.labels < task.columns);
    if (valid)
      device_rows::loss(kind, row);
    else
      refuse(row);
  });
}

// The sum of values over one block; only thread 0 has it.
template <class T>
__device__ __forceinline__ double sum_of(std::int64_t count, const T* values) {
  double sum = 0.0;
  for_all(count, [&](std::int64_t i) { sum += static_cast<double>(values[i]); });
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

template <class S>
__global__ void __launch_bounds__(kSumThreads, 1)
    mean_loss_kernel(std::int64_t rows, const double* row_loss, double weight, const double* weighed, double each,
                     double constant, S* mean) {
  const double sum = sum_of(rows, row_loss);
  if (threadIdx.x != 0) return;
  if (weighed != nullptr) weight = *weighed;
  *mean = weight > 0.0 ? static_cast<S>(sum / (weight * each) + constant) : S(0);
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
void loss_rows(LossKind kind, const LossTask<S>& task, const WeightScale<S>* scale, cudaStream_t stream) {
  launch("loss", loss_kernel<S>, grid_for(task.rows), kThreads, 0, stream, kind, task, scale);
}

template <class S>
void weigh_rows(std::int64_t rows, const S* sample_weights, double each, WeightScale<S>* scale, cudaStream_t stream) {
  launch("weigh_rows", weigh_rows_kernel<S>, dim3(1), kSumThreads, kSumThreads * sizeof(double), stream, rows,
         sample_weights, each, scale);
}

template <class S>
void mean_loss(std::int64_t rows, const double* row_loss, double weight, const double* weighed, double each,
               double constant, S* mean, cudaStream_t stream) {
  launch("mean_loss", mean_loss_kernel<S>, dim3(1), kSumThreads, kSumThreads * sizeof(double), stream, rows, row_loss,
         weight, weighed, each, constant, mean);
}

template void softmax_forward_rows(const ElementwiseTask<float>&, cudaStream_t);
template void softmax_forward_rows(const ElementwiseTask<double>&, cudaStream_t);
template void softmax_backward_rows(const ElementwiseTask<float>&, cudaStream_t);
template void softmax_backward_rows(const ElementwiseTask<double>&, cudaStream_t);
template void loss_rows(LossKind, const LossTask<float>&, const WeightScale<float>*, cudaStream_t);
template void loss_rows(LossKind, const LossTask<double>&, const WeightScale<double>*, cudaStream_t);
template void weigh_rows(std::int64_t, const float*, double, WeightScale<float>*, cudaStream_t);
template void weigh_rows(std::int64_t, const double*, double, WeightScale<double>*, cudaStream_t);
template void mean_loss(std::int64_t, const double*, double, const double*, double, double, float*, cudaStream_t);
template void mean_loss(std::int64_t, const double*, double, const double*, double, double, double*, cudaStream_t);

}  // namespace fnnfast::cuda
