// The interface of the kernels that are compiled for each instruction set: structs of arguments, and one table of
// functions per type.
//
// Strides are in elements; "panels" are weights packed by pack.hpp; kernels do not allocate, check arguments or start
// threads. All give the same bits on every instruction set: an output is one ascending chain of fused multiply-adds
// that starts at the bias, and sums over a row use one fixed tree of 16 lanes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/activations.hpp"
#include "../core/losses.hpp"
#include "../core/shape.hpp"
#include "../core/tasks.hpp"
#include "isa.hpp"
#include "windows.hpp"

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

// The constants of a product with its epilogue, y = f(x W + b). Made once, read by every call; copied only for a group
// of channels.
template <class T>
struct AffineConstants {
  ptrdiff_t inputs = 0, units = 0, pieces = 1;
  ptrdiff_t blocks = 0;  // PanelLayout::blocks(), stored since divisions are noticeable in small networks
  ptrdiff_t kc = 0;      // inputs at a time: a panel of KC rows stays in L2 (pack.hpp)
  const T* panels = nullptr;
  ptrdiff_t first_panel = 0;  // elements of the first one, which is prefetched
  // With few rows, weights need not be packed: (inputs, units), and the bias or null. The first unpacked_units units,
  // whole blocks, are then read there, and panels holds only the units after them.
  const T* unpacked = nullptr;
  const T* unpacked_bias = nullptr;
  ptrdiff_t unpacked_units = 0;
  int activation_index = kIdentity;
  ElementwiseFunction<T> activation = nullptr;  // null: identity, or rowwise, which needs whole rows
  bool in_registers = false;                    // Elementwise::kInRegisters of the activation
  bool add_first = false;                       // f(r + add), else f(r) + add
  const T* parameter = nullptr;                 // of the activation
  ptrdiff_t parameter_step = 0;
  const T *scale = nullptr, *shift = nullptr;  // of a normalization before the activation, one per unit, or null
  float inverse_scale = 0, zero_point = 0;     // int8: from x to 8 bits
  const WindowPlan* windows = nullptr;         // null: x is a matrix; else images, whose windows are the rows
  const T* zeros = nullptr;                    // with windows: as many as a tap has channels
  // Of a convolution: units and blocks are those of all groups. Kernels get one group at a time (affine.cpp).
  ptrdiff_t channel_groups = 1;
  ptrdiff_t group_size = 0;  // elements of a group's panels
};

// One call, on a block of rows and a range of blocks of units. A local variable of the caller, filled field by field
// and passed by reference: a copy would read as a whole what was just written in parts, which stalls.
template <class T>
struct AffineCall {
  const AffineConstants<T>* of;
  ptrdiff_t rows;
  const T* x;       // with windows: of the first image, whatever first_row; with has_words, words
  ptrdiff_t x_row;  // from row to row; with windows, from pixel to pixel
  T* z;             // the activation's input if backward needs it, else equal to y
  ptrdiff_t z_row;
  T* y;
  ptrdiff_t y_row;
  const T* add = nullptr;  // a skip connection, or null: sum = y + add (y and sum may be the same); y, with add_first
  ptrdiff_t add_row = 0;
  T* sum = nullptr;
  ptrdiff_t sum_row = 0;
  std::uint8_t* argmax = nullptr;  // maxout: the largest piece of each output; may be null
  ptrdiff_t argmax_row = 0;
  ptrdiff_t first_block = 0, last_block = 0;
  bool activate = true;    // false: without the activation
  bool has_words = false;  // bfloat16 in pairs: x is rounded already, with zeros up to a whole block of words
  T* words = nullptr;      // bfloat16 in pairs: receives the output as such an x, instead of y, z and sum; or null
  ptrdiff_t words_row = 0;
  bool padded = false;      // rows of z and y may be written in whole vectors, and parameter read so
  const T* next = nullptr;  // read after this call: next_size elements, which are prefetched
  ptrdiff_t next_size = 0;
  ptrdiff_t first_row = 0;  // with windows: the output pixel, counted from the first image, that row 0 is
  T* scratch = nullptr;     // AffineKernel::scratch() elements
};

// Moves all outputs of a call, and what is read beside them, on by that many rows.
template <class T>
FNNFAST_INLINE void advance_outputs(AffineCall<T>& task, ptrdiff_t rows) {
  task.z += rows * task.z_row;
  task.y += rows * task.y_row;
  if (task.add) task.add += rows * task.add_row;
  if (task.sum) task.sum += rows * task.sum_row;
  if (task.words) task.words += rows * task.words_row;
  if (task.argmax) task.argmax += rows * task.argmax_row;
}

// A product over weights of one format, and the width of its register tile and panels (pack.hpp).
template <class T>
struct AffineKernel {
  int lanes;          // of a vector
  int panel_vectors;  // vectors side by side in a register tile
  bool copies_windows;
  ptrdiff_t shared_rows;  // of a block, which make up for reading weights from a cache that cores share
  ptrdiff_t (*scratch)(const AffineCall<T>&);
  void (*run)(const AffineCall<T>&);
};

// C(m x columns) = A(m x k) B(k x columns), one panel wide: the product of the backward pass.
template <class T>
struct ProductTask {
  ptrdiff_t m, k, columns;  // columns <= panel_width
  const T* a;
  ptrdiff_t a_row, a_step;
  const T* b;  // k rows, readable to a whole number of vectors
  ptrdiff_t b_step;
  T* c;
  ptrdiff_t c_row;
  ptrdiff_t kc;   // of k at a time
  const T* next;  // read after this product: next_size elements, which are prefetched
  ptrdiff_t next_size;
  T* scratch;  // m times the panel's width
};

