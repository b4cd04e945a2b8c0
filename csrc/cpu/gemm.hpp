// The register tile, and the loops around it.
//
// A tile is kRows x kVectors registers of accumulators. Each accumulator starts at the bias (or at the partial sum of
// the inputs before) and is one ascending chain of fused multiply-adds over the inputs, so an output's bits do not
// depend on the tile it falls in, nor on the width of a vector.
//
// Register budget with 32 registers: 6 x 4 accumulators, 4 of b, 1 broadcast of a: 29. Four loads of b and six
// broadcasts feed 24 multiply-adds, so the loads (at most two a cycle) stay ahead of the multiply-adds (one or two a
// cycle). With 16 registers: 6 x 2 + 2 + 1 = 15. Narrow panels take more rows instead, to keep enough chains in flight
// to hide the latency (4 cycles at up to 2 a cycle).
#pragma once

#include "../core/epilogues.hpp"
#include "kernels.hpp"
#include "math.hpp"
#include "pack.hpp"
#include "vec.hpp"

namespace fnnfast::FNNFAST_ISA {

#if defined(FNNFAST_ISA_AVX512) || defined(FNNFAST_ISA_NEON)
inline constexpr int kPanelVectors = 4;
#else
inline constexpr int kPanelVectors = 2;
#endif

// Rows of the tallest tile for a panel of that many vectors.
constexpr int max_rows(int vectors) {
  if (kPanelVectors == 2) return vectors == 1 ? 12 : 6;
  return vectors <= 2 ? 12 : vectors == 3 ? 8 : 6;
}

// How many of the rows that are left the next tile takes: the tallest, or the rest in halves, so that no sliver of a
// tile is left over.
constexpr ptrdiff_t next_rows(int vectors, ptrdiff_t rest) {
  const ptrdiff_t most = max_rows(vectors);
  if (rest >= 2 * most || rest == most || rest <= 6) return rest < most ? rest : most;
  const ptrdiff_t half = (rest + 1) / 2;
  return half <= 6 ? half : most;
}

// Inputs of a pass over a panel: what keeps a chunk of the full-width panel in half of a 512 KB L2. The partial sums
// wait in scratch between passes.
template <class T>
constexpr ptrdiff_t chunk_inputs() {
  return 262144 / (kPanelVectors * 64);
}

template <class T>
struct Tile {
  ptrdiff_t k;
  const T* a;
  ptrdiff_t a_row, a_step;
  const T* b;
  ptrdiff_t b_step;
  const T* start;  // of the accumulators: the bias (start_row 0) or partial sums
  ptrdiff_t start_row;
  T* c;
  ptrdiff_t c_row;
  ptrdiff_t columns;  // that are real; the rest of the last vector is padding
  // Maxout only
  ptrdiff_t piece;  // the first one of the group
  T* index;         // which piece is ahead so far, between groups; null when nobody asks
  ptrdiff_t index_row;
};

template <class T>
using TileFunction = void (*)(const Tile<T>&);

template <class V>
FNNFAST_INLINE void store_columns(V v, typename V::Scalar* p, ptrdiff_t columns) {
  if (columns >= V::kLanes)
    v.store(p);
  else
    v.store_partial(p, columns);
}

// Sinks: where the accumulators go.

struct Store {
  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void put(const Tile<typename V::Scalar>& t, const V (&acc)[kRows][kVectors]) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        store_columns(acc[r][v], t.c + r * t.c_row + v * V::kLanes, t.columns - v * V::kLanes);
  }
};

// kPieces pieces of kVectors / kPieces vectors of units: only their maximum is stored.
template <int kPieces>
struct StoreMaximum {
  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void put(const Tile<typename V::Scalar>& t, const V (&acc)[kRows][kVectors]) {
    using M = Math<typename V::Scalar>;
    constexpr int kUnits = kVectors / kPieces;
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int u = 0; u < kUnits; ++u) {
        const ptrdiff_t columns = t.columns - u * V::kLanes;
        typename V::Scalar* const c = t.c + r * t.c_row + u * V::kLanes;
        typename V::Scalar* const i = t.index ? t.index + r * t.index_row + u * V::kLanes : nullptr;
        V index = V::broadcast(static_cast<typename V::Scalar>(t.piece));
        const V one = V::broadcast(1);
        Maxout<V> maximum{acc[r][u], index};
        if (t.piece > 0) {
          maximum = {columns >= V::kLanes ? V::load(c) : V::load_partial(c, columns), i ? V::load(i) : index};
          maximum.template take<M>(acc[r][u], index);
        }
#pragma GCC unroll 4
        for (int p = 1; p < kPieces; ++p) {
          index = index + one;
          maximum.template take<M>(acc[r][p * kUnits + u], index);
        }
        store_columns(maximum.best, c, columns);
        if (i) maximum.index.store(i);
      }
  }
};

