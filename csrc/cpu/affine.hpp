// A product with its epilogue over packed weights (a dense or maxout layer): forward, gradient of the input, gradient
// of the weights. The operations of dense.hpp, networks and trainers consist of these three.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../core/schedule.hpp"
#include "buffer.hpp"
#include "interrupt.hpp"
#include "kernels.hpp"
#include "pack.hpp"
#include "pair_factors.hpp"
#include "parts.hpp"
#include "threads.hpp"

namespace fnnfast::cpu {

// With fewer multiply-adds, waking a second thread costs more than it gains: about 5 us of work at 16 per cycle.
inline constexpr double kSerialWork = 300000;

// Whether to use more than one thread for that many rows, at `work` multiply-adds each. With one row, every
// multiply-add reads its weight from L2, which takes as long as two of them.
inline bool worth_threads(ptrdiff_t rows, double work) {
  return static_cast<double>(rows < 2 ? 2 : rows) * work >= kSerialWork;
}

constexpr ptrdiff_t divide_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

// Calls f(first row, rows) for blocks of some ten thousand elements, shared between threads.
template <class F>
void for_row_blocks(ptrdiff_t rows, ptrdiff_t columns, F&& f) {
  constexpr ptrdiff_t kElements = 16384;
  const ptrdiff_t each = std::max(ptrdiff_t{1}, kElements / std::max(columns, ptrdiff_t{1}));
  long_parallel_for(divide_up(rows, each), static_cast<double>(each * columns) * kValueWork,
                    [&](ptrdiff_t block) { f(block * each, std::min(each, rows - block * each)); });
}

// The leading dimension of a buffer of that many columns.
inline ptrdiff_t leading_dimension(ptrdiff_t columns) { return row_stride({1, 1, columns}); }

// KC, the inputs that are processed at a time, for panels of that width: AffineConstants::kc.
template <class T>
ptrdiff_t kc_inputs(ptrdiff_t width, ptrdiff_t inputs, WeightFormat format = WeightFormat::kFull);

// Sets the sizes, for panels of that layout.
template <class T>
void set_sizes(AffineConstants<T>& of, const PanelLayout& layout, WeightFormat format = WeightFormat::kFull);
// Sets the activation, without its parameter.
template <class T>
void set_activation(AffineConstants<T>& of, const Kernels<T>& k, int activation) {
  of.activation_index = activation;
  const bool elementwise = activation != kIdentity && !kActivationInfo[activation].rowwise;
  of.activation = elementwise ? k.activation[activation].forward : nullptr;
  of.in_registers = k.activation[activation].in_registers;
}

// y = f(x W + b), shared between threads over rows and blocks of units. Sets task.first_block, last_block and scratch.
// Does not apply a rowwise activation.
template <class T>
void affine_forward(const AffineKernel<T>& k, const AffineCall<T>& task);

// Blocks [task.first_block, task.last_block) of all rows, on the calling thread. Sets task.scratch.
template <class T>
void affine_forward_serial(const AffineKernel<T>& k, AffineCall<T>& task);

template <class T>
void activate_rows(ElementwiseFunction<T> f, ptrdiff_t rows, ptrdiff_t columns, const T* z, ptrdiff_t z_row, T* y,
                   ptrdiff_t y_row);

// dx = dz W^T for some rows, on the calling thread. transposed: the transposed weights (pack.hpp). argmax is null for a
// dense layer.
template <class T>
void data_gradient(const Kernels<T>& k, const PanelLayout& layout, const T* transposed, ptrdiff_t rows, const T* dz,
                   ptrdiff_t dz_row, const std::uint8_t* argmax, ptrdiff_t argmax_row, T* dx, ptrdiff_t dx_row);

// Maxout: for each unit and chunk of kMaxoutChunk rows, the rows sorted by argmax, and their gradients in the same
// order.
struct MaxoutOrder {
  ptrdiff_t rows, units, pieces;
  ptrdiff_t chunks() const { return divide_up(rows, kMaxoutChunk); }
  ptrdiff_t entry() const { return kMaxoutChunk + pieces; }  // the rows, then where each piece ends
  ptrdiff_t size() const { return units * chunks() * entry(); }
  ptrdiff_t at(ptrdiff_t unit, ptrdiff_t chunk) const { return (chunk * units + unit) * entry(); }
  ptrdiff_t gradients() const { return units * chunks() * kMaxoutChunk; }
  ptrdiff_t gradient_at(ptrdiff_t unit, ptrdiff_t chunk) const { return (chunk * units + unit) * kMaxoutChunk; }
  // Sorts one chunk, all units. argmax and dz are those of the batch's first row.
  template <class T>
  void sort(ptrdiff_t chunk, const std::uint8_t* argmax, ptrdiff_t argmax_row, const T* dz, ptrdiff_t dz_row,
            std::uint8_t* order, T* sorted) const;
};

// The operands of a layer's weight gradient: all rows of the batch.
template <class T>
struct GradientSource {
  ptrdiff_t rows;
  const T* x;
  ptrdiff_t x_row;
  const T* dz;  // readable to whole vectors, with zeros after the row; not read for maxout
  ptrdiff_t dz_row;
  const T* dz_panels;         // the same by gather_columns(), or null
  const MaxoutOrder* maxout;  // null for a dense layer
  const std::uint8_t* order;
  const T* sorted;                      // dz in that order
  const WindowPlan* windows = nullptr;  // of a maxout layer: x are images, and row 0 is output pixel first_row of them
  ptrdiff_t first_row = 0;
  const RowParts* parts = nullptr;     // of a dense layer: the sum is that of parts of the rows
  const PairFactors* pairs = nullptr;  // of a dense layer: instead of x; dz is that of the bias
};

// Receives a finished part of a gradient: inputs [first, first + count) of a panel (input -1 is the bias), count rows
// of panel.width.
template <class T>
struct GradientSink {
  void* context;
  void (*take)(void* context, const Panel& panel, ptrdiff_t first, ptrdiff_t count, const T* gradient);
};

// Stores it in panels of the layer's layout.
template <class T>
GradientSink<T> stored_gradient(T* panels) {
  return {panels, [](void* context, const Panel& panel, ptrdiff_t first, ptrdiff_t count, const T* gradient) {
            std::copy_n(gradient, count * panel.width,
                        static_cast<T*>(context) + panel.offset + (first + 1) * panel.width);
          }};
}

// The parts of a layer's weight gradient, numbered so that neighbours share their inputs.
struct GradientParts {
  PanelLayout layout;
  ptrdiff_t inputs_each;
  explicit GradientParts(const PanelLayout& of)
      : layout(of), inputs_each(of.pieces > 1 ? ptrdiff_t{of.lanes} * kMaxoutVectors : 96) {}
  // At least one, for the bias.
  ptrdiff_t across() const { return layout.inputs > 0 ? divide_up(layout.inputs, inputs_each) : 1; }
  ptrdiff_t count() const { return layout.blocks() * across(); }
};

// The weight gradient reads dz by columns. A wide dz is therefore copied, by blocks of rows, into one panel [row][unit]
// for each block of a dense layer's units, where the columns of a block are contiguous.
inline bool gathers_columns(const PanelLayout& layout) { return layout.pieces == 1 && layout.blocks() >= 4; }
template <class T>
void gather_columns(const PanelLayout& layout, ptrdiff_t batch, const T* dz, ptrdiff_t dz_row, ptrdiff_t first,
                    ptrdiff_t rows, T* panels);

// The scratch memory of weight_gradient(), in elements. A thread that has reserved it finds it there: what is updated
// with the gradient is then updated whole.
struct GradientScratch {
  ptrdiff_t tile = 0, kernel = 0, rows = 0;
  void include(const GradientScratch& other) {
    tile = std::max(tile, other.tile);
    kernel = std::max(kernel, other.kernel);
    rows = std::max(rows, other.rows);
  }
  template <class T>
  void reserve() const {
    thread_scratch<T>(Scratch::kTile, tile);
    thread_scratch<T>(Scratch::kKernel, kernel);
    thread_scratch<T>(Scratch::kRows, rows);
  }
};
template <class T>
GradientScratch gradient_scratch(const Kernels<T>& k, const GradientParts& parts, ptrdiff_t rows,
                                 const RowParts* row_parts, const PairFactors* pairs = nullptr);

// Parts [first, last).
template <class T>
void weight_gradient(const Kernels<T>& k, const GradientParts& parts, ptrdiff_t first, ptrdiff_t last,
                     const GradientSource<T>& from, const GradientSink<T>& to);

}  // namespace fnnfast::cpu
