// The register tile of MR x NR sums, and the loop over the rows of a panel (pack.hpp).
//
// A tile is kRows x kVectors registers of accumulators. Each accumulator starts at the bias (or at the partial sum of
// the previous inputs) and is one ascending chain of fused multiply-adds over the inputs, so the bits of an output do
// not depend on its tile or on the width of a vector.
//
// Register budget with 32 registers: 6 x 4 accumulators, 4 of b, 1 broadcast of a: 29. Four loads of b and six
// broadcasts feed 24 multiply-adds, so the loads (at most two per cycle) stay ahead of the multiply-adds (one or two
// per cycle). With 16 registers: 6 x 2 + 2 + 1 = 15. Narrow panels have taller tiles, to keep enough chains in flight
// to hide the latency (4 cycles at up to 2 per cycle).
#pragma once

#include "../core/activations.hpp"
#include "../core/epilogues.hpp"
#include "../core/math.hpp"
#include "kernels.hpp"
#include "pack.hpp"
#include "vec.hpp"
#include "window_rows.hpp"

namespace fnnfast::FNNFAST_ISA {

inline constexpr int kPanelVectors = kRegisters >= 32 ? 4 : 2;

// The largest MR, for a panel of that many vectors.
constexpr int max_rows(int vectors) {
  if (kPanelVectors == 2) return vectors == 1 ? 12 : 6;
  return vectors <= 2 ? 12 : vectors == 3 ? 8 : 6;
}

// MR of the next tile: the largest or, near the end, half of the rest, so that no very short tile remains.
constexpr ptrdiff_t next_rows(int vectors, ptrdiff_t rest) {
  const ptrdiff_t most = max_rows(vectors);
  if (rest >= 2 * most || rest == most || rest <= 6) return rest < most ? rest : most;
  const ptrdiff_t half = (rest + 1) / 2;
  return half <= 6 ? half : most;
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
  ptrdiff_t columns;  // without the padding of the last vector
  const char* ahead;  // prefetched into L2, ahead_step bytes further for each step of k
  ptrdiff_t ahead_step;
  // Finished only
  const T *scale, *shift;  // of a normalization, one per column, or null
  const T* add;            // a skip connection, or null
  ptrdiff_t add_row;
  bool add_first;  // to the activation's input
  int activation;  // one of those with kInRegisters, or kIdentity
  // Maxout only
  ptrdiff_t piece;  // the first one of the group
  T* argmax;        // the piece with the largest value so far, between groups; or null
  ptrdiff_t argmax_row;
  // Windows only: instead of a, a_row and a_step
  WindowRows<T>* windows;
  ptrdiff_t tap, channel;  // the first input
  const Run<T>* runs;      // of the tap, for the gradient of the weights
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
    // Read once, since the compiler must assume that the stores change t.
    typename V::Scalar* const c = t.c;
    const ptrdiff_t c_row = t.c_row, columns = t.columns;
    if (columns >= kVectors * V::kLanes) {
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[r][v].store(c + r * c_row + v * V::kLanes);
    } else {
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          store_columns(acc[r][v], c + r * c_row + v * V::kLanes, columns - v * V::kLanes);
    }
  }
};

