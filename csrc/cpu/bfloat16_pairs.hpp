// Weights and inputs in bfloat16, multiplied in pairs by an instruction that adds both products to a float32.
//
// The words of the weights are those of bfloat16.hpp. The inputs of a call are rounded to words of the same kind once,
// in scratch memory, or by the call whose outputs they are. An output is one chain over the pairs in order, whatever
// the tile, the rows beside it and the thread; but how the instruction rounds is its own, so the bits are those of one
// code path (pairs.hpp).
#pragma once

#include "matrix_product.hpp"
#include "pairs.hpp"

namespace fnnfast::FNNFAST_ISA {

// A sink that rounds to words, in whole vectors: what follows the last unit is cleared later (end_words).
struct StorePairs {
  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void put(const Tile<float>& t, const V (&sum)[kRows][kVectors]) {
    auto* const to = reinterpret_cast<std::uint16_t*>(t.c);
    const ptrdiff_t row = 2 * t.c_row;
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) round_to_pairs(sum[r][v], to + r * row + v * V::kLanes);
  }
};

// Adds the bias, the row before the weights, to finished sums.
struct SumsTile : MatrixTile {
  using StoreWords = StorePairs;
  static constexpr bool kFinishes = true;
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<float>& t) {
    V acc[kRows][kVectors];
    load_start(t, acc);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V bias = V::load(t.b - t.b_step + v * V::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) acc[r][v] = acc[r][v] + bias;
    }
    Sink::put(t, acc);
  }
};

struct DotTile : MatrixTile {
  using Sums = SumsTile;
  using StoreWords = StorePairs;
  static constexpr ptrdiff_t kHeader = 1;
  static constexpr bool kFinishes = true, kBytes = false;
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<float>& t) {
    V acc[kRows][kVectors];
    load_start(t, acc);
    if constexpr (PairWeights::kInBlocks && kRows > 1)
      multiply_blocks(t, acc);
    else
      multiply_words<PairWeights, PairInputs, V::kLanes>(t, acc);
    Sink::put(t, acc);
  }
};

// Words from row to row of a chunk.
FNNFAST_INLINE ptrdiff_t pair_row(const AffineCall<float>& task) {
  return input_row(task.of->inputs < task.of->kc ? task.of->inputs : task.of->kc, WeightFormat::kBfloat16Pairs);
}

// Rounded rows, maxout's argmax, sums of the matrix unit, outputs before they are rounded, partial sums.
struct PairsScratch {
  ptrdiff_t rounded, argmax, sums, outputs, partial;
  ptrdiff_t rows_at_once, output_row;  // of these outputs
  bool chunked;
  explicit FNNFAST_INLINE PairsScratch(const AffineCall<float>& task) {
    constexpr WeightFormat kFormat = WeightFormat::kBfloat16Pairs;
    const PanelLayout layout = layout_of<float, kFormat>(task);
    const AffineScratch<float, kFormat> scratch(task, layout);
    // What a group of pieces leaves is read by the next one, after all rows.
    const bool few = layout.groups() == 1 && task.rows > LowProducts::kRowsAtOnce;
    rows_at_once = few ? LowProducts::kRowsAtOnce : task.rows;
    output_row = layout.padded_units();
    outputs = task.words != nullptr ? rows_at_once * output_row : 0;
    rounded = task.has_words ? 0 : task.rows * pair_row(task);
    argmax = scratch.argmax;
    sums = LowProducts::scratch();
    chunked = scratch.partial > 0;
    partial = scratch.partial;
  }
};

inline ptrdiff_t pairs_scratch(const AffineCall<float>& task) {
  const PairsScratch scratch(task);
  return scratch.rounded + scratch.argmax + scratch.sums + scratch.outputs + scratch.partial;
}

// The inputs of a chunk of one row, and zeros up to a whole block of words.
FNNFAST_INLINE void round_row(const AffineCall<float>& task, ptrdiff_t row, const Chunk& chunk, std::uint16_t* to) {
  const ptrdiff_t end = whole_blocks(chunk.inputs, 2 * LowProducts::kBlockWords);
  for (ptrdiff_t i = chunk.inputs; i < end; ++i) to[i] = 0;
  if (task.of->windows == nullptr) {
    round_to_pairs(task.x + row * task.x_row + chunk.first, chunk.inputs, to);
    return;
  }
  const WindowPlan& plan = *task.of->windows;
  const OutputPixel at(plan, task.first_row + row);
  for (ptrdiff_t done = 0, n; done < chunk.inputs; done += n) {
    const ptrdiff_t tap = (chunk.first + done) / plan.channels, channel = (chunk.first + done) % plan.channels;
    n = plan.channels - channel < chunk.inputs - done ? plan.channels - channel : chunk.inputs - done;
    const ptrdiff_t pixel = at.read_by(plan, plan.tap[tap]);
    round_to_pairs(pixel < 0 ? task.of->zeros : task.x + pixel * task.x_row + channel, n, to + done);
  }
}

// A panel of filters of single channels: the chain of a channel goes over its taps.
FNNFAST_INLINE void pair_channels(const AffineCall<float>& task, const Panel& panel, const Tile<float>& t,
                                  const Chunk& chunk) {
  using V = Vec<float>;
  const WindowPlan& plan = *task.of->windows;
  OutputPixel at(plan, task.first_row);
  for (ptrdiff_t r = 0; r < task.rows; ++r, at.advance(plan, 1)) {
    float* const out = chunk.last ? task.z + r * task.z_row + panel.unit : t.c + r * t.c_row;
    for (ptrdiff_t u = 0; u < panel.units; u += V::kLanes) {
      const ptrdiff_t n = panel.units - u < V::kLanes ? panel.units - u : V::kLanes;
      const auto tap = [&](ptrdiff_t i) {
        if (i >= chunk.inputs) return V::broadcast(0);
        const ptrdiff_t pixel = at.read_by(plan, plan.tap[chunk.first + i]);
        return pixel < 0 ? V::broadcast(0) : load_lanes<V>(task.x + pixel * task.x_row + panel.unit + u, n);
      };
      V sum = V::load(t.start + r * t.start_row + u);
      for (ptrdiff_t i = 0; i < chunk.inputs; i += 2)
        sum = dot(sum, PairInputs::of(tap(i), tap(i + 1)), PairWeights::load(t.b + i / 2 * t.b_step + u));
      store_columns(sum, out + u, n);
    }
  }
  if (chunk.last) finish(task, panel, panel.units, 0, task.rows);
}

