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
#include "../core/tasks.hpp"
#include "isa.hpp"

namespace fnnfast::cpu {

template <class T>
using ElementwiseFunction = void (*)(const ElementwiseTask<T>&);

template <class T>
struct ActivationKernels {
  ElementwiseFunction<T> forward;     // null: nothing to do (identity)
  ElementwiseFunction<T> derivative;  // null: not differentiable, or rowwise
  ElementwiseFunction<T> backward;    // null: not differentiable
  bool in_registers;                  // Elementwise::kInRegisters
};

// A product with its epilogue, y = f(x W + b): what is known before a call. Made once, read by every call, never
// copied.
template <class T>
struct AffineConstants {
  ptrdiff_t inputs = 0, units = 0, pieces = 1;
  ptrdiff_t blocks = 0;  // of units: PanelLayout::blocks(), whose divisions a small network feels
  ptrdiff_t chunk = 0;   // of inputs, for a panel to stay in L2
  const T* panels = nullptr;
  ptrdiff_t first_panel = 0;  // elements of the first one, which is fetched ahead
  // With few rows the weights may be left as they are: (inputs, units), and the bias or null. The first unpacked_units
  // units, whole blocks of full width, are then read there, and panels holds the units after them alone.
  const T* unpacked = nullptr;
  const T* unpacked_bias = nullptr;
  ptrdiff_t unpacked_units = 0;
  int activation_index = kIdentity;
  ElementwiseFunction<T> activation = nullptr;  // null: identity, or rowwise, which waits for whole rows
  bool in_registers = false;                    // Elementwise::kInRegisters of the activation
  bool add_first = false;                       // f(r + add), else f(r) + add
  const T* parameter = nullptr;                 // of the activation
  ptrdiff_t parameter_step = 0;
  float inverse_scale = 0, zero_point = 0;  // int8: x to 8 bits
};

// One call, on a block of rows and a range of blocks of units. A local of the caller, whose fields are stored one by
// one and passed by reference: reading as a whole what was just written in parts makes a core wait.
template <class T>
struct AffineCall {
  const AffineConstants<T>* of;
  ptrdiff_t rows;
  const T* x;
  ptrdiff_t x_row;
  T* z;  // what the activation reads, where backward needs it; else equal to y
  ptrdiff_t z_row;
  T* y;
  ptrdiff_t y_row;
  const T* add = nullptr;  // a skip connection, or null: sum = y + add (y and sum may be the same); y, with add_first
  ptrdiff_t add_row = 0;
  T* sum = nullptr;
  ptrdiff_t sum_row = 0;
  std::uint8_t* argmax = nullptr;  // maxout: which piece won; may be null
  ptrdiff_t argmax_row = 0;
  ptrdiff_t first_block = 0, last_block = 0;
  bool activate = true;     // else the activation is left out
  bool padded = false;      // rows of z and y may be written to whole vectors, and so may parameter be read
  const T* next = nullptr;  // read after this call: next_size elements are fetched meanwhile
  ptrdiff_t next_size = 0;
  T* scratch = nullptr;  // AffineKernel::scratch() elements
};

// A product over weights of one format, and the shape of its register tile, which is that of its panels (pack.hpp).
template <class T>
struct AffineKernel {
  int lanes;          // of a vector
  int panel_vectors;  // vectors side by side in a register tile
  ptrdiff_t (*scratch)(const AffineCall<T>&);
  void (*run)(const AffineCall<T>&);
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
  ptrdiff_t next;  // elements behind the panel that are wanted next
  T* dx;
  ptrdiff_t dx_row;
  T* scratch;  // rows times the panel's width
};

// Maxout, backward to the weights: dw[unit, piece, columns] += the sum over the rows of one chunk in which the piece
// won. The rows of a unit are sorted by the piece (MaxoutOrder).
template <class T>
struct MaxoutWeightTask {
  ptrdiff_t units, pieces, columns;
  const std::uint8_t* order;  // of the first unit; entry bytes further that of the next
  ptrdiff_t entry, chunk;
  const T* dy;  // sorted like the rows; chunk elements further those of the next unit
  const T* x;   // readable to whole vectors
  ptrdiff_t x_row;
  T* dw;
  ptrdiff_t dw_row;
};

template <class T>
struct Kernels {
  int lanes;                        // of a vector
  int panel_vectors;                // vectors side by side in a register tile
  AffineKernel<T> affine;           // WeightFormat::kFull
  AffineKernel<T> bfloat16_affine;  // float only
  void (*product)(const ProductTask<T>&);
  void (*column_sums)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T* out);
  void (*column_squares)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T factor, T* out);
  void (*maxout_data)(const MaxoutDataTask<T>&);
  void (*maxout_weight)(const MaxoutWeightTask<T>&);
  void (*loss)(LossKind kind, const LossTask<T>&);
  void (*update[2])(const UpdateTask<T>&);  // by OptimizerKind
  void (*dropout)(const DropoutTask<T>&);
  void (*noise)(const NoiseTask<T>&);
  T (*fma_peak)(ptrdiff_t iterations);      // 2 * 12 * lanes * iterations operations
  T (*read)(const T* buffer, ptrdiff_t n);  // reads n elements, a multiple of 8 vectors
  ActivationKernels<T> activation[kActivations];

  FNNFAST_INLINE ptrdiff_t panel_width() const { return ptrdiff_t{lanes} * panel_vectors; }
};

// All that is compiled for one instruction set.
struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
  const AffineKernel<float>* int8;  // null if it has none of its own

  const Kernels<float>& of(float) const { return of_float; }
  const Kernels<double>& of(double) const { return of_double; }
};

// Those of the selected instruction set.
template <class T>
const Kernels<T>& kernels() {
  return selected_isa().kernels->of(T());
}

}  // namespace fnnfast::cpu
