// Argument structs of the row kernels: plain pointers and strides, in elements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "optimizers.hpp"

namespace fnnfast {

using std::ptrdiff_t;

// An elementwise function over a block of rows: y = f(z), or dz = dy f'.
template <class T>
struct ElementwiseTask {
  ptrdiff_t rows, columns;
  const T* in;  // z; backward: what the activation saved
  ptrdiff_t in_row;
  const T* dy;  // backward only
  ptrdiff_t dy_row;
  T* out;
  ptrdiff_t out_row;
  const T* parameter;  // null, one value (step 0) or one per column (step 1)
  ptrdiff_t parameter_step;
  T* dparameter;  // backward, may be null: one per column, added to
  T* watch;       // backward, may be null: one per column in whole vectors, as the activation's kWatch says
};

// A loss and its derivative on a block of rows. row_loss receives the sum over a row's outputs times its weight.
template <class T>
struct LossTask {
  ptrdiff_t rows, columns;
  const T* z;  // logits or outputs, as LossInfo says
  ptrdiff_t z_row;
  const T* targets;
  ptrdiff_t targets_row;
  const std::int64_t* labels;
  const T* precision;       // one per column if LossInfo::takes_precision
  const T* sample_weights;  // one per row, or null
  T scale;                  // of the derivative
  T* dz;                    // may be null
  ptrdiff_t dz_row;
  double* row_loss;
};

// n weights (a multiple of the vector), their gradients and the optimizer's state.
template <class T>
struct UpdateTask {
  ptrdiff_t n;
  T* weight;
  const T* gradient;
  T* state1;
  T* state2;
  const UpdateStep<T>* step;
  T* squares;  // may be null: two vectors; the squares of gradients and of changes are added to their lanes
};

// Inverted dropout on a block of rows: out = in * mask / (1 - rate). The mask depends only on key, step, stream, row
// and column.
template <class T>
struct DropoutTask {
  ptrdiff_t rows, columns, first_row;
  const T* in;
  ptrdiff_t in_row;
  T* out;
  ptrdiff_t out_row;
  double rate;
  std::uint64_t key, step;
  std::uint32_t stream;
};

// Adds normal noise to a block of rows; out may be in. Draws depend on the same numbers as the mask of dropout.
template <class T>
struct NoiseTask {
  ptrdiff_t rows, columns, first_row;
  const T* in;
  ptrdiff_t in_row;
  T* out;
  ptrdiff_t out_row;
  double deviation;
  std::uint64_t key, step;
  std::uint32_t stream;
};

}  // namespace fnnfast
