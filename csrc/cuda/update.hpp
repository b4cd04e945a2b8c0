// Updates by the optimizer. S is float or double; E is the type of the weights that products read.
#pragma once

#include <cstdint>
#include <optional>

#include "../core/optimizer_settings.hpp"
#include "elements.hpp"
#include "rows.hpp"

namespace fnnfast::cuda {

// The state that changes from step to step, in device memory, so that a captured step continues to count when replayed.
template <class S>
struct StepState {
  std::int64_t steps;
  double squares;  // of the whole gradient
  WeightScale<S> weighed;
  UpdateStep<S> weights, others;
  bool skipped;              // the update: the loss was NaN
  double learning_rate, l2;  // of the next update that does not bring its own
};

// What statistics were summed over, in device memory.
struct Counted {
  std::int64_t steps, rows;
};

// Begins an update: counts it, and computes its coefficients from the settings and, for clipping, from state->squares.
// If loss is not null and *loss is NaN, the update is skipped, and with `follows` those after it as well. counted, or
// null: the steps that were not skipped, and the rows whose derivatives were watched, are added to it.
//
// A captured step has to follow a schedule: without learning_rate, that and l2 are read from *state, else written
// there.
template <class S>
void begin_update(StepState<S>* state, const OptimizerSettings& settings, std::optional<double> learning_rate,
                  const S* loss, bool follows, std::int64_t rows, Counted* counted, cudaStream_t stream);

// Writes the settings of later updates to *state. They travel as arguments of the launch, so there is no memory of the
// host that would have to live until then.
template <class S>
void store_rates(StepState<S>* state, double learning_rate, double l2, cudaStream_t stream);

// A layer's parameters, and the arrays of the same layout: weights (rows of `row` elements, of which `units` are used)
// up to weight_end, biases from `bias` on, and a learned parameter from `alpha` on.
template <class E>
struct UpdateTaskOf {
  using S = Sum<E>;
  std::int64_t units, row;
  std::int64_t weight_end, bias, bias_end, alpha, count;
  S* full;
  E* products;        // the same, rounded; null if S is E
  const S* gradient;  // the sum of `slices` slices, slice elements apart; alpha's is only in the first
  int slices;
  std::int64_t slice;
  S* first;   // the optimizer's states
  S* second;  // or null
  // Or null: two for each of update_sums(count) blocks, to which it adds the squares of gradients of weights and
  // biases, and of their changes.
  double* squares;
};
// Not more blocks than this update `count` elements, on any device.
constexpr std::int64_t update_sums(std::int64_t count) {
  constexpr std::int64_t kThreads = 256, kMost = 2048;  // 8 blocks on each of 256 multiprocessors
  const std::int64_t blocks = (count + kThreads - 1) / kThreads;
  return blocks < 1 ? 1 : blocks < kMost ? blocks : kMost;
}
template <class E>
void update(const UpdateTaskOf<E>& task, OptimizerKind kind, const StepState<Sum<E>>* state, cudaStream_t stream);

// gradient (count) = the sum of its slices, with zeros in the padding.
template <class E>
void collect_gradient(const UpdateTaskOf<E>& task, Sum<E>* gradient, cudaStream_t stream);

// state->squares = the sum of squares of a gradient, in a fixed order; partial: kSquaresBlocks doubles.
inline constexpr int kSquaresBlocks = 256;
template <class S>
void sum_squares(std::int64_t count, const S* gradient, double* partial, StepState<S>* state, cudaStream_t stream);

}  // namespace fnnfast::cuda
