// Packed weights: the only storage of a layer's parameters.
//
// The blocking of a product y = x W + b, in the words of BLIS:
//
//                NR  NR  NR        NC: a set of panels
//              +---+---+---+---
//              | b | b | b |       row 0 of a panel: the bias
//              +---+---+---+---
//         KC   |   |   |   |       W: a micro-panel is NR units wide, and stored row by row. KC rows of it stay in L2
//              |   |   |   |       while all rows of x use them; the partial sums of a set of panels are stored between
//              +---+---+---+---    two chunks of KC inputs
//                KC
//       +--------------+   +---+
//   MR  |      x       |   |   |   y: a register tile of MR x NR sums (tile.hpp). It starts at the bias or at the
//       +--------------+   +---+   partial sums, and adds the inputs in ascending order
//
// NR is panel_vectors vectors (kNR), MR is max_rows() or less, KC is AffineConstants::kc, NC is kNCPanels panels. With
// few inputs, KC is all of them, and there are no partial sums.
//
// In code, a panel is a micro-panel, and a block is the units of one panel. Maxout has the pieces of a unit side by
// side in a panel, so that their maximum is taken in registers; pieces that do not fit form further groups, each with a
// panel of its own. A row of a panel is [piece of the group][vector of units][lane], padded with zeros to whole
// vectors:
//
//   row 0       the bias
//   row 1 + i   the weights of input i
//
// Panels are stored block by block, group by group. Units of different groups of channels, of a convolution, share no
// panel: a block is of one of them. Gradients and optimizer states have the same layout, so an update is one pass over
// contiguous memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/macros.hpp"

namespace fnnfast::cpu {

using std::ptrdiff_t;

inline constexpr ptrdiff_t kWidestPanel = 64;  // on all instruction sets

struct Panel {
  ptrdiff_t offset;         // of its row 0
  ptrdiff_t width;          // of a row
  ptrdiff_t unit, units;    // first unit, and their number without padding
  ptrdiff_t piece, pieces;  // first piece, and their number
  ptrdiff_t stride;         // from piece to piece within a row
  FNNFAST_INLINE ptrdiff_t row(ptrdiff_t input) const { return offset + (1 + input) * width; }
};

struct PanelLayout {
  ptrdiff_t inputs, units, pieces;
  int lanes, vectors;
  ptrdiff_t channel_groups = 1;  // of a convolution, which the units are divided into: each reads inputs of its own

  // Pieces per group, and units per block. Three pieces share a tile of four vectors and leave one empty, which is
  // still faster than two groups.
  FNNFAST_INLINE ptrdiff_t group_pieces() const {
    if (pieces == 1) return 1;  // divisions are noticeable in small networks
    const ptrdiff_t groups = (pieces + vectors - 1) / vectors;
    return (pieces + groups - 1) / groups;
  }
  FNNFAST_INLINE ptrdiff_t groups() const { return pieces == 1 ? 1 : (pieces + group_pieces() - 1) / group_pieces(); }
  FNNFAST_INLINE ptrdiff_t block_units() const { return lanes * (vectors / group_pieces()); }
  FNNFAST_INLINE ptrdiff_t group_units() const { return channel_groups == 1 ? units : units / channel_groups; }
  FNNFAST_INLINE ptrdiff_t group_blocks() const { return (group_units() + block_units() - 1) / block_units(); }
  FNNFAST_INLINE ptrdiff_t group_size() const {
    return (inputs + 1) * pieces * ((group_units() + lanes - 1) / lanes * lanes);
  }
  FNNFAST_INLINE ptrdiff_t blocks() const { return channel_groups * group_blocks(); }
  FNNFAST_INLINE ptrdiff_t padded_units() const { return (units + lanes - 1) / lanes * lanes; }
  FNNFAST_INLINE ptrdiff_t size() const { return channel_groups * group_size(); }

