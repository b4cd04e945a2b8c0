// What the optimizer makes of gradients. S is float or double; E the type that products read weights in.
#pragma once

#include <cstdint>

#include "../core/optimizer_settings.hpp"
#include "elements.hpp"

namespace fnnfast::cuda {

// What changes from step to step, in device memory, so that a captured step goes on counting when it is replayed.
template <class S>
struct StepState {
  std::int64_t steps;
  double squares;  // of the whole gradient
  double weight;   // of a batch whose rows have weights
  S scale;         // of the loss's derivative for such a batch
  UpdateStep<S> weights, others;
};

// Begins an update: counts it, and works out what follows from the settings and, to clip, from state->squares.
template <class S>
void begin_update(StepState<S>* state, const OptimizerSettings& settings, double learning_rate, cudaStream_t stream);

// A layer's parameters, and all that belongs to them element by element: weights (rows of `row`, of which `units`
// count) up to weight_end, biases from `bias` on, and from `alpha` on a learned parameter.
template <class E>
struct UpdateTaskOf {
  using S = Sum<E>;
  std::int64_t units, row;
  std::int64_t weight_end, bias, bias_end, alpha, count;
  S* full;
  E* products;        // the same, rounded; null where S is E
  const S* gradient;  // of `slices`, slice elements apart, to be added; alpha's is in the first alone
  int slices;
  std::int64_t slice;
  S* first;   // the optimizer's states
  S* second;  // or null
};
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