// The same for the gradient of a convolution's weights, C = A B: A has a row per (tap, channel), and a column per
// output pixel. One panel wide.
template <class T>
struct WindowProductTask {
  const WindowPlan* windows;
  const T* zeros;
  const T* x;  // the first image
  ptrdiff_t pixel;
  ptrdiff_t first_row, rows;  // output pixels
  const T* b;                 // one row per output pixel, from first_row on, readable to whole vectors
  ptrdiff_t b_step;
  // Parts of a tap's channels, `channels` at a time, numbered tap by tap. Where each channel has a filter of its own, a
  // part is a tap, and `channels` are those of the panel; x and zeros then begin at its first one.
  ptrdiff_t first_part, last_part, channels;
  ptrdiff_t width;  // of the panel, whole vectors
  T* c;             // the row of the first tap's first channel
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
  ptrdiff_t next;  // elements after the panel, which are read next
  T* dx;
  ptrdiff_t dx_row;
  T* scratch;  // rows times the panel's width
};

// Maxout, backward to the weights: dw[unit, piece, columns] += the sum over those rows of a chunk whose argmax is the
// piece. The rows of a unit are sorted by argmax (MaxoutOrder).
template <class T>
struct MaxoutWeightTask {
  ptrdiff_t units, pieces, columns;
  const std::uint8_t* order;  // of the first unit; those of the next ones follow, entry bytes apart
  ptrdiff_t entry, chunk;
  const T* dy;  // sorted like the rows; those of the next units follow, chunk elements apart
  const T* x;   // readable to whole vectors
  ptrdiff_t x_row;
  T* dw;
  ptrdiff_t dw_row;
};

// Batch normalization of some rows. Each kernel reads and writes what its comment names (normalize.hpp).
template <class T>
struct NormalizeTask {
  ptrdiff_t rows, columns;
  const T* z;  // what is normalized
  ptrdiff_t z_row;
  const T* g;  // the gradient of what follows
  ptrdiff_t g_row;
  T* out;
  ptrdiff_t out_row;
  const T *scale, *shift, *mean, *inverse;  // one per column; inverse: 1 / the standard deviation
  T *first, *second;
};

// The windows of a pool. They have no dilation, and less padding than taps, so that each has a tap inside the image.
struct PoolPlan {
  Windows windows;
  bool maximum;        // else the mean
  bool count_padding;  // in a mean
  ptrdiff_t height, width, output_height, output_width, channels;
};

// y = pool(x) for lines of output pixels. Images and outputs may be slices of wider ones: rows are pixels.
template <class T>
struct PoolTask {
  PoolPlan plan;
  ptrdiff_t first_line, lines;  // counted from the first image, output_height lines each
  const T* x;                   // of the first image, as y and choice
  ptrdiff_t x_row;
  T* y;
  ptrdiff_t y_row;
  std::uint8_t* choice;  // of a maximum: the tap that won, ky * kernel width + kx; may be null
  ptrdiff_t choice_row;
};

// dx, which is overwritten, for whole images.
template <class T>
struct PoolGradientTask {
  PoolPlan plan;
  ptrdiff_t samples;
  const T* dy;
  ptrdiff_t dy_row;
  const std::uint8_t* choice;  // of a maximum
  ptrdiff_t choice_row;
  T* dx;
  ptrdiff_t dx_row;
};

// The local response norm of pixels, y = x s^-beta with s = k + ratio * sum of squares over the neighbours of a
// channel: `before` channels before it, itself, and `after` channels after it.
template <class T>
struct LocalResponseTask {
  ptrdiff_t pixels, channels, before, after;
  T ratio, beta, k;
  T slope;  // 2 beta ratio
  const T* x;
  ptrdiff_t x_row;
  T* y;  // forward only
  ptrdiff_t y_row;
  const T* dy;  // backward only, as dx
  ptrdiff_t dy_row;
  T* dx;
  ptrdiff_t dx_row;
  T* scratch;  // before + channels + after + lanes elements, backward twice as many
};

template <class T>
struct Kernels {
  int lanes;                        // of a vector
  int panel_vectors;                // vectors side by side in a register tile
  AffineKernel<T> affine;           // WeightFormat::kFull
  AffineKernel<T> bfloat16_affine;  // float only
  void (*product)(const ProductTask<T>&);
  void (*window_product)(const WindowProductTask<T>&);
  void (*column_sums)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T* out);
  void (*column_squares)(ptrdiff_t rows, ptrdiff_t columns, const T* in, ptrdiff_t in_row, T factor, T* out);
  void (*maxout_data)(const MaxoutDataTask<T>&);
  void (*maxout_weight)(const MaxoutWeightTask<T>&);
  void (*column_moments)(const NormalizeTask<T>&);
  void (*normalize_sums)(const NormalizeTask<T>&);
  void (*scale_rows)(const NormalizeTask<T>&);
  void (*normalize_backward)(const NormalizeTask<T>&);
  void (*pool)(const PoolTask<T>&);
  void (*pool_gradient)(const PoolGradientTask<T>&);
  void (*local_response)(const LocalResponseTask<T>&);
  void (*local_response_gradient)(const LocalResponseTask<T>&);
  void (*loss)(LossKind kind, const LossTask<T>&);
  void (*update[2])(const UpdateTask<T>&);  // by OptimizerKind
  void (*dropout)(const DropoutTask<T>&);
  void (*noise)(const NoiseTask<T>&);
  T (*fma_peak)(ptrdiff_t iterations);                // 2 * 12 * lanes * iterations operations
  T (*read)(const T* buffer, ptrdiff_t n);            // reads n elements, a multiple of 8 vectors
  ActivationKernels<T> activation[2 * kActivations];  // and their accurate forms

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
