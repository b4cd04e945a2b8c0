#include "update.hpp"

#include "grid.cuh"
#include "vec.cuh"

namespace fnnfast::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kBlocksEach = 8;  // per multiprocessor

dim3 grid_for(std::int64_t count) { return cuda::grid_for(count, kThreads, kBlocksEach); }

template <class S>
__global__ void begin_update_kernel(StepState<S>* state, OptimizerSettings settings, double learning_rate, bool stored,
                                    const S* loss, bool follows, std::int64_t rows, Counted* counted) {
  if (stored) {
    learning_rate = state->learning_rate;
    settings.l2 = state->l2;
  } else {
    state->learning_rate = learning_rate;
    state->l2 = settings.l2;
  }
  const bool over = follows && state->skipped;
  if (counted != nullptr && !over) counted->rows += rows;
  state->skipped = over || (loss != nullptr && *loss != *loss);
  if (state->skipped) return;
  if (counted != nullptr) ++counted->steps;
  double scale = 1.0;
  if (settings.clip_norm > 0.0) {
    const double norm = sqrt(state->squares);
    if (norm > settings.clip_norm) scale = settings.clip_norm / norm;
  }
  state->weights = update_step<S>(settings, state->steps, learning_rate, true, scale);
  state->others = update_step<S>(settings, state->steps, learning_rate, false, scale);
  ++state->steps;
}

template <class S>
__global__ void store_rates_kernel(StepState<S>* state, double learning_rate, double l2) {
  state->learning_rate = learning_rate;
  state->l2 = l2;
}

// Whether element i is a parameter, not padding.
template <class E>
__device__ __forceinline__ bool is_parameter(const UpdateTaskOf<E>& task, std::int64_t i) {
  if (i >= task.alpha) return i - task.alpha < task.units;
  if (i >= task.bias) return i < task.bias_end && (i - task.bias) % task.row < task.units;
  return i < task.weight_end && i % task.row < task.units;
}

template <class E>
__device__ __forceinline__ Sum<E> gradient_at(const UpdateTaskOf<E>& task, std::int64_t i) {
  Sum<E> sum = task.gradient[i];
  const int slices = i < task.alpha ? task.slices : 1;
  for (int number = 1; number < slices; ++number) sum += task.gradient[number * task.slice + i];
  return sum;
}

template <class E, class Optimizer>
__global__ void __launch_bounds__(kThreads, 1)
    update_kernel(const __grid_constant__ UpdateTaskOf<E> task, const StepState<Sum<E>>* state) {
  using S = Sum<E>;
  using V = device::Vec<S>;
  using Step = typename Optimizer::template Step<device::Math<S>, V>;
  if (state->skipped) return;
  const UpdateStep<S> of_weights = state->weights, of_others = state->others;
  V gradients{S(0)}, changes{S(0)};
  for_all(task.count, [&](std::int64_t i) {
    if (!is_parameter(task, i)) return;
    const V before{task.full[i]}, gradient{gradient_at(task, i)};
    V w = before, first{task.first[i]}, second{Optimizer::kStates > 1 ? task.second[i] : S(0)};
    Step(i < task.bias ? of_weights : of_others).update(w, gradient, first, second);
    if (i < task.alpha) {
      gradients = fma(gradient, gradient, gradients);
      changes = fma(w - before, w - before, changes);
    }
    task.full[i] = w.v;
    task.first[i] = first.v;
    if constexpr (Optimizer::kStates > 1) task.second[i] = second.v;
    if constexpr (!std::is_same_v<E, S>) task.products[i] = narrow<E>(w.v);
  });
  if (task.squares == nullptr) return;
  double* const sums = task.squares + 2 * blockIdx.x;  // the block's own, from step to step
  const double of_gradients = block_sum(static_cast<double>(gradients.v));
  __syncthreads();
  const double of_changes = block_sum(static_cast<double>(changes.v));
  if (threadIdx.x == 0) {
    sums[0] += of_gradients;
    sums[1] += of_changes;
  }
}