// The epilogue in registers, for whole vectors of columns unless there is only an activation. Only activations so short
// that a second pass over the finished tile would cost more than the activation itself. Last: the sink of the results.
template <class Last>
struct Finished {
  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void add(const Tile<typename V::Scalar>& t, V (&sum)[kRows][kVectors]) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = sum[r][v] + V::load(t.add + r * t.add_row + v * V::kLanes);
  }

  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void normalize(const Tile<typename V::Scalar>& t, V (&sum)[kRows][kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V scale = V::load(t.scale + v * V::kLanes), shift = V::load(t.shift + v * V::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) sum[r][v] = fma(sum[r][v], scale, shift);
    }
  }

  template <class Act, class V, int kRows, int kVectors>
  static FNNFAST_INLINE void activate_if(bool chosen, V (&sum)[kRows][kVectors]) {
    if constexpr (Act::kInRegisters)
      if (chosen) {
#pragma GCC unroll 12
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            sum[r][v] = Act::template forward<Math<typename V::Scalar>>(sum[r][v], sum[r][v]);
      }
  }

  template <class V, int kRows, int kVectors, class... Act>
  static FNNFAST_INLINE void activate(int activation, TypeList<Act...>, V (&sum)[kRows][kVectors]) {
    int index = 0;
    (activate_if<Act>(activation == index++, sum), ...);
  }

  template <class V, int kRows, int kVectors>
  static FNNFAST_INLINE void put(const Tile<typename V::Scalar>& t, V (&sum)[kRows][kVectors]) {
    if (t.scale != nullptr) normalize(t, sum);
    if (t.add != nullptr && t.add_first) add(t, sum);
    activate(t.activation, Activations{}, sum);
    if (t.add != nullptr && !t.add_first) add(t, sum);
    Last::put(t, sum);
  }
};
using StoreFinished = Finished<Store>;

// kPieces pieces of kVectors / kPieces vectors of units, of which only the maximum is stored.
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
        typename V::Scalar* const argmax = t.argmax ? t.argmax + r * t.argmax_row + u * V::kLanes : nullptr;
        V piece = V::broadcast(static_cast<typename V::Scalar>(t.piece));
        const V one = V::broadcast(1);
        Maxout<V> maximum{acc[r][u], piece};
        if (t.piece > 0) {
          maximum = {columns >= V::kLanes ? V::load(c) : V::load_partial(c, columns), argmax ? V::load(argmax) : piece};
          maximum.template take<M>(acc[r][u], piece);
        }
#pragma GCC unroll 4
        for (int p = 1; p < kPieces; ++p) {
          piece = piece + one;
          maximum.template take<M>(acc[r][p * kUnits + u], piece);
        }
        store_columns(maximum.best, c, columns);
        if (argmax) maximum.argmax.store(argmax);
      }
  }
};

// Weights beyond L2 arrive in time if they are prefetched one panel earlier, a line per step. Tiles of fewer rows have
// no room for that between their loads.
constexpr int kFetchingRows = 5;

template <int kRows>
struct Fetch {
  const char* at;
  ptrdiff_t step;
  template <class T>
  explicit FNNFAST_INLINE Fetch(const Tile<T>& t) : at(t.ahead), step(t.ahead_step) {}
  // Called once every `steps` steps of k.
  FNNFAST_INLINE void operator()(ptrdiff_t steps) {
    if constexpr (kRows >= kFetchingRows) {
      __builtin_prefetch(at, 0, 2);
      at += steps * step;
    }
  }
};

// The addresses of a tile's rows. Three rows share a base register: base, base + row and base + 2 row are addressing
// modes.
template <class T, int kRows>
struct RowPointers {
  static constexpr int kBases = (kRows + 2) / 3;
  const T* base[kBases];
  ptrdiff_t row;
  explicit FNNFAST_INLINE RowPointers(const Tile<T>& t) : row(t.a_row) {
#pragma GCC unroll 4
    for (int g = 0; g < kBases; ++g) base[g] = t.a + 3 * g * row;
  }
  FNNFAST_INLINE const T* at(int r) const { return base[r / 3] + (r % 3) * row; }
  FNNFAST_INLINE void advance(ptrdiff_t step) {
#pragma GCC unroll 4
    for (int g = 0; g < kBases; ++g) base[g] += step;
  }
};

template <class V, int kRows, int kVectors>
FNNFAST_INLINE void load_start(const Tile<typename V::Scalar>& t, V (&acc)[kRows][kVectors]) {
  if (t.start_row == 0) {  // the bias: loaded once
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      V bias = V::load(t.start + v * V::kLanes);
      if constexpr (kRows > 1) hold(bias.v);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) acc[r][v] = bias;
    }
  } else {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = V::load(t.start + r * t.start_row + v * V::kLanes);
  }
}