template <class V, int kRows, int kVectors, class Sink>
FNNFAST_NOINLINE void tile(const Tile<typename V::Scalar>& t) {
  using T = typename V::Scalar;
  // Three rows share a base register: base, base + row and base + 2 row are all addressing modes.
  constexpr int kBases = (kRows + 2) / 3;
  const ptrdiff_t a_row = t.a_row;
  const T* a[kBases];
#pragma GCC unroll 4
  for (int g = 0; g < kBases; ++g) a[g] = t.a + 3 * g * a_row;

  V acc[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = V::load(t.start + r * t.start_row + v * V::kLanes);

  const T* b = t.b;
  for (ptrdiff_t k = t.k; k > 0; --k) {
    V bv[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) bv[v] = V::load(b + v * V::kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const V av = V::broadcast(a[r / 3][(r % 3) * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < kBases; ++g) a[g] += t.a_step;
    b += t.b_step;
  }
  Sink::put(t, acc);
}

// The tiles of one panel width: heights 1 to 6, and the tallest.
template <class V, int kVectors, class Sink>
FNNFAST_INLINE TileFunction<typename V::Scalar> tile_function(ptrdiff_t rows) {
  static constexpr TileFunction<typename V::Scalar> kSmall[] = {tile<V, 1, kVectors, Sink>, tile<V, 2, kVectors, Sink>,
                                                                tile<V, 3, kVectors, Sink>, tile<V, 4, kVectors, Sink>,
                                                                tile<V, 5, kVectors, Sink>, tile<V, 6, kVectors, Sink>};
  return rows <= 6 ? kSmall[rows - 1] : tile<V, max_rows(kVectors), kVectors, Sink>;
}

template <class V, class Sink>
FNNFAST_INLINE TileFunction<typename V::Scalar> tile_function(int vectors, ptrdiff_t rows) {
  if constexpr (kPanelVectors == 4) {
    if (vectors == 4) return tile_function<V, 4, Sink>(rows);
    if (vectors == 3) return tile_function<V, 3, Sink>(rows);
  }
  return vectors == 2 ? tile_function<V, 2, Sink>(rows) : tile_function<V, 1, Sink>(rows);
}

template <class V>
FNNFAST_INLINE TileFunction<typename V::Scalar> maximum_function(int vectors, ptrdiff_t pieces, ptrdiff_t rows) {
  if constexpr (kPanelVectors == 4) {
    if (pieces == 4) return tile_function<V, 4, StoreMaximum<4>>(rows);
    if (pieces == 3) return tile_function<V, 3, StoreMaximum<3>>(rows);
    if (vectors == 4) return tile_function<V, 4, StoreMaximum<2>>(rows);
  }
  return pieces == 2 ? tile_function<V, 2, StoreMaximum<2>>(rows) : tile_function<V, 1, StoreMaximum<1>>(rows);
}

// Runs all rows through one panel: chunk by chunk over the inputs, tile by tile over the rows. `last` picks the
// function of the last chunk's tiles, and `done(row, rows)` is called when a tile's results stand in t.c.
template <class V, class Last, class Done>
FNNFAST_INLINE void panel_rows(Tile<typename V::Scalar> t, ptrdiff_t rows, ptrdiff_t inputs, int vectors,
                               typename V::Scalar* partial, Last last, Done done) {
  using T = typename V::Scalar;
  const Tile<T> whole = t;
  const ptrdiff_t width = ptrdiff_t{vectors} * V::kLanes;
  const ptrdiff_t chunk = chunk_inputs<T>();
  for (ptrdiff_t k0 = 0;; k0 += chunk) {
    const bool final = inputs - k0 <= chunk;
    t.k = final ? inputs - k0 : chunk;
    t.b = whole.b + k0 * whole.b_step;
    if (!final) t.columns = width;
    for (ptrdiff_t r = 0, n; r < rows; r += n) {
      n = next_rows(vectors, rows - r);
      t.a = whole.a + r * whole.a_row + k0 * whole.a_step;
      if (k0 > 0) {
        t.start = partial + r * width;
        t.start_row = width;
      }
      if (final) {
        t.c = whole.c + r * whole.c_row;
        if (whole.index) t.index = whole.index + r * whole.index_row;
        last(vectors, n)(t);
        done(r, n);
      } else {
        t.c = partial + r * width;
        t.c_row = width;
        tile_function<V, Store>(vectors, n)(t);
      }
    }
    if (final) return;
    t.columns = whole.columns;
    t.c_row = whole.c_row;
  }
}

template <class T>
ptrdiff_t product_scratch(ptrdiff_t m, ptrdiff_t k) {
  return k > chunk_inputs<T>() ? m * kPanelVectors * Vec<T>::kLanes : 0;
}

template <class T>
void product(const ProductTask<T>& task) {
  using V = Vec<T>;
  alignas(64) static constexpr T kZeros[kPanelVectors * V::kLanes] = {};
  Tile<T> t{};
  t.a = task.a;
  t.a_row = task.a_row;
  t.a_step = task.a_step;
  t.b = task.b;
  t.b_step = task.b_step;
  t.start = kZeros;
  t.c = task.c;
  t.c_row = task.c_row;
  t.columns = task.columns;
  const int vectors = static_cast<int>((task.columns + V::kLanes - 1) / V::kLanes);
  panel_rows<V>(
      t, task.m, task.k, vectors, task.scratch, [](int n, ptrdiff_t rows) { return tile_function<V, Store>(n, rows); },
      [](ptrdiff_t, ptrdiff_t) {});
}

// Partial sums, and for maxout the index of the piece that is ahead: a panel wide each.
template <class T>
ptrdiff_t layer_scratch(ptrdiff_t rows, ptrdiff_t inputs) {
  return rows * kPanelVectors * Vec<T>::kLanes + product_scratch<T>(rows, inputs);
}

template <class T>
FNNFAST_INLINE void dense_block(const LayerTask<T>& task, const Panel& panel) {
  using V = Vec<T>;
  Tile<T> t{};
  t.a = task.x;
  t.a_row = task.x_row;
  t.a_step = 1;
  alignas(64) static constexpr T kZeros[kPanelVectors * V::kLanes] = {};
  if (panel.unit < task.unpacked_units) {
    t.b = task.unpacked + panel.unit;
    t.b_step = task.units;
    t.start = task.unpacked_bias ? task.unpacked_bias + panel.unit : kZeros;
  } else {
    t.start = task.panels + (panel.offset - (task.inputs + 1) * task.unpacked_units);
    t.b = t.start + panel.width;
    t.b_step = panel.width;
  }
  t.c = task.z + panel.unit;
  t.c_row = task.z_row;
  t.columns = panel.units;
  const int vectors = static_cast<int>(panel.width / V::kLanes);
  panel_rows<V>(
      t, task.rows, task.inputs, vectors, task.scratch,
      [](int n, ptrdiff_t rows) { return tile_function<V, Store>(n, rows); },
      // The tile is still in L1: read it once more there, with all registers free for the activation.
      [&](ptrdiff_t row, ptrdiff_t rows) {
        if (task.activation == nullptr) return;
        ElementwiseTask<T> e{};
        e.rows = rows;
        e.columns = panel.units;
        e.in = task.z + row * task.z_row + panel.unit;
        e.in_row = task.z_row;
        e.out = task.y + row * task.y_row + panel.unit;
        e.out_row = task.y_row;
        e.parameter = task.parameter ? task.parameter + panel.unit * task.parameter_step : nullptr;
        e.parameter_step = task.parameter_step;
        task.activation(e);
      });
}

template <class T>
FNNFAST_INLINE void maxout_block(const LayerTask<T>& task, const PanelLayout& layout, ptrdiff_t block) {
  using V = Vec<T>;
  constexpr ptrdiff_t kWidth = kPanelVectors * V::kLanes;
  for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
    const Panel panel = layout.panel(block, group);
    const bool last_group = group + 1 == layout.groups();
    Tile<T> t{};
    t.a = task.x;
    t.a_row = task.x_row;
    t.a_step = 1;
    t.b = task.panels + panel.offset + panel.width;
    t.b_step = panel.width;
    t.start = task.panels + panel.offset;
    t.c = task.y + panel.unit;
    t.c_row = task.y_row;
    t.columns = panel.units;
    t.piece = panel.piece;
    t.index = task.argmax ? task.scratch : nullptr;
    t.index_row = kWidth;
    const int vectors = static_cast<int>(panel.width / V::kLanes);
    panel_rows<V>(
        t, task.rows, task.inputs, vectors, task.scratch + task.rows * kWidth,
        [&](int n, ptrdiff_t rows) { return maximum_function<V>(n, panel.pieces, rows); },
        [&](ptrdiff_t row, ptrdiff_t rows) {
          if (task.argmax == nullptr || !last_group) return;
          for (ptrdiff_t r = row; r < row + rows; ++r)
            for (ptrdiff_t u = 0; u < panel.units; u += V::kLanes) {
              const ptrdiff_t rest = panel.units - u;
              store_index(V::load(task.scratch + r * kWidth + u), task.argmax + r * task.argmax_row + panel.unit + u,
                          rest < V::kLanes ? rest : V::kLanes);
            }
        });
  }
}

template <class T>
void layer(const LayerTask<T>& task) {
  const PanelLayout layout{task.inputs, task.units, task.pieces, Vec<T>::kLanes, kPanelVectors};
  for (ptrdiff_t block = task.first_block; block < task.last_block; ++block)
    if (task.pieces > 1)
      maxout_block(task, layout, block);
    else
      dense_block(task, layout.panel(block, 0));
}

}  // namespace fnnfast::FNNFAST_ISA
