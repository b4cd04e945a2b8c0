// Weights and inputs in 8 bits, sums in 32.
//
// x is about (q - zero_point) * input_scale with q in 0..255, and w is p * weight_scale with p in -127..127, one scale
// per unit. The sum of q p over the inputs is exact in any order, so all instruction sets agree; then
//
//   z = sum * (input_scale * weight_scale) + bias
//
// is one fused multiply-add. A word holds four successive inputs. A panel has three rows before the weights: the
// initial sums (-zero_point times the sum of p), the scales, the biases.
//
// A row with a NaN gives NaN, which has no 8-bit value.
#pragma once

#include "int8_windows.hpp"
#include "matrix_product.hpp"
#include "quads.hpp"

namespace fnnfast::FNNFAST_ISA {

// The sums of a tile, from its start.
template <class V, int kRows, int kVectors>
FNNFAST_INLINE void load_quads(const Tile<float>& t, Quads (&sum)[kRows][kVectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Quads::load(t.start + r * t.start_row + v * V::kLanes);
}

// Finished sums.
template <class V, class Sink, int kRows, int kVectors>
FNNFAST_INLINE void put_quads(const Tile<float>& t, const Quads (&sum)[kRows][kVectors]) {
  V z[kRows][kVectors];
  V scale[kVectors], bias[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    scale[v] = V::load(t.b - 2 * t.b_step + v * V::kLanes);
    bias[v] = V::load(t.b - t.b_step + v * V::kLanes);
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) z[r][v] = fma(sum[r][v].to_float(), scale[v], bias[v]);
  Sink::put(t, z);
}

#if defined(FNNFAST_MATRIX)
// Adds the initial sums to those of the products.
struct QuadSumsTile : MatrixTile {
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<float>& t) {
    Quads sum[kRows][kVectors];
    load_quads<V>(t, sum);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Quads initial = Quads::load(t.b - kInt8Header * t.b_step + v * V::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) sum[r][v].v += initial.v;
    }
    put_quads<V, Sink>(t, sum);
  }
};
#endif

struct QuadTile : MatrixTile {
#if defined(FNNFAST_MATRIX)
  using Sums = QuadSumsTile;
#endif
  static constexpr ptrdiff_t kHeader = kInt8Header;
  static constexpr bool kBytes = true;
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<float>& t) {
    Quads sum[kRows][kVectors];
    load_quads<V>(t, sum);
    multiply_words<QuadWeights, QuadInputs, V::kLanes>(t, sum);
    put_quads<V, Sink>(t, sum);
  }
};

// The addresses of a row's taps, where they are needed.
FNNFAST_INLINE ptrdiff_t table_words(const WindowPlan* windows) {
  return windows != nullptr && windows->depthwise ? windows->taps * kAddress<float> : 0;
}

// The quantized rows, maxout's argmax, which rows hold a NaN, and sums of the matrix unit; with windows, then the
// addresses and the images.
struct Int8Scratch {
  ptrdiff_t words, argmax, poisoned, sums;
  explicit FNNFAST_INLINE Int8Scratch(const AffineCall<float>& task)
      : words(task.rows * input_row(task.of->inputs, WeightFormat::kInt8)),
        argmax(task.rows * kNR<float>),
        poisoned(task.rows),
        sums(LowProducts::scratch()) {}
  FNNFAST_INLINE ptrdiff_t size() const { return words + argmax + poisoned + sums; }
};

inline ptrdiff_t int8_scratch(const AffineCall<float>& task) {
  const WindowPlan* const windows = task.of->windows;
  const ptrdiff_t size = Int8Scratch(task).size();
  if (windows == nullptr || task.rows == 0) return size;
  const QuantizedImages images(*windows, task.first_row, task.rows);
  return size + 1 + task.rows * table_words(windows) + images.words();
}

// Returns whether a row has a NaN, and which: poisoned.
FNNFAST_INLINE bool quantize_rows(const AffineCall<float>& task, ptrdiff_t row_words, float* words, float* poisoned) {
  bool any = false;
  for (ptrdiff_t r = 0; r < task.rows; ++r) {
    const bool found = quantize(task.x + r * task.x_row, task.of->inputs, task.of->inverse_scale, task.of->zero_point,
                                reinterpret_cast<std::uint8_t*>(words + r * row_words));
    poisoned[r] = found ? 1.0f : 0.0f;
    any = any || found;
  }
  return any;
}

inline void int8_affine(const AffineCall<float>& task) {
  const ptrdiff_t quads = words_of(task.of->inputs, WeightFormat::kInt8);
  const PanelLayout layout = layout_of<float, WeightFormat::kInt8>(task);
  const ptrdiff_t row_words = input_row(task.of->inputs, WeightFormat::kInt8);
  const WindowPlan* const windows = task.of->windows;
  const bool depthwise = windows != nullptr && windows->depthwise;
  if (task.rows == 0) return;
  const Int8Scratch scratch(task);
  float* const words = task.scratch;
  float* const argmax = words + scratch.words;
  float* const poisoned = argmax + scratch.argmax;
  LowProducts products(poisoned + scratch.poisoned);
  float* const table = task.scratch + scratch.size() + scratch.size() % kAddress<float>;
  auto* const taps = reinterpret_cast<const std::uint8_t**>(table);
  float* const memory = table + task.rows * table_words(windows);
  bool any = false;
  if (depthwise)
    any = quantize_taps(task, memory, taps, poisoned);
  else if (windows != nullptr)
    any = quantize_windows(task, memory, row_words, words, poisoned);
  else
    any = quantize_rows(task, row_words, words, poisoned);
  const ptrdiff_t groups = layout.groups();
  for (ptrdiff_t block = task.first_block; block < task.last_block; ++block)
    for (ptrdiff_t group = 0; group < groups; ++group) {
      const Panel panel = layout.panel(block, group);
      if (depthwise) {
        channel_panel(task, panel, taps);
        continue;
      }
      Tile<float> t{};
      t.k = quads;
      t.a = words;
      t.a_row = row_words;
      t.a_step = 1;
      t.start = task.of->panels + panel.offset;
      t.b = t.start + kInt8Header * panel.width;
      t.b_step = panel.width;
      const ptrdiff_t panel_size = (stored_rows(task.of->inputs, WeightFormat::kInt8) + kInt8Header) * panel.width;
      const bool last = block + 1 == task.last_block && group + 1 == groups;
      const Ahead ahead = last ? ahead_of(task.next, task.next_size)
                               : ahead_of(task.of->panels + panel.offset + panel_size, panel_size);
      products.panel<QuadTile>(task, panel, t, ahead, argmax, true);
    }
  if (!any) return;
  const ptrdiff_t first = layout.panel(task.first_block, 0).unit;
  const Panel end = layout.panel(task.last_block - 1, 0);
  for (ptrdiff_t r = 0; r < task.rows; ++r)
    for (ptrdiff_t u = first; poisoned[r] != 0.0f && u < end.unit + end.units; ++u)
      task.y[r * task.y_row + u] = __builtin_nanf("");
}

inline constexpr AffineKernel<float> kInt8Affine{Vec<float>::kLanes,       kPanelVectors, true,
                                                 LowProducts::kSharedRows, int8_scratch,  int8_affine};

}  // namespace fnnfast::FNNFAST_ISA
