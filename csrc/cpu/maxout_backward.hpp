// Maxout's backward pass reads only the argmax piece of an output, so its work does not grow with the pieces.
//
// Each row has its own argmax, so rows do not share weights as in a product: every multiply-add loads a vector of
// weights (or of x) from L1, instead of doing pieces times the multiply-adds. With wide tiles (kMaxoutVectors), the
// other loads, a gradient and an index each, are few in comparison.
#pragma once

#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

// Rows [row, row + kRows), units [first, last). `scratch` holds the sums over the previous units.
template <class T, int kRows, int kVectors>
FNNFAST_INLINE void maxout_data_rows(const MaxoutDataTask<T>& t, ptrdiff_t row, ptrdiff_t first, ptrdiff_t last) {
  using V = Vec<T>;
  constexpr ptrdiff_t kWidth = kVectors * V::kLanes;
  T* const sums = t.scratch + row * kWidth;
  V acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      acc[r][v] = first > 0 ? V::load(sums + r * kWidth + v * V::kLanes) : V::broadcast(0);
  const T* weights = t.panel + first * t.pieces * kWidth;
  for (ptrdiff_t unit = first; unit < last; ++unit, weights += t.pieces * kWidth)
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const V dy = V::broadcast(t.dy[(row + r) * t.dy_row + unit]);
      const T* w = weights + t.argmax[(row + r) * t.argmax_row + unit] * kWidth;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(dy, V::load(w + v * V::kLanes), acc[r][v]);
    }
  const bool done = last == t.units;
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      if (done)
        store_columns(acc[r][v], t.dx + (row + r) * t.dx_row + v * V::kLanes, t.columns - v * V::kLanes);
      else
        acc[r][v].store(sums + r * kWidth + v * V::kLanes);
    }
}

template <class T, int kVectors>
FNNFAST_INLINE void maxout_data_panel(const MaxoutDataTask<T>& t) {
  constexpr ptrdiff_t kWidth = kVectors * Vec<T>::kLanes;
  constexpr int kRows = kVectors > 4 ? 1 : 2;  // for enough chains
  // The weights of `each` units, with all pieces, stay in L1 while all rows use them. The next ones are prefetched into
  // L2, a few lines per row.
  constexpr ptrdiff_t kElements = 32768 / sizeof(T), kLeastUnits = 8, kLine = 64 / sizeof(T);
  const ptrdiff_t fit = kElements / (t.pieces * kWidth);
  const ptrdiff_t each = fit > kLeastUnits ? fit : kLeastUnits;
  const T* const end = t.panel + t.units * t.pieces * kWidth + t.next;
  for (ptrdiff_t first = 0; first < t.units; first += each) {
    const ptrdiff_t last = first + each < t.units ? first + each : t.units;
    const T* ahead = t.panel + last * t.pieces * kWidth;
    const ptrdiff_t rest = end - ahead, next = each * t.pieces * kWidth;
    const ptrdiff_t lines = (rest < next ? rest : next) / kLine;
    const ptrdiff_t lines_each = (lines * kRows + t.rows - 1) / t.rows;
    for (ptrdiff_t row = 0; row < t.rows;) {
      for (ptrdiff_t line = 0; line < lines_each && ahead < end; ++line, ahead += kLine)
        __builtin_prefetch(ahead, 0, 2);
      if (kRows == 2 && row + 2 <= t.rows) {
        maxout_data_rows<T, 2, kVectors>(t, row, first, last);
        row += 2;
      } else {
        maxout_data_rows<T, 1, kVectors>(t, row, first, last);
        row += 1;
      }
    }
  }
}

template <int kValue>
struct Count {
  static constexpr int value = kValue;
};

// Calls f(Count) with the number of vectors for that many columns.
template <class T, class F>
FNNFAST_INLINE void with_vectors(ptrdiff_t columns, F&& f) {
  static_assert(kMaxoutVectors == 8);
  switch ((columns + Vec<T>::kLanes - 1) / Vec<T>::kLanes) {
    case 8:
      return f(Count<8>());
    case 7:
      return f(Count<7>());
    case 6:
      return f(Count<6>());
    case 5:
      return f(Count<5>());
    case 4:
      return f(Count<4>());
    case 3:
      return f(Count<3>());
    case 2:
      return f(Count<2>());
    default:
      return f(Count<1>());
  }
}

template <class T>
void maxout_data(const MaxoutDataTask<T>& t) {
  with_vectors<T>(t.columns, [&](auto vectors) { maxout_data_panel<T, decltype(vectors)::value>(t); });
}

// One unit: for each piece, its rows.
template <class T, int kVectors>
FNNFAST_INLINE void maxout_weight_unit(const MaxoutWeightTask<T>& t, const std::uint8_t* order, const T* dy, T* dw) {
  using V = Vec<T>;
  const std::uint8_t* const ends = order + t.chunk;
  ptrdiff_t at = 0;
  for (ptrdiff_t piece = 0; piece < t.pieces; ++piece, dw += t.dw_row) {
    const ptrdiff_t end = ends[piece];
    if (at == end) continue;
    V acc[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[v] = V::load(dw + v * V::kLanes);
    for (; at < end; ++at) {
      const V gradient = V::broadcast(dy[at]);
      const T* x = t.x + order[at] * t.x_row;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[v] = fma(gradient, V::load(x + v * V::kLanes), acc[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[v].store(dw + v * V::kLanes);
  }
}

template <class T>
void maxout_weight(const MaxoutWeightTask<T>& t) {
  with_vectors<T>(t.columns, [&](auto vectors) {
    for (ptrdiff_t u = 0; u < t.units; ++u)
      maxout_weight_unit<T, decltype(vectors)::value>(t, t.order + u * t.entry, t.dy + u * t.chunk,
                                                      t.dw + u * t.pieces * t.dw_row);
  });
}

}  // namespace fnnfast::FNNFAST_ISA