template <class V, int kRows, int kVectors>
FNNFAST_INLINE void multiply_add(const RowPointers<typename V::Scalar, kRows>& row, ptrdiff_t input,
                                 const V (&b)[kVectors], V (&acc)[kRows][kVectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const V a = V::broadcast(row.at(r)[input]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
  }
}

// A family of tiles for each way to read the operands. advance() moves a tile on by n rows; kFinishes: whether it has
// a StoreFinished, too.

struct MatrixTile {
  static constexpr bool kFinishes = false;
  template <class T>
  static FNNFAST_INLINE void advance(Tile<T>& t, ptrdiff_t n) {
    t.a += n * t.a_row;
  }
};

// Weights in the type of the sums.
struct FullTile : MatrixTile {
  static constexpr bool kFinishes = true;
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<typename V::Scalar>& t) {
    using T = typename V::Scalar;
    RowPointers<T, kRows> row(t);
    V acc[kRows][kVectors];
    load_start(t, acc);
    const T* b = t.b;
    Fetch<kRows> fetch(t);
    for (ptrdiff_t k = t.k; k > 0; --k) {
      fetch(1);
      V bv[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        bv[v] = V::load(b + v * V::kLanes);
        if constexpr (kRows > 1) hold(bv[v].v);
      }
      multiply_add(row, 0, bv, acc);
      row.advance(t.a_step);
      b += t.b_step;
    }
    Sink::put(t, acc);
  }
};

// The same over windows of images.
struct WindowTile {
  static constexpr bool kFinishes = true;
  template <class T>
  static FNNFAST_INLINE void advance(Tile<T>&, ptrdiff_t) {}  // by WindowRows

  // Some steps of k. The addresses of up to 6 rows stay in registers. More are read again for each row, and serve
  // several steps.
  template <int kSteps, class V, int kRows, int kVectors>
  static FNNFAST_INLINE void steps(const std::intptr_t* row, ptrdiff_t i, const typename V::Scalar* b, ptrdiff_t b_step,
                                   Fetch<kRows>& fetch, V (&acc)[kRows][kVectors]) {
    V bv[kSteps][kVectors];
    fetch(kSteps);
#pragma GCC unroll 4
    for (int s = 0; s < kSteps; ++s)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        bv[s][v] = V::load(b + s * b_step + v * V::kLanes);
        if constexpr (kRows > 1) hold(bv[s][v].v);
      }
    if constexpr (kRows > 6) __asm__ volatile("" ::: "memory");
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const auto* const a = reinterpret_cast<const typename V::Scalar*>(row[r]) + i;
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s) {
        const V x = V::broadcast(a[s]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(x, bv[s][v], acc[r][v]);
      }
    }
  }

  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<typename V::Scalar>& t) {
    using T = typename V::Scalar;
    constexpr int kSteps = kRows <= 6 ? 1 : kRegisters >= 32 && kVectors == 1 ? 4 : 2;
    const ptrdiff_t channels = t.windows->channels();
    const std::intptr_t* row = t.windows->next(kRows) + t.tap * kMostTileRows;
    V acc[kRows][kVectors];
    load_start(t, acc);
    const T* b = t.b;
    const ptrdiff_t b_step = t.b_step;
    Fetch<kRows> fetch(t);
    ptrdiff_t i = t.channel;
    for (ptrdiff_t left = t.k; left > 0; row += kMostTileRows, i = 0) {
      const ptrdiff_t end = channels - i < left ? channels : i + left;
      left -= end - i;
      for (; i + kSteps <= end; i += kSteps, b += kSteps * b_step) steps<kSteps>(row, i, b, b_step, fetch, acc);
      for (; i < end; ++i, b += b_step) steps<1>(row, i, b, b_step, fetch, acc);
    }
    Sink::put(t, acc);
  }
};

