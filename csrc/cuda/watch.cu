#include "watch.hpp"

#include <algorithm>

#include "fast_math.cuh"
#include "grid.cuh"

namespace fnnfast::cuda {

namespace {

// A warp reads neighbouring columns; each thread goes down some rows before its one atomic operation.
constexpr int kThreads = 256, kColumns = 32, kRows = kThreads / kColumns, kRowsEach = 16;

dim3 grid_of(std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kMost = 65535;
  const std::int64_t high = (rows + kRows * kRowsEach - 1) / (kRows * kRowsEach);
  const std::int64_t wide = (columns + kColumns - 1) / kColumns;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(high, 1, kMost)),
              static_cast<unsigned>(std::clamp<std::int64_t>(wide, 1, kMost)));
}

// Calls f(column) for the columns of a thread.
template <class F>
__device__ __forceinline__ void for_columns(std::int64_t columns, F f) {
  for (std::int64_t c = std::int64_t{blockIdx.y} * kColumns + threadIdx.x % kColumns; c < columns;
       c += std::int64_t{gridDim.y} * kColumns)
    f(c);
}

// Calls f(row) for those rows of a column that a thread goes through.
template <class F>
__device__ __forceinline__ void for_rows(std::int64_t rows, F f) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * kRows + threadIdx.x / kColumns; r < rows;
       r += std::int64_t{gridDim.x} * kRows)
    f(r);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    watch_kernel(const __grid_constant__ WatchTask<T> task, const StepState<Sum<T>>* state, bool follows) {
  using S = Sum<T>;
  using V = device::Vec<S>;
  if (follows && state->skipped) return;
  const ActivationOf<S> act{task.activation, task.parameter, task.parameter_step};
  visit_activation(task.activation, [&]<class Act>(Act) {
    if constexpr (Act::kDifferentiable && !Act::kRowwise && Act::kWatch != Watch::kNothing) {
      for_columns(task.columns, [&](std::int64_t c) {
        const V p = act.template at<Act>(c);
        V seen{S(0)};
        for_rows(task.rows, [&](std::int64_t r) {
          const V saved{widen<S>(task.saved.at(r, c))};
          seen = device::watched<Act>(saved_derivative<Act, MathOf<T>>(saved, p), seen);
        });
        if constexpr (Act::kWatch == Watch::kSaturated)
          atomicAdd(task.seen + c, static_cast<unsigned long long>(seen.v));
        else
          atomicMax(task.seen + c, __builtin_bit_cast(unsigned long long, static_cast<double>(seen.v)));
      });
    }
  });
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    winners_kernel(std::int64_t rows, std::int64_t units, std::int64_t pieces, Matrix<const std::uint8_t> argmax,
                   std::uint8_t* won, const StepState<S>* state, bool follows) {
  if (follows && state->skipped) return;
  for_columns(units, [&](std::int64_t u) {
    // Threads that write the same place write the same value.
    for_rows(rows, [&](std::int64_t r) { won[u * pieces + argmax.at(r, u)] = 1; });
  });
}

}  // namespace

template <class T>
void watch(const WatchTask<T>& task, const StepState<Sum<T>>* state, bool follows, cudaStream_t stream) {
  launch("watch", watch_kernel<T>, grid_of(task.rows, task.columns), kThreads, 0, stream, task, state, follows);
}

template <class S>
void note_winners(std::int64_t rows, std::int64_t units, std::int64_t pieces, Matrix<const std::uint8_t> argmax,
                  std::uint8_t* won, const StepState<S>* state, bool follows, cudaStream_t stream) {
  launch("note_winners", winners_kernel<S>, grid_of(rows, units), kThreads, 0, stream, rows, units, pieces, argmax, won,
         state, follows);
}

template void watch(const WatchTask<float>&, const StepState<float>*, bool, cudaStream_t);
template void watch(const WatchTask<double>&, const StepState<double>*, bool, cudaStream_t);
template void watch(const WatchTask<Half>&, const StepState<float>*, bool, cudaStream_t);
template void watch(const WatchTask<Bfloat16>&, const StepState<float>*, bool, cudaStream_t);
template void note_winners(std::int64_t, std::int64_t, std::int64_t, Matrix<const std::uint8_t>, std::uint8_t*,
                           const StepState<float>*, bool, cudaStream_t);
template void note_winners(std::int64_t, std::int64_t, std::int64_t, Matrix<const std::uint8_t>, std::uint8_t*,
                           const StepState<double>*, bool, cudaStream_t);

}  // namespace fnnfast::cuda
