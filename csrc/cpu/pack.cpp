#include "pack.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace fnnfast::cpu {

namespace {

template <class F>
void for_panels(const PanelLayout& layout, BlockRange blocks, F&& f) {
  for (ptrdiff_t block = blocks.first; block < blocks.last; ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group) f(layout.panel(block, group));
}

// n values, step apart, and zeros up to the stride.
template <class T>
void pack_row(const T* from, ptrdiff_t step, ptrdiff_t n, ptrdiff_t stride, T* to) {
  if (step == 1)
    std::copy_n(from, n, to);
  else
    for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[i * step];
  std::fill(to + n, to + stride, T(0));
}

template <class T>
void unpack_row(const T* from, ptrdiff_t step, ptrdiff_t n, T* to) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i * step] = from[i];
}

}  // namespace

template <class T>
void pack_weight(const PanelLayout& layout, BlockRange blocks, const WeightView<const T>& from, T* panels) {
  for_panels(layout, blocks, [&](const Panel& panel) {
    T* to = panels + panel.offset + panel.width;
    for (ptrdiff_t i = 0; i < layout.inputs; ++i)
      for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, to += panel.stride)
        pack_row(from.data + p * from.piece + i * from.input + panel.unit * from.unit, from.unit, panel.units,
                 panel.stride, to);
  });
}

template <class T>
void pack_bias(const PanelLayout& layout, const BiasView<const T>& from, T* panels) {
  for_panels(layout, all_blocks(layout), [&](const Panel& panel) {
    T* to = panels + panel.offset;
    for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, to += panel.stride) {
      if (from.data == nullptr)
        std::fill_n(to, panel.stride, T(0));
      else
        pack_row(from.data + p * from.piece + panel.unit * from.unit, from.unit, panel.units, panel.stride, to);
    }
  });
}

template <class T>
void unpack_weight(const PanelLayout& layout, BlockRange blocks, const T* panels, const WeightView<T>& to) {
  for_panels(layout, blocks, [&](const Panel& panel) {
    const T* from = panels + panel.offset + panel.width;
    for (ptrdiff_t i = 0; i < layout.inputs; ++i)
      for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, from += panel.stride)
        unpack_row(from, to.unit, panel.units, to.data + p * to.piece + i * to.input + panel.unit * to.unit);
  });
}

template <class T>
void unpack_bias(const PanelLayout& layout, const T* panels, const BiasView<T>& to) {
  for_panels(layout, all_blocks(layout), [&](const Panel& panel) {
    const T* from = panels + panel.offset;
    for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, from += panel.stride)
      unpack_row(from, to.unit, panel.units, to.data + p * to.piece + panel.unit * to.unit);
  });
}

namespace {

using Word = std::uint32_t;

void round_to_words(const float* lower, const float* upper, ptrdiff_t n, float* words) {
  for (ptrdiff_t i = 0; i < n; ++i) words[i] = word_of_pair(lower[i], upper[i]);
}

// Calls f(panel, words), with the first word of each panel.
template <class F>
void for_stored_panels(const PanelLayout& layout, WeightFormat format, F&& f) {
  const PanelLayout stored = stored_layout(layout, format);
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group)
      f(layout.panel(block, group), stored.panel(block, group).offset);
}

// The scale of a column of a panel; 1 for its padding.
float column_scale(const PanelLayout& layout, const Panel& panel, ptrdiff_t column, const float* weight_scale) {
  const ptrdiff_t unit = column % panel.stride;
  if (unit >= panel.units) return 1.0f;
  return weight_scale[(panel.piece + column / panel.stride) * layout.units + panel.unit + unit];
}

}  // namespace

void pack_bfloat16(const PanelLayout& layout, WeightFormat format, const Panel& panel, ptrdiff_t first, ptrdiff_t last,
                   const float* panels, float* words) {
  const ptrdiff_t rows = layout.inputs + 1, stored = stored_layout(layout, format).inputs + 1;
  const float* const from = panels + panel.offset;
  float* const to = words + panel.offset / rows * stored;
  if (first < 0) std::copy_n(from, panel.width, to);
  for (ptrdiff_t i = std::max(first, ptrdiff_t{0}); i < last; i += 2) {
    const float* const lower = from + (1 + i) * panel.width;
    float* const row = to + (1 + i / 2) * panel.width;
    if (i + 1 < layout.inputs)
      round_to_words(lower, lower + panel.width, panel.width, row);
    else
      for (ptrdiff_t c = 0; c < panel.width; ++c) row[c] = word_of_pair(lower[c], 0.0f);
  }
}

void pack_bfloat16(const PanelLayout& layout, WeightFormat format, const float* panels, float* words) {
  for_panels(layout, all_blocks(layout),
             [&](const Panel& panel) { pack_bfloat16(layout, format, panel, -1, layout.inputs, panels, words); });
}

void unpack_bfloat16(const PanelLayout& layout, WeightFormat format, const float* words, float* panels) {
  for_stored_panels(layout, format, [&](const Panel& panel, ptrdiff_t at) {
    float* const to = panels + panel.offset;
    std::copy_n(words + at, panel.width, to);
    for (ptrdiff_t i = 0; i < layout.inputs; ++i)
      for (ptrdiff_t c = 0; c < panel.width; ++c) {
        const Word word = std::bit_cast<Word>(words[at + (1 + i / 2) * panel.width + c]);
        to[(1 + i) * panel.width + c] = std::bit_cast<float>(i % 2 == 0 ? word << 16 : word & 0xffff0000u);
      }
  });
}