// The same where each channel has a filter of its own: a vector of x for a vector of weights. t.channel is the first
// channel of the panel.
struct ChannelTile : WindowTile {
  static constexpr bool kFinishes = false;
  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<typename V::Scalar>& t) {
    using T = typename V::Scalar;
    const std::intptr_t* row = t.windows->next(kRows) + t.tap * kMostTileRows;
    const ptrdiff_t rest = t.windows->channels() - t.channel - (kVectors - 1) * V::kLanes;  // of the last vector
    V acc[kRows][kVectors];
    load_start(t, acc);
    const T* b = t.b;
    for (ptrdiff_t left = t.k; left > 0; --left, row += kMostTileRows, b += t.b_step) {
      V bv[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bv[v] = V::load(b + v * V::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const T* const a = reinterpret_cast<const T*>(row[r]) + t.channel;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const bool whole = v + 1 < kVectors || rest >= V::kLanes;
          const V x = whole ? V::load(a + v * V::kLanes) : V::load_partial(a + v * V::kLanes, rest);
          acc[r][v] = fma(x, bv[v], acc[r][v]);
        }
      }
    }
    Sink::put(t, acc);
  }
};

// For the gradient of the weights of a convolution: the rows are channels of one tap, and the sums go over pixels.
struct RunTile {
  template <class T>
  static FNNFAST_INLINE void advance(Tile<T>& t, ptrdiff_t n) {
    t.channel += n;
  }

  template <class V, int kRows, int kVectors, class Sink>
  static FNNFAST_NOINLINE void run(const Tile<typename V::Scalar>& t) {
    using T = typename V::Scalar;
    V acc[kRows][kVectors];
    load_start(t, acc);
    const T* b = t.b;
    const ptrdiff_t b_step = t.b_step;
    const Run<T>* run = t.runs;
    for (ptrdiff_t left = t.k; left > 0; ++run) {
      const T* a = run->a + t.channel;
      const ptrdiff_t step = run->step;
      left -= run->count;
      for (ptrdiff_t i = run->count; i > 0; --i) {
        V bv[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          bv[v] = V::load(b + v * V::kLanes);
          if constexpr (kRows > 1) hold(bv[v].v);
        }
#pragma GCC unroll 12
        for (int r = 0; r < kRows; ++r) {
          const V x = V::broadcast(a[r]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(x, bv[v], acc[r][v]);
        }
        a += step;
        b += b_step;
      }
    }
    Sink::put(t, acc);
  }
};

// Words of several low-precision numbers: sum[r][v] = dot(sum[r][v], the word of row r, those of vector v), for t.k
// rows of words.
template <class Weights, class Inputs, int kLanes, class Sum, int kRows, int kVectors>
FNNFAST_INLINE void multiply_words(const Tile<float>& t, Sum (&sum)[kRows][kVectors]) {
  RowPointers<float, kRows> row(t);
  const float* b = t.b;
  Fetch<kRows> fetch(t);
  for (ptrdiff_t k = t.k; k > 0; --k) {
    fetch(1);
    Weights w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) w[v] = Weights::load(b + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Inputs x = Inputs::broadcast(row.at(r));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = dot(sum[r][v], x, w[v]);
    }
    row.advance(1);
    b += t.b_step;
  }
}

// The tiles of one panel width: heights 1 to 6, and the tallest.
template <class Family, class V, int kVectors, class Sink>
FNNFAST_INLINE TileFunction<typename V::Scalar> tile_function(ptrdiff_t rows) {
  static constexpr TileFunction<typename V::Scalar> kSmall[] = {
      Family::template run<V, 1, kVectors, Sink>, Family::template run<V, 2, kVectors, Sink>,
      Family::template run<V, 3, kVectors, Sink>, Family::template run<V, 4, kVectors, Sink>,
      Family::template run<V, 5, kVectors, Sink>, Family::template run<V, 6, kVectors, Sink>};
  return rows <= 6 ? kSmall[rows - 1] : Family::template run<V, max_rows(kVectors), kVectors, Sink>;
}