// Rounds the outputs of a panel's finished rows to words.
FNNFAST_INLINE void round_outputs(const AffineCall<float>& task, const Panel& panel, const float* outputs,
                                  ptrdiff_t output_row, ptrdiff_t first, ptrdiff_t rows) {
  for (ptrdiff_t r = 0; r < rows; ++r)
    round_to_pairs(outputs + r * output_row + panel.unit, panel.units,
                   reinterpret_cast<std::uint16_t*>(task.words + (first + r) * task.words_row) + panel.unit);
}

// Zeros after the words of the last panel's units, up to a whole block.
FNNFAST_INLINE void end_words(const AffineCall<float>& task, const Panel& panel) {
  const ptrdiff_t units = task.of->units, end = whole_blocks(units, 2 * LowProducts::kBlockWords);
  if (panel.unit + panel.units < units) return;
  for (ptrdiff_t r = 0; r < task.rows; ++r)
    for (ptrdiff_t u = units; u < end; ++u) reinterpret_cast<std::uint16_t*>(task.words + r * task.words_row)[u] = 0;
}

// Whether StorePairs takes the outputs from registers.
FNNFAST_INLINE bool rounds_in_registers(const AffineCall<float>& task, const Panel& panel) {
  const AffineConstants<float>& of = *task.of;
  const bool reads_more = of.scale != nullptr || task.add != nullptr;  // vectors as wide as the panel
  return of.pieces == 1 && (!reads_more || panel.units == panel.width) &&
         (!task.activate || of.activation == nullptr || of.in_registers);
}

// The last chunk of a panel whose outputs are stored as words. Those that are not rounded in registers are stored
// first, some rows at a time.
FNNFAST_INLINE void finish_words(LowProducts& products, const AffineCall<float>& task, const PairsScratch& scratch,
                                 const Panel& panel, Tile<float>& t, Ahead ahead, float* argmax, float* outputs) {
  if (rounds_in_registers(task, panel)) {
    products.panel<DotTile>(task, panel, t, ahead, argmax, true);
    return end_words(task, panel);
  }
  AffineCall<float> part = task;
  part.words = nullptr;
  part.z = part.y = part.sum = outputs;
  part.z_row = part.y_row = part.sum_row = scratch.output_row;
  for (ptrdiff_t row = 0; row < task.rows; row += part.rows) {
    part.rows = task.rows - row < scratch.rows_at_once ? task.rows - row : scratch.rows_at_once;
    Tile<float> own = t;
    own.a += row * t.a_row;
    own.start += row * t.start_row;
    const ptrdiff_t bytes = ahead.bytes * part.rows / task.rows;  // its share
    products.panel<DotTile>(part, panel, own, {ahead.at, bytes}, argmax + row * kNR<float>, true);
    ahead.at += bytes;
    if (panel.piece + panel.pieces == task.of->pieces)
      round_outputs(task, panel, outputs, scratch.output_row, row, part.rows);
    if (part.add) part.add += part.rows * task.add_row;
    if (part.argmax) part.argmax += part.rows * task.argmax_row;
  }
  if (panel.piece + panel.pieces == task.of->pieces) end_words(task, panel);
}

inline void pairs_affine(const AffineCall<float>& task) {
  constexpr WeightFormat kFormat = WeightFormat::kBfloat16Pairs;
  const PanelLayout layout = layout_of<float, kFormat>(task);
  const PairsScratch scratch(task);
  const bool depthwise = task.of->windows != nullptr && task.of->windows->depthwise;
  const ChunkRows<float> rounded{task.scratch, pair_row(task)};
  float* const argmax = task.scratch + scratch.rounded;
  LowProducts products(argmax + scratch.argmax);
  float* const outputs = argmax + scratch.argmax + scratch.sums;
  float* const partials = outputs + scratch.outputs;
  const auto rows = [&](const Chunk& chunk) {
    if (task.has_words) return ChunkRows<float>{task.x + words_of(chunk.first, kFormat), task.x_row};
    for (ptrdiff_t r = 0; r < task.rows && !depthwise; ++r)
      round_row(task, r, chunk, reinterpret_cast<std::uint16_t*>(task.scratch + r * rounded.row));
    return rounded;
  };
  const auto run_panel = [&](Tile<float>& t, const Panel& panel, Ahead ahead, const Chunk& chunk) {
    if (depthwise) return pair_channels(task, panel, t, chunk);
    t.k = words_of(chunk.inputs, kFormat);
    if (task.words != nullptr && chunk.last)
      return finish_words(products, task, scratch, panel, t, ahead, argmax, outputs);
    products.panel<DotTile>(task, panel, t, ahead, argmax, chunk.last);
  };
  run_panels<float, kFormat>(task, layout, scratch.chunked, partials, rows, run_panel);
}

inline constexpr AffineKernel<float> kPairsAffine{Vec<float>::kLanes,       kPanelVectors, true,
                                                  LowProducts::kSharedRows, pairs_scratch, pairs_affine};

}  // namespace fnnfast::FNNFAST_ISA
