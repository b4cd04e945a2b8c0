#include "pack.hpp"

#include <algorithm>

namespace fnnfast {

template <class T>
void pack(const PanelLayout& layout, const WeightView<const T>& from, T* panels) {
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
      const Panel panel = layout.panel(block, group);
      T* row = panels + panel.offset;
      for (ptrdiff_t i = -1; i < layout.inputs; ++i)
        for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, row += panel.stride) {
          const T* source;
          ptrdiff_t step;
          if (i >= 0) {
            source = from.weight + p * from.weight_piece + i * from.weight_input + panel.unit * from.weight_unit;
            step = from.weight_unit;
          } else {
            source = from.bias ? from.bias + p * from.bias_piece + panel.unit * from.bias_unit : nullptr;
            step = from.bias_unit;
          }
          if (source == nullptr)
            std::fill_n(row, panel.units, T(0));
          else if (step == 1)
            std::copy_n(source, panel.units, row);
          else
            for (ptrdiff_t u = 0; u < panel.units; ++u) row[u] = source[u * step];
          std::fill(row + panel.units, row + panel.stride, T(0));
        }
    }
}

template <class T>
void unpack(const PanelLayout& layout, const T* panels, const WeightView<T>& to) {
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
    for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
      const Panel panel = layout.panel(block, group);
      const T* row = panels + panel.offset;
      for (ptrdiff_t i = -1; i < layout.inputs; ++i)
        for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, row += panel.stride)
          for (ptrdiff_t u = 0; u < panel.units; ++u) {
            if (i >= 0)
              to.weight[p * to.weight_piece + i * to.weight_input + (panel.unit + u) * to.weight_unit] = row[u];
            else if (to.bias)
              to.bias[p * to.bias_piece + (panel.unit + u) * to.bias_unit] = row[u];
          }
    }
}

namespace {

// Squares of this side stay in a few cache lines on both sides of the transposition.
constexpr ptrdiff_t kSquare = 16;

}  // namespace

template <class T>
void transpose(const PanelLayout& layout, const Panel& panel, const T* panels, ptrdiff_t first, ptrdiff_t last,
               T* transposed) {
  const TransposedLayout to(layout);
  const T* weights = panels + panel.offset + panel.width;  // past the bias
  for (ptrdiff_t i0 = first; i0 < last;) {
    const ptrdiff_t column_panel = i0 / to.panel_inputs();
    const ptrdiff_t column = i0 - column_panel * to.panel_inputs();
    const ptrdiff_t width = to.width(column_panel);
    const ptrdiff_t i1 = std::min({last, i0 + kSquare, (column_panel + 1) * to.panel_inputs()});
    T* const base = transposed + to.offset(column_panel) + column;
    for (ptrdiff_t p = 0; p < panel.pieces; ++p)
      for (ptrdiff_t u = 0; u < panel.units; ++u) {
        T* out = base + ((panel.unit + u) * layout.pieces + panel.piece + p) * width;
        const T* in = weights + i0 * panel.width + p * panel.stride + u;
        for (ptrdiff_t i = i0; i < i1; ++i, in += panel.width) *out++ = *in;
      }
    i0 = i1;
  }
}

template void pack<float>(const PanelLayout&, const WeightView<const float>&, float*);
template void pack<double>(const PanelLayout&, const WeightView<const double>&, double*);
template void unpack<float>(const PanelLayout&, const float*, const WeightView<float>&);
template void unpack<double>(const PanelLayout&, const double*, const WeightView<double>&);
template void transpose<float>(const PanelLayout&, const Panel&, const float*, ptrdiff_t, ptrdiff_t, float*);
template void transpose<double>(const PanelLayout&, const Panel&, const double*, ptrdiff_t, ptrdiff_t, double*);

}  // namespace fnnfast
