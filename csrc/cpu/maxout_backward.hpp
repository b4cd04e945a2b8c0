// Maxout's backward pass: only the piece that won an output is touched, so its work does not grow with the pieces.
//
// Each row has its own winners, so weights are not shared between rows as in a product: every multiply-add loads a
// vector of weights (or of x) from L1 instead. That costs one load a multiply-add, which current cores sustain, against
// pieces times the multiply-adds.
#pragma once

#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

// Units [first, last) for kRows rows at a time, enough independent chains to hide the latency. The sums of the units
// before wait in `sums`.
template <class T, int kRows, int kVectors>
FNNFAST_INLINE void maxout_data_rows(const MaxoutDataTask<T>& t, ptrdiff_t row, ptrdiff_t first, ptrdiff_t last) {
  using V = Vec<T>;
  constexpr ptrdiff_t kWidth = kVectors * V::kLanes;
  T* const sums = t.scratch + row * kWidth;
  V acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[r][v] = first > 0 ? V::load(sums + r * kWidth + v * V::kLanes) : V::broadcast(0);
  const T* weights = t.panel + first * t.pieces * t.panel_step;
  for (ptrdiff_t unit = first; unit < last; ++unit, weights += t.pieces * t.panel_step)
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const V dy = V::broadcast(t.dy[(row + r) * t.dy_row + unit]);
      const T* w = weights + t.argmax[(row + r) * t.argmax_row + unit] * t.panel_step;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(dy, V::load(w + v * V::kLanes), acc[r][v]);
    }
  const bool done = last == t.units;
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if (done)
        store_columns(acc[r][v], t.dx + (row + r) * t.dx_row + v * V::kLanes, t.columns - v * V::kLanes);
      else
        acc[r][v].store(sums + r * kWidth + v * V::kLanes);
    }
}

template <class T, int kVectors>
FNNFAST_INLINE void maxout_data_panel(const MaxoutDataTask<T>& t) {
  // The weights of so many units, all pieces, stay in half of a 32 KB L1 while all rows use them.
  constexpr ptrdiff_t kElements = 16384 / sizeof(T);
  const ptrdiff_t each = kElements / (t.pieces * t.panel_step) > 1 ? kElements / (t.pieces * t.panel_step) : 1;
  for (ptrdiff_t first = 0; first < t.units; first += each) {
    const ptrdiff_t last = first + each < t.units ? first + each : t.units;
    ptrdiff_t row = 0;
    for (; row + 2 <= t.rows; row += 2) maxout_data_rows<T, 2, kVectors>(t, row, first, last);
    if (row < t.rows) maxout_data_rows<T, 1, kVectors>(t, row, first, last);
  }
}

template <class T>
void maxout_data(const MaxoutDataTask<T>& t) {
  const ptrdiff_t vectors = (t.columns + Vec<T>::kLanes - 1) / Vec<T>::kLanes;
  if constexpr (kPanelVectors == 4) {
    if (vectors == 4) return maxout_data_panel<T, 4>(t);
    if (vectors == 3) return maxout_data_panel<T, 3>(t);
  }
  return vectors == 2 ? maxout_data_panel<T, 2>(t) : maxout_data_panel<T, 1>(t);
}

// One unit, one chunk of rows: the rows of each piece in turn.
template <class T, int kVectors>
FNNFAST_INLINE void maxout_weight_unit(const MaxoutWeightTask<T>& t) {
  using V = Vec<T>;
  ptrdiff_t at = 0;
  for (ptrdiff_t piece = 0; piece < t.pieces; ++piece) {
    const ptrdiff_t end = t.ends[piece];
    if (at == end) continue;
    T* const dw = t.dw + piece * t.dw_row;
    V acc[kVectors];
#pragma GCC unroll 6
    for (int v = 0; v < kVectors; ++v) acc[v] = V::load(dw + v * V::kLanes);
    for (; at < end; ++at) {
      const ptrdiff_t row = t.order[at];
      const V dy = V::broadcast(t.dy[row * t.dy_row]);
      const T* x = t.x + row * t.x_row;
#pragma GCC unroll 6
      for (int v = 0; v < kVectors; ++v) acc[v] = fma(dy, V::load(x + v * V::kLanes), acc[v]);
    }
#pragma GCC unroll 6
    for (int v = 0; v < kVectors; ++v) acc[v].store(dw + v * V::kLanes);
  }
}

template <class T>
void maxout_weight(const MaxoutWeightTask<T>& t) {
  static_assert(kMaxoutVectors == 6);
  switch ((t.columns + Vec<T>::kLanes - 1) / Vec<T>::kLanes) {
    case 6:
      return maxout_weight_unit<T, 6>(t);
    case 5:
      return maxout_weight_unit<T, 5>(t);
    case 4:
      return maxout_weight_unit<T, 4>(t);
    case 3:
      return maxout_weight_unit<T, 3>(t);
    case 2:
      return maxout_weight_unit<T, 2>(t);
    default:
      return maxout_weight_unit<T, 1>(t);
  }
}

}  // namespace fnnfast::FNNFAST_ISA
