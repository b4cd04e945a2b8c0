// Weights in bfloat16: the upper half of a float32, half the bytes to read.
//
// A word holds the weights of two successive inputs, the first in its lower half, so that one shift or one mask makes a
// float32 of either. The arithmetic is that of float32, with the same chains. (The instruction that multiplies pairs,
// VDPBF16PS, rounds and orders its sums differently, and on Sapphire Rapids has half the rate of FMA.)
#pragma once

#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

// Widens in the tile: for few rows.
struct PairTile : MatrixTile {
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<float>& t) {
    RowPointers<float, kRows> row(t);
    V acc[kRows][kVectors];
    load_start(t, acc);
    const float* b = t.b;
    V bv[kVectors];
    Fetch<kRows> fetch(t);
    for (ptrdiff_t k = t.k; k > 0; k -= 2) {
      fetch(2);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bv[v] = V::lower_halves(b + v * V::kLanes);
      multiply_add(row, 0, bv, acc);
      if (k == 1) break;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bv[v] = V::upper_halves(b + v * V::kLanes);
      multiply_add(row, 1, bv, acc);
      row.advance(2);
      b += t.b_step;
    }
    Sink::put(t, acc);
  }
};

// With at least this many rows, it is faster to widen a panel once for all of them.
inline constexpr ptrdiff_t kWidenRows = 64;

FNNFAST_INLINE void widen(const float* words, ptrdiff_t inputs, ptrdiff_t width, float* to) {
  using V = Vec<float>;
  for (ptrdiff_t i = 0; i < inputs; i += 2, words += width, to += 2 * width)
    for (ptrdiff_t c = 0; c < width; c += V::kLanes) {
      V::lower_halves(words + c).store(to + c);
      if (i + 1 < inputs) V::upper_halves(words + c).store(to + width + c);
    }
}

}  // namespace fnnfast::FNNFAST_ISA
