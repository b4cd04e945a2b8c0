// What the instruction-set files offer to the rest: plain pointers, plain structs, one table of functions for each
// type.
//
// Conventions: strides are in elements; "panels" are weights packed by pack.hpp; nothing here allocates, checks or
// starts threads. All kernels give the same bits on every instruction set: an output is one ascending chain of fused
// multiply-adds that starts at the bias, and sums over a row use one fixed tree of 16 lanes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/activations.hpp"
#include "../core/losses.hpp"
#include "../core/optimizers.hpp"
#include "isa.hpp"

namespace fnnfast {

using std::ptrdiff_t;

// A block of rows through one fused elementwise function: y = f(z) or dz = dy f'.
template <class T>
struct ElementwiseTask {
  ptrdiff_t rows, columns;
  const T* in;  // z; backward: what the activation saved
  ptrdiff_t in_row;
  const T* dy;  // backward only
  ptrdiff_t dy_row;
  T* out;
  ptrdiff_t out_row;
  const T* parameter;  // null, one value (step 0) or one a column (step 1)
  ptrdiff_t parameter_step;
  T* dparameter;  // backward, may be null: one a column, added to
  T* watch;       // backward, may be null: one a column, in whole vectors, what the activation's kWatch says
};

template <class T>
using ElementwiseFunction = void (*)(const ElementwiseTask<T>&);

template <class T>
struct ActivationKernels {
  ElementwiseFunction<T> forward;     // null: nothing to do (identity)
  ElementwiseFunction<T> derivative;  // null: not differentiable, or rowwise
  ElementwiseFunction<T> backward;    // null: not differentiable
};

// One fused layer on a block of rows and a range of blocks of units: y = f(x W + b), from panels.
template <class T>
struct LayerTask {
  ptrdiff_t rows;
  const T* x;
  ptrdiff_t x_row;
  ptrdiff_t inputs, units, pieces;
  const T* panels;
  // With few rows the weights may be left as they are: (inputs, units), and the bias or null. The first unpacked_units
  // units, whole blocks of full width, are then read there, and panels holds the units after them alone.
  const T* unpacked;
  const T* unpacked_bias;
  ptrdiff_t unpacked_units;
  ptrdiff_t first_block, last_block;  // of units: PanelLayout::blocks()
  T* z;                               // the pre-activation, where backward needs it; else equal to y
  ptrdiff_t z_row;
  T* y;
  ptrdiff_t y_row;
  bool padded;                        // rows of z and y may be written to whole vectors, and so may parameter be read
  ElementwiseFunction<T> activation;  // null: identity, or rowwise (the caller applies it when the row is whole)
  const T* parameter;
  ptrdiff_t parameter_step;
  const T* add;  // a skip connection, or null: sum = y + add; y and sum may be the same
  ptrdiff_t add_row;
  T* sum;
  ptrdiff_t sum_row;
  std::uint8_t* argmax;  // maxout, may be null
  ptrdiff_t argmax_row;
  float inverse_scale, zero_point;  // int8: x to 8 bits
  ptrdiff_t chunk;                  // of inputs, for a panel to stay in L2
  const T* next;                    // read after this layer: next_size elements are fetched meanwhile
  ptrdiff_t next_size;
  T* scratch;  // LayerKernel::scratch() elements
};

// A layer over weights of one format, and the shape of its register tile, which is that of its panels (pack.hpp).
template <class T>
struct LayerKernel {
  int lanes;          // of a vector
  int panel_vectors;  // vectors side by side in a register tile
  ptrdiff_t (*scratch)(const LayerTask<T>&);
  void (*run)(const LayerTask<T>&);
};

// C(m x columns) = A(m x k) B(k x columns), one panel wide: the bare product of the backward pass.
template <class T>
struct ProductTask {
  ptrdiff_t m, k, columns;  // columns <= panel_width
  const T* a;
  ptrdiff_t a_row, a_step;
  const T* b;  // k rows, readable to a whole number of vectors
  ptrdiff_t b_step;
  T* c;
  ptrdiff_t c_row;
  ptrdiff_t chunk;  // of k
  const T* next;    // read after this product: next_size elements are fetched meanwhile
  ptrdiff_t next_size;
  T* scratch;  // m times the panel's width
};

// Maxout, backward to the input: dx(rows x columns) = sum over units of dy[row, unit] * W[argmax[row, unit], unit, :],
// for one panel of columns.
template <class T>
struct MaxoutDataTask {
  ptrdiff_t rows, units, pieces, columns;
  const T* dy;
  ptrdiff_t dy_row;
  const std::uint8_t* argmax;
  ptrdiff_t argmax_row;
  const T* panel;  // transposed weights, row unit * pieces + piece
  ptrdiff_t panel_step;
  T* dx;
  ptrdiff_t dx_row;
  T* scratch;  // rows times the panel's width
};

// Vectors of inputs that maxout's weight gradient takes at once: as many chains hide the latency, and a chunk of rows
// of them stays in a 32 KB L1.
inline constexpr int kMaxoutVectors = 6;

// Maxout, backward to the weights of one unit: dw[piece, columns] += the sum over the rows of one chunk whose argmax is
// that piece.
template <class T>
struct MaxoutWeightTask {
  ptrdiff_t pieces, columns;
  const std::uint8_t* order;  // the chunk's rows, by piece
  const std::uint8_t* ends;   // for each piece, where its rows end in order
  const T* dy;                // dy[row * dy_row]
  ptrdiff_t dy_row;
  const T* x;  // readable to whole vectors
  ptrdiff_t x_row;
  T* dw;
  ptrdiff_t dw_row;
};

// A loss and its derivative on a block of rows. row_loss receives the sum over a row's outputs, times its weight.
template <class T>
struct LossTask {
  ptrdiff_t rows, columns;
  const T* z;  // logits or outputs, as LossInfo says
  ptrdiff_t z_row;
  const T* targets;
  ptrdiff_t targets_row;
  const std::int64_t* labels;
  const T* precision;  // one a column, where LossInfo says so
  const T* weights;    // one a row, or null
  T scale;             // of the derivative
  T* dz;               // may be null
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
  T* squares;  // may be null: two vectors, to whose lanes the squares of gradients and of changes are added
};

// Inverted dropout on a block of rows: out = in * mask / (1 - rate). The mask of element (row, column) depends on key,
// step, stream, row and column alone.
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

// Adds draws from the normal distribution of that deviation to a block of rows; out may be in. A draw depends on the
// same things as a mask of dropout.
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

template <class T>
struct Kernels {
  int lanes;                      // of a vector
  int panel_vectors;              // vectors side by side in a register tile
  LayerKernel<T> layer;           // WeightFormat::kFull
  LayerKernel<T> bfloat16_layer;  // float only
  void (*product)(const ProductTask<T>&);
  void (*column_sums)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T* out);
  void (*column_squares)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T factor, T* out);
  void (*maxout_data)(const MaxoutDataTask<T>&);
  void (*maxout_weight)(const MaxoutWeightTask<T>&);
  void (*loss[kLosses])(const LossTask<T>&);  // by LossKind
  void (*update[2])(const UpdateTask<T>&);    // by OptimizerKind
  void (*dropout)(const DropoutTask<T>&);
  void (*noise)(const NoiseTask<T>&);
  T (*fma_peak)(ptrdiff_t iterations);      // 2 * 12 * lanes * iterations operations
  T (*read)(const T* buffer, ptrdiff_t n);  // reads n elements, a multiple of 8 vectors
  ActivationKernels<T> activation[kActivations];

  FNNFAST_INLINE ptrdiff_t panel_width() const { return ptrdiff_t{lanes} * panel_vectors; }
};

// The table of the selected instruction set.
template <class T>
const Kernels<T>& kernels();

// The same for int8 weights. Its vectors may be shorter than those of kernels(), where only an older set has them.
const LayerKernel<float>& int8_layer();

}  // namespace fnnfast