template <class E>
__global__ void __launch_bounds__(kThreads, 1)
    collect_kernel(const __grid_constant__ UpdateTaskOf<E> task, Sum<E>* gradient) {
  for_all(task.count, [&](std::int64_t i) { gradient[i] = is_parameter(task, i) ? gradient_at(task, i) : Sum<E>(0); });
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1) squares_kernel(std::int64_t count, const S* gradient, double* partial) {
  double sum = 0.0;
  for_all(count, [&](std::int64_t i) {
    const double g = static_cast<double>(gradient[i]);
    sum += g * g;
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1) squares_total_kernel(const double* partial, StepState<S>* state) {
  static_assert(kSquaresBlocks == kThreads);
  const double sum = block_sum(partial[threadIdx.x]);
  if (threadIdx.x == 0) state->squares = sum;
}

}  // namespace

template <class S>
void begin_update(StepState<S>* state, const OptimizerSettings& settings, std::optional<double> learning_rate,
                  const S* loss, bool follows, std::int64_t rows, Counted* counted, cudaStream_t stream) {
  launch("begin_update", begin_update_kernel<S>, dim3(1), 1, 0, stream, state, settings, learning_rate.value_or(0.0),
         !learning_rate.has_value(), loss, follows, rows, counted);
}

template <class S>
void store_rates(StepState<S>* state, double learning_rate, double l2, cudaStream_t stream) {
  launch("store_rates", store_rates_kernel<S>, dim3(1), 1, 0, stream, state, learning_rate, l2);
}

template <class E>
void update(const UpdateTaskOf<E>& task, OptimizerKind kind, const StepState<Sum<E>>* state, cudaStream_t stream) {
  const auto kernel = kind == OptimizerKind::kAdam ? update_kernel<E, Adam> : update_kernel<E, Sgd>;
  dim3 grid = grid_for(task.count);
  grid.x = std::min(grid.x, static_cast<unsigned>(update_sums(task.count)));
  const std::size_t bytes = task.squares == nullptr ? 0 : kThreads * sizeof(double);
  launch("update", kernel, grid, kThreads, bytes, stream, task, state);
}

template <class E>
void collect_gradient(const UpdateTaskOf<E>& task, Sum<E>* gradient, cudaStream_t stream) {
  launch("collect_gradient", collect_kernel<E>, grid_for(task.count), kThreads, 0, stream, task, gradient);
}

template <class S>
void sum_squares(std::int64_t count, const S* gradient, double* partial, StepState<S>* state, cudaStream_t stream) {
  constexpr std::size_t kBytes = kThreads * sizeof(double);
  launch("squares", squares_kernel<S>, dim3(kSquaresBlocks), kThreads, kBytes, stream, count, gradient, partial);
  launch("squares_total", squares_total_kernel<S>, dim3(1), kThreads, kBytes, stream,
         static_cast<const double*>(partial), state);
}

template void begin_update(StepState<float>*, const OptimizerSettings&, std::optional<double>, const float*, bool,
                           std::int64_t, Counted*, cudaStream_t);
template void begin_update(StepState<double>*, const OptimizerSettings&, std::optional<double>, const double*, bool,
                           std::int64_t, Counted*, cudaStream_t);
template void store_rates(StepState<float>*, double, double, cudaStream_t);
template void store_rates(StepState<double>*, double, double, cudaStream_t);
template void update(const UpdateTaskOf<float>&, OptimizerKind, const StepState<float>*, cudaStream_t);
template void update(const UpdateTaskOf<double>&, OptimizerKind, const StepState<double>*, cudaStream_t);
template void update(const UpdateTaskOf<Half>&, OptimizerKind, const StepState<float>*, cudaStream_t);
template void update(const UpdateTaskOf<Bfloat16>&, OptimizerKind, const StepState<float>*, cudaStream_t);
template void collect_gradient(const UpdateTaskOf<float>&, float*, cudaStream_t);
template void collect_gradient(const UpdateTaskOf<double>&, double*, cudaStream_t);
template void collect_gradient(const UpdateTaskOf<Half>&, float*, cudaStream_t);
template void collect_gradient(const UpdateTaskOf<Bfloat16>&, float*, cudaStream_t);
template void sum_squares(std::int64_t, const float*, double*, StepState<float>*, cudaStream_t);
template void sum_squares(std::int64_t, const double*, double*, StepState<double>*, cudaStream_t);

}  // namespace fnnfast::cuda
