// Dense layers with few units: rows in the lanes.
//
// In a register tile, few units would fill a small part of a vector, and each multiply-add would need its own broadcast
// of x. Here a vector holds one unit of as many rows as it has lanes, x is transposed in registers, and the weights are
// broadcast. Each output is the same chain of multiply-adds.
#pragma once

#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

// The most units for which this is faster: with more, the broadcasts of the weights cost as much as those of x.
inline constexpr ptrdiff_t kNarrowUnits = 8;

// kGroups times kLanes rows. The panel is padded with zeros to a vector, so kUnits may exceed the units.
template <class V, int kGroups, int kUnits>
FNNFAST_INLINE void narrow_rows(const Tile<typename V::Scalar>& t) {
  using T = typename V::Scalar;
  constexpr int kColumns = 16 / sizeof(T);
  const ptrdiff_t group = V::kLanes * t.a_row;
  V acc[kGroups][kUnits];
#pragma GCC unroll 2
  for (int g = 0; g < kGroups; ++g)
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) acc[g][u] = V::broadcast(t.start[u]);
  const T* a = t.a;
  const T* b = t.b;
  const auto take = [&](const V(&x)[kGroups][kColumns], int column) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) {
      const V w = V::broadcast(b[u]);
#pragma GCC unroll 2
      for (int g = 0; g < kGroups; ++g) acc[g][u] = fma(x[g][column], w, acc[g][u]);
    }
    b += t.b_step;
  };
  V x[kGroups][kColumns];
  ptrdiff_t k = t.k;
  for (; k >= kColumns; k -= kColumns, a += kColumns) {
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) V::load_transposed(a + g * group, t.a_row, x[g]);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) take(x, c);
  }
  for (; k > 0; --k, ++a) {
    for (int g = 0; g < kGroups; ++g) {
      T column[V::kLanes];
      for (int r = 0; r < V::kLanes; ++r) column[r] = a[g * group + r * t.a_row];
      x[g][0] = V::load(column);
    }
    take(x, 0);
  }
  for (int g = 0; g < kGroups; ++g) {
    T* const c = t.c + g * V::kLanes * t.c_row;
    if (kUnits == 1 && t.c_row == 1) {
      acc[g][0].store(c);
      continue;
    }
    T out[kUnits][V::kLanes];
    for (int u = 0; u < kUnits; ++u) acc[g][u].store(out[u]);
    for (ptrdiff_t r = 0; r < V::kLanes; ++r)
      for (ptrdiff_t u = 0; u < t.columns; ++u) c[r * t.c_row + u] = out[u][r];
  }
}

template <class V, int kGroups, int kUnits>
FNNFAST_INLINE ptrdiff_t narrow_blocks(Tile<typename V::Scalar> t, ptrdiff_t rows) {
  constexpr ptrdiff_t kRows = kGroups * V::kLanes;
  ptrdiff_t row = 0;
  for (; row + kRows <= rows; row += kRows, t.a += kRows * t.a_row, t.c += kRows * t.c_row)
    narrow_rows<V, kGroups, kUnits>(t);
  return row;
}

// Computes the rows that fill whole vectors, and returns their number. One or two units take two groups, for enough
// chains.
template <class V>
FNNFAST_NOINLINE ptrdiff_t narrow(const Tile<typename V::Scalar>& t, ptrdiff_t rows) {
  if constexpr (V::kLanes == 1) {
    return 0;  // no gain
  } else {
    if (t.columns == 1) return narrow_blocks<V, 2, 1>(t, rows);
    if (t.columns == 2) return narrow_blocks<V, 2, 2>(t, rows);
    if (t.columns <= 4) return narrow_blocks<V, 1, 4>(t, rows);
    // Vectors of two lanes pad five units only to six.
    return t.b_step >= 8 ? narrow_blocks<V, 1, 8>(t, rows) : 0;
  }
}

}  // namespace fnnfast::FNNFAST_ISA
