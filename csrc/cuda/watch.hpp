// What training records of a network besides its loss: which units are dead or saturated, which pieces of maxout win.
// T and E as in product.hpp.
//
// All of it is counted in device memory from step to step, by atomic operations on integers, whose result does not
// depend on their order, and read once per epoch.
#pragma once

#include <cstdint>

#include "product.hpp"
#include "update.hpp"

namespace fnnfast::cuda {

// The derivatives of an activation at `saved` (rows, columns), from what its forward pass saved.
template <class T>
struct WatchTask {
  std::int64_t rows, columns;
  Matrix<const T> saved;
  int activation;
  const Sum<T>* parameter;
  int parameter_step;
  // By column, as the activation's kWatch says: the number of small derivatives, or the bits of the largest one's size,
  // a double. Sizes are in the order of their bits, with NaN above all.
  unsigned long long* seen;
};
// With `follows`, nothing is counted where the step before was skipped.
template <class T>
void watch(const WatchTask<T>& task, const StepState<Sum<T>>* state, bool follows, cudaStream_t stream);

// won[unit * pieces + piece] = 1 for each piece of maxout that is the largest of a unit in some row.
template <class S>
void note_winners(std::int64_t rows, std::int64_t units, std::int64_t pieces, Matrix<const std::uint8_t> argmax,
                  std::uint8_t* won, const StepState<S>* state, bool follows, cudaStream_t stream);

}  // namespace fnnfast::cuda
