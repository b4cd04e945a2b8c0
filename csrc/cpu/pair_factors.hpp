// The weight gradient of a dense layer in bfloat16: one more product of the kernel that runs its forward pass.
#pragma once

#include "kernels.hpp"
#include "pack.hpp"

namespace fnnfast::cpu {

// The factors of a dense layer's weight gradient, x^T dz, as a product of bfloat16 in pairs: of two rows of the batch
// each. That of x has a row of words for each input, that of dz panels of a layer from the rows to the units, without
// bias. Blocks of samples are rounded each on its own, so they begin at even rows.
struct PairFactors {
  AffineKernel<float> kernel;
  PanelLayout layer;
  ptrdiff_t rows;  // of the batch
  float *x, *dz;   // x_size() and dz_size() words
  PanelLayout dz_layout() const { return {rows, layer.units, 1, layer.lanes, layer.vectors}; }
  PanelLayout dz_stored() const { return stored_layout(dz_layout(), WeightFormat::kBfloat16Pairs); }
  ptrdiff_t x_row() const { return input_row(rows, WeightFormat::kBfloat16Pairs); }
  ptrdiff_t x_size() const { return layer.inputs * x_row(); }
  ptrdiff_t dz_size() const { return dz_stored().size(); }
  // Rounds rows [first, first + count) of x or dz, of which `from` is the first, and what follows the last row.
  void round_x(const float* from, ptrdiff_t from_row, ptrdiff_t first, ptrdiff_t count) const;
  void round_dz(const float* from, ptrdiff_t from_row, ptrdiff_t first, ptrdiff_t count) const;
  // The gradient of inputs [first, first + count) of a panel.
  void multiply(const Panel& panel, ptrdiff_t first, ptrdiff_t count, float* gradient) const;
  ptrdiff_t scratch(const Panel& panel, ptrdiff_t count) const;  // of multiply()
};

}  // namespace fnnfast::cpu
