#include "pack.hpp"

#include <algorithm>

namespace fnnfast {

namespace {

template <class F>
void for_panels(const PanelLayout& layout, F&& f) {
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block)
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
void pack_weight(const PanelLayout& layout, const WeightView<const T>& from, T* panels) {
  for_panels(layout, [&](const Panel& panel) {
    T* to = panels + panel.offset + panel.width;
    for (ptrdiff_t i = 0; i < layout.inputs; ++i)
      for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, to += panel.stride)
        pack_row(from.data + p * from.piece + i * from.input + panel.unit * from.unit, from.unit, panel.units,
                 panel.stride, to);
  });
}

template <class T>
void pack_bias(const PanelLayout& layout, const BiasView<const T>& from, T* panels) {
  for_panels(layout, [&](const Panel& panel) {
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
void unpack_weight(const PanelLayout& layout, const T* panels, const WeightView<T>& to) {
  for_panels(layout, [&](const Panel& panel) {
    const T* from = panels + panel.offset + panel.width;
    for (ptrdiff_t i = 0; i < layout.inputs; ++i)
      for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, from += panel.stride)
        unpack_row(from, to.unit, panel.units, to.data + p * to.piece + i * to.input + panel.unit * to.unit);
  });
}

template <class T>
void unpack_bias(const PanelLayout& layout, const T* panels, const BiasView<T>& to) {
  for_panels(layout, [&](const Panel& panel) {
    const T* from = panels + panel.offset;
    for (ptrdiff_t p = panel.piece; p < panel.piece + panel.pieces; ++p, from += panel.stride)
      unpack_row(from, to.unit, panel.units, to.data + p * to.piece + panel.unit * to.unit);
  });
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

template void pack_weight<float>(const PanelLayout&, const WeightView<const float>&, float*);
template void pack_weight<double>(const PanelLayout&, const WeightView<const double>&, double*);
template void pack_bias<float>(const PanelLayout&, const BiasView<const float>&, float*);
template void pack_bias<double>(const PanelLayout&, const BiasView<const double>&, double*);
template void unpack_weight<float>(const PanelLayout&, const float*, const WeightView<float>&);
template void unpack_weight<double>(const PanelLayout&, const double*, const WeightView<double>&);
template void unpack_bias<float>(const PanelLayout&, const float*, const BiasView<float>&);
template void unpack_bias<double>(const PanelLayout&, const double*, const BiasView<double>&);
template void transpose<float>(const PanelLayout&, const Panel&, const float*, ptrdiff_t, ptrdiff_t, float*);
template void transpose<double>(const PanelLayout&, const Panel&, const double*, ptrdiff_t, ptrdiff_t, double*);

}  // namespace fnnfast