  FNNFAST_INLINE Panel panel(ptrdiff_t block, ptrdiff_t group) const {
    ptrdiff_t channel_group = 0;
    if (channel_groups > 1) {
      channel_group = block / group_blocks();
      block %= group_blocks();
    }
    Panel p;
    p.unit = block * block_units();
    const ptrdiff_t rest = group_units() - p.unit;
    p.units = rest < block_units() ? rest : block_units();
    p.stride = (p.units + lanes - 1) / lanes * lanes;
    p.piece = group * group_pieces();
    p.pieces = pieces - p.piece < group_pieces() ? pieces - p.piece : group_pieces();
    p.width = p.pieces * p.stride;
    p.offset = (inputs + 1) * (pieces * p.unit + p.piece * p.stride);
    if (channel_group > 0) {
      p.unit += channel_group * group_units();
      p.offset += channel_group * group_size();
    }
    return p;
  }
};

// Weights (piece, input, unit) and biases (piece, unit) in the user's layout, of any strides.
template <class T>
struct WeightView {
  T* data;
  ptrdiff_t piece, input, unit;
};
template <class T>
struct BiasView {
  T* data;  // null: zeros
  ptrdiff_t piece, unit;
};
template <class T>
FNNFAST_INLINE WeightView<T> contiguous_weight(T* data, const PanelLayout& layout) {
  return {data, layout.inputs * layout.units, layout.units, 1};
}
template <class T>
FNNFAST_INLINE BiasView<T> contiguous_bias(T* data, const PanelLayout& layout) {
  return {data, layout.units, 1};
}

// Blocks [first, last) of a layout.
struct BlockRange {
  ptrdiff_t first, last;
};
inline BlockRange all_blocks(const PanelLayout& layout) { return {0, layout.blocks()}; }

// Each writes its own rows of the panels, including the padding.
template <class T>
void pack_weight(const PanelLayout& layout, BlockRange blocks, const WeightView<const T>& from, T* panels);
template <class T>
void pack_weight(const PanelLayout& layout, const WeightView<const T>& from, T* panels) {
  pack_weight(layout, all_blocks(layout), from, panels);
}
template <class T>
void pack_bias(const PanelLayout& layout, const BiasView<const T>& from, T* panels);

template <class T>
void unpack_weight(const PanelLayout& layout, BlockRange blocks, const T* panels, const WeightView<T>& to);
template <class T>
void unpack_weight(const PanelLayout& layout, const T* panels, const WeightView<T>& to) {
  unpack_weight(layout, all_blocks(layout), panels, to);
}
template <class T>
void unpack_bias(const PanelLayout& layout, const T* panels, const BiasView<T>& to);

// Weights of fewer bits, made from panels of float. They have the same blocks and groups, and fewer rows. A row has
// words of 32 bits, of type float, which only carries the bits. kBfloat16 and kBfloat16Pairs differ in what is
// multiplied: numbers widened to float, or pairs of bfloat16 (bfloat16_pairs.hpp).
enum class WeightFormat { kFull, kBfloat16, kBfloat16Pairs, kInt8 };

inline constexpr ptrdiff_t kInt8Header = 3;
inline constexpr ptrdiff_t kInt8MostInputs = 65536;  // 255 * 127 * so many stays below 2^31

// Words of that many inputs.
FNNFAST_INLINE constexpr ptrdiff_t words_of(ptrdiff_t inputs, WeightFormat format) {
  const ptrdiff_t each = format == WeightFormat::kInt8 ? 4 : format == WeightFormat::kFull ? 1 : 2;
  return (inputs + each - 1) / each;
}
// Rows of words in a panel. A matrix unit reads 16 at a time, so zeros follow the last in what it may multiply.
FNNFAST_INLINE constexpr ptrdiff_t stored_rows(ptrdiff_t inputs, WeightFormat format) {
  const ptrdiff_t words = words_of(inputs, format);
  const bool in_blocks = format == WeightFormat::kBfloat16Pairs || format == WeightFormat::kInt8;
  return in_blocks ? (words + 15) / 16 * 16 : words;
}
// Words from row to row of inputs that are stored as words: whole blocks, not a multiple of a page.
FNNFAST_INLINE constexpr ptrdiff_t input_row(ptrdiff_t inputs, WeightFormat format) {
  return stored_rows(inputs, format) + 16;
}
// The layout of the words: its `inputs` are the rows after the first.
FNNFAST_INLINE constexpr PanelLayout stored_layout(PanelLayout layout, WeightFormat format) {
  layout.inputs = stored_rows(layout.inputs, format) + (format == WeightFormat::kInt8 ? kInt8Header - 1 : 0);
  return layout;
}

// The upper half of the nearest bfloat16, ties to even; a NaN stays a NaN.
FNNFAST_INLINE std::uint32_t round_to_bfloat16(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  return x != x ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

// The word of two numbers, rounded.
FNNFAST_INLINE float word_of_pair(float lower, float upper) {
  return __builtin_bit_cast(float, round_to_bfloat16(upper) << 16 | round_to_bfloat16(lower));
}

// bfloat16, in one of its two formats: a row holds two inputs, the first in the lower halves; rounded to nearest, ties
// to even. Here as below, zeros after the last row must be there already.
void pack_bfloat16(const PanelLayout& layout, WeightFormat format, const float* panels, float* words);
// Inputs [first, last) of one panel, whole words; with first = -1 its bias, and inputs [0, last).
void pack_bfloat16(const PanelLayout& layout, WeightFormat format, const Panel& panel, ptrdiff_t first, ptrdiff_t last,
                   const float* panels, float* words);
void unpack_bfloat16(const PanelLayout& layout, WeightFormat format, const float* words, float* panels);

// int8: rows of starting sums, scales and biases, then four inputs per row (int8.hpp). weight_scale is (pieces, units).
struct InputScale {
  float scale;
  int zero_point;
};
void pack_int8(const PanelLayout& layout, const float* panels, const InputScale& input, const float* weight_scale,
               float* words);
void unpack_int8(const PanelLayout& layout, const float* words, const float* weight_scale, float* panels);

// Vectors of inputs that maxout's backward pass processes at once: enough chains to hide the latency of a multiply-add.
inline constexpr int kMaxoutVectors = 8;

// The transposed weights, for the gradient of the input: panels over the inputs, one row for each unit and piece (unit
// * pieces + piece), no bias. A panel is as wide as the register tile, or kMaxoutVectors for maxout; the last one may
// be narrower.
struct TransposedLayout {
  ptrdiff_t inputs, rows;
  int lanes, vectors;

  explicit FNNFAST_INLINE TransposedLayout(const PanelLayout& layout)
      : inputs(layout.inputs),
        rows(layout.units * layout.pieces),
        lanes(layout.lanes),
        vectors(layout.pieces > 1 ? kMaxoutVectors : layout.vectors) {}
  FNNFAST_INLINE ptrdiff_t panel_inputs() const { return ptrdiff_t{lanes} * vectors; }
  FNNFAST_INLINE ptrdiff_t panels() const { return (inputs + panel_inputs() - 1) / panel_inputs(); }
  FNNFAST_INLINE ptrdiff_t padded_inputs() const { return (inputs + lanes - 1) / lanes * lanes; }
  FNNFAST_INLINE ptrdiff_t size() const { return rows * padded_inputs(); }
  FNNFAST_INLINE ptrdiff_t width(ptrdiff_t panel) const {
    const ptrdiff_t rest = padded_inputs() - panel * panel_inputs();
    return rest < panel_inputs() ? rest : panel_inputs();
  }
  FNNFAST_INLINE ptrdiff_t offset(ptrdiff_t panel) const { return panel * panel_inputs() * rows; }
};

// Copies inputs [first, last) of one panel of weights into transposed panels, in which they begin at a row and a
// column. `from` has their rows, the panel's width apart. It does not write the padding, which must be zero.
template <class T>
void transpose(const PanelLayout& layout, const Panel& panel, const T* from, ptrdiff_t first, ptrdiff_t last,
               const TransposedLayout& to, ptrdiff_t row, ptrdiff_t column, T* transposed);
// The same to their place in the transposed weights of the layout.
template <class T>
void transpose(const PanelLayout& layout, const Panel& panel, const T* from, ptrdiff_t first, ptrdiff_t last,
               T* transposed) {
  transpose(layout, panel, from, first, last, TransposedLayout(layout), panel.unit * layout.pieces + panel.piece, first,
            transposed);
}

// The same for products of bfloat16: words of pairs of units, panels of a layer from the units to the inputs.
void transpose_to_pairs(const PanelLayout& layout, const Panel& panel, const float* from, ptrdiff_t first,
                        ptrdiff_t last, float* words);
FNNFAST_INLINE PanelLayout transposed_pairs_layout(const PanelLayout& layout) {
  return {layout.units, layout.inputs, 1, layout.lanes, layout.vectors};
}

}  // namespace fnnfast::cpu