template <class Family, class V, class Sink = Store>
FNNFAST_INLINE TileFunction<typename V::Scalar> store_function(int vectors, ptrdiff_t rows) {
  if constexpr (kPanelVectors == 4) {
    if (vectors == 4) return tile_function<Family, V, 4, Sink>(rows);
    if (vectors == 3) return tile_function<Family, V, 3, Sink>(rows);
  }
  return vectors == 2 ? tile_function<Family, V, 2, Sink>(rows) : tile_function<Family, V, 1, Sink>(rows);
}

template <class Family, class V>
FNNFAST_INLINE TileFunction<typename V::Scalar> maximum_function(int vectors, ptrdiff_t pieces, ptrdiff_t rows) {
  if constexpr (kPanelVectors == 4) {
    if (pieces == 4) return tile_function<Family, V, 4, StoreMaximum<4>>(rows);
    if (pieces == 3) return tile_function<Family, V, 3, StoreMaximum<3>>(rows);
    if (vectors == 4) return tile_function<Family, V, 4, StoreMaximum<2>>(rows);
  }
  return pieces == 2 ? tile_function<Family, V, 2, StoreMaximum<2>>(rows)
                     : tile_function<Family, V, 1, StoreMaximum<1>>(rows);
}

// Memory to be prefetched into L2 while tiles run.
struct Ahead {
  const char* at;
  ptrdiff_t bytes;
  // Bytes per step that fetch it all in that many steps: evenly, since a burst would delay the loads of the tiles. At
  // most a line, if there are too few steps.
  FNNFAST_INLINE ptrdiff_t step(ptrdiff_t steps) const {
    const ptrdiff_t even = steps > 0 ? (bytes / steps + 8) / 8 * 8 : 64;
    return bytes == 0 ? 0 : even < 64 ? even : 64;
  }
};
template <class T>
FNNFAST_INLINE Ahead ahead_of(const T* at, ptrdiff_t n) {
  return {reinterpret_cast<const char*>(at), n * static_cast<ptrdiff_t>(sizeof(T))};
}

// Prefetches the partial sums of the next tile: they were written long ago and may have left L2.
template <class T>
FNNFAST_INLINE void fetch_rows(const T* at, ptrdiff_t n) {
  constexpr ptrdiff_t kLine = 64 / sizeof(T);
  for (ptrdiff_t i = 0; i < n; i += kLine) __builtin_prefetch(at + i, 0, 3);
}

// Multiplies all rows by one panel, tile by tile. t is the tile of the first row, and is moved on. (A copy would read
// as a whole what was just written field by field, a stall that is noticeable for one row of a small network.)
// `function` selects the tile's function, and `done(row, rows)` is called when a tile's results are stored.
template <class Family, class V, class Function, class Done>
FNNFAST_INLINE void panel_rows(Tile<typename V::Scalar>& t, ptrdiff_t rows, int vectors, Ahead ahead, Function function,
                               Done done) {
  t.ahead = ahead.at;
  t.ahead_step = rows < kFetchingRows ? 0 : ahead.step(rows / max_rows(vectors) * t.k);
  for (ptrdiff_t r = 0, n; r < rows; r += n) {
    n = next_rows(vectors, rows - r);
    if (t.start_row > 0 && t.k > 0) fetch_rows(t.start + n * t.start_row, n * t.start_row);
    function(vectors, n)(t);
    if (n >= kFetchingRows) t.ahead += t.k * t.ahead_step;
    if (t.ahead - ahead.at >= ahead.bytes) t.ahead_step = 0;
    Family::advance(t, n);
    t.start += n * t.start_row;
    t.c += n * t.c_row;
    if (t.argmax) t.argmax += n * t.argmax_row;
    if (t.add) t.add += n * t.add_row;
    done(r, n);
  }
}

}  // namespace fnnfast::FNNFAST_ISA