void pack_int8(const PanelLayout& layout, const float* panels, const InputScale& input, const float* weight_scale,
               float* words) {
  for_stored_panels(layout, WeightFormat::kInt8, [&](const Panel& panel, ptrdiff_t at) {
    const float* const from = panels + panel.offset;
    float* const to = words + at;
    for (ptrdiff_t c = 0; c < panel.width; ++c) {
      const float scale = column_scale(layout, panel, c, weight_scale);
      std::int32_t sum = 0;
      for (ptrdiff_t i = 0; i < layout.inputs; i += 4) {
        std::array<std::int8_t, 4> quad{};
        for (ptrdiff_t j = i; j < std::min(i + 4, layout.inputs); ++j) {
          const float q = std::nearbyint(from[(1 + j) * panel.width + c] / scale);
          quad[static_cast<std::size_t>(j - i)] = static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f));
          sum += quad[static_cast<std::size_t>(j - i)];
        }
        to[(kInt8Header + i / 4) * panel.width + c] = std::bit_cast<float>(quad);
      }
      to[c] = std::bit_cast<float>(-input.zero_point * sum);
      to[panel.width + c] = input.scale * scale;
      to[2 * panel.width + c] = from[c];
    }
  });
}

void unpack_int8(const PanelLayout& layout, const float* words, const float* weight_scale, float* panels) {
  for_stored_panels(layout, WeightFormat::kInt8, [&](const Panel& panel, ptrdiff_t at) {
    const float* const from = words + at;
    float* const to = panels + panel.offset;
    for (ptrdiff_t c = 0; c < panel.width; ++c) {
      const float scale = column_scale(layout, panel, c, weight_scale);
      to[c] = from[2 * panel.width + c];
      for (ptrdiff_t i = 0; i < layout.inputs; ++i) {
        const auto quad = std::bit_cast<std::array<std::int8_t, 4>>(from[(kInt8Header + i / 4) * panel.width + c]);
        to[(1 + i) * panel.width + c] = static_cast<float>(quad[static_cast<std::size_t>(i % 4)]) * scale;
      }
    }
  });
}

namespace {

// The side of a square that takes few cache lines both before and after the transposition.
constexpr ptrdiff_t kSquare = 16;

}  // namespace

template <class T>
void transpose(const PanelLayout& layout, const Panel& panel, const T* from, ptrdiff_t first, ptrdiff_t last,
               const TransposedLayout& to, ptrdiff_t row, ptrdiff_t column, T* transposed) {
  for (ptrdiff_t i0 = first; i0 < last;) {
    const ptrdiff_t at = column + i0 - first, column_panel = at / to.panel_inputs();
    const ptrdiff_t width = to.width(column_panel);
    const ptrdiff_t i1 = std::min({last, i0 + kSquare, i0 + (column_panel + 1) * to.panel_inputs() - at});
    T* const base = transposed + to.offset(column_panel) + at - column_panel * to.panel_inputs();
    for (ptrdiff_t p = 0; p < panel.pieces; ++p)
      for (ptrdiff_t u = 0; u < panel.units; ++u) {
        T* out = base + (row + u * layout.pieces + p) * width;
        const T* in = from + (i0 - first) * panel.width + p * panel.stride + u;
        for (ptrdiff_t i = i0; i < i1; ++i, in += panel.width) *out++ = *in;
      }
    i0 = i1;
  }
}

void transpose_to_pairs(const PanelLayout& layout, const Panel& panel, const float* from, ptrdiff_t first,
                        ptrdiff_t last, float* words) {
  const PanelLayout to = stored_layout(transposed_pairs_layout(layout), WeightFormat::kBfloat16Pairs);
  for (ptrdiff_t i0 = first; i0 < last;) {
    const Panel across = to.panel(i0 / to.block_units(), 0);
    const ptrdiff_t i1 = std::min({last, i0 + kSquare, across.unit + across.units});
    float* row = words + across.row(panel.unit / 2) - across.unit;
    float rounded[kSquare][kWidestPanel / 2];
    for (ptrdiff_t i = i0; i < i1; ++i) {
      const float* const pairs = from + (i - first) * panel.width;  // with zeros after the last unit
      for (ptrdiff_t u = 0; u < panel.width / 2; ++u) rounded[i - i0][u] = word_of_pair(pairs[2 * u], pairs[2 * u + 1]);
      if (panel.width % 2 != 0) rounded[i - i0][panel.width / 2] = word_of_pair(pairs[panel.width - 1], 0.0f);
    }
    for (ptrdiff_t u = 0; u < words_of(panel.units, WeightFormat::kBfloat16Pairs); ++u, row += across.width)
      for (ptrdiff_t i = i0; i < i1; ++i) row[i] = rounded[i - i0][u];
    i0 = i1;
  }
}

template void pack_weight<float>(const PanelLayout&, BlockRange, const WeightView<const float>&, float*);
template void pack_weight<double>(const PanelLayout&, BlockRange, const WeightView<const double>&, double*);
template void pack_bias<float>(const PanelLayout&, const BiasView<const float>&, float*);
template void pack_bias<double>(const PanelLayout&, const BiasView<const double>&, double*);
template void unpack_weight<float>(const PanelLayout&, BlockRange, const float*, const WeightView<float>&);
template void unpack_weight<double>(const PanelLayout&, BlockRange, const double*, const WeightView<double>&);
template void unpack_bias<float>(const PanelLayout&, const float*, const BiasView<float>&);
template void unpack_bias<double>(const PanelLayout&, const double*, const BiasView<double>&);
template void transpose<float>(const PanelLayout&, const Panel&, const float*, ptrdiff_t, ptrdiff_t,
                               const TransposedLayout&, ptrdiff_t, ptrdiff_t, float*);
template void transpose<double>(const PanelLayout&, const Panel&, const double*, ptrdiff_t, ptrdiff_t,
                                const TransposedLayout&, ptrdiff_t, ptrdiff_t, double*);

}  // namespace fnnfast::cpu
