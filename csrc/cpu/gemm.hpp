// Products of tiles: one panel without an epilogue, and whole layers.
#pragma once

#include "../core/rows.hpp"
#include "bfloat16.hpp"
#include "narrow.hpp"
#include "normalize.hpp"
#include "tile.hpp"

namespace fnnfast::FNNFAST_ISA {

template <class T>
FNNFAST_INLINE void copy_row(const T* from, ptrdiff_t n, T* to) {
  using V = Vec<T>;
  ptrdiff_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::load(from + i).store(to + i);
  if (i < n) V::load_partial(from + i, n - i).store_partial(to + i, n - i);
}

constexpr auto kNothing = [](ptrdiff_t, ptrdiff_t) {};

template <class T>
constexpr ptrdiff_t kNR = kPanelVectors * Vec<T>::kLanes;

template <class T>
void product(const ProductTask<T>& task) {
  using V = Vec<T>;
  alignas(64) static constexpr T kZeros[kNR<T>] = {};
  const int vectors = static_cast<int>((task.columns + V::kLanes - 1) / V::kLanes);
  const ptrdiff_t width = ptrdiff_t{vectors} * V::kLanes;
  Tile<T> t{};
  t.a_row = task.a_row;
  t.a_step = task.a_step;
  t.b_step = task.b_step;
  t.start = kZeros;
  for (ptrdiff_t k0 = 0; k0 < task.k || k0 == 0; k0 += task.kc) {
    const bool last = task.k - k0 <= task.kc;
    t.k = last ? task.k - k0 : task.kc;
    t.a = task.a + k0 * task.a_step;
    t.b = task.b + k0 * task.b_step;
    t.c = last ? task.c : task.scratch;
    t.c_row = last ? task.c_row : width;
    t.columns = last ? task.columns : width;
    const Ahead ahead =
        last ? ahead_of(task.next, task.next_size) : ahead_of(t.b + t.k * t.b_step, (task.k - k0 - t.k) * t.b_step);
    panel_rows<FullTile, V>(t, task.m, vectors, ahead, store_function<FullTile, V>, kNothing);
    t.start = task.scratch;
    t.start_row = width;
  }
}

// Some rows at a time, so that those of B stay in L1 or L2 for all taps.
inline constexpr ptrdiff_t kWindowRows = 256;

// One tap of a vector of channels with filters of their own: c += sum over the pixels of x * b, from 0 if they are the
// first.
template <class V>
FNNFAST_INLINE void channel_product(const Run<typename V::Scalar>* run, ptrdiff_t pixels, ptrdiff_t channels,
                                    const typename V::Scalar* b, ptrdiff_t b_step, bool first, typename V::Scalar* c) {
  V sum = first ? V::broadcast(0) : V::load(c);
  for (; pixels > 0; pixels -= run->count, ++run)
    for (ptrdiff_t i = 0; i < run->count; ++i, b += b_step)
      sum = fma(load_lanes<V>(run->a + i * run->step, channels), V::load(b), sum);
  sum.store(c);
}

// The same of the panels of a convolution whose channels have filters of their own.
template <class T>
void channel_products(const WindowProductTask<T>& task) {
  using V = Vec<T>;
  const WindowPlan& plan = *task.windows;
  Run<T> runs[kWindowRows], own[kWindowRows];
  for (ptrdiff_t row = 0; row < task.rows; row += kWindowRows) {
    const ptrdiff_t rows = task.rows - row < kWindowRows ? task.rows - row : kWindowRows;
    const T* const b = task.b + row * task.b_step;
    const OutputPixel at(plan, task.first_row + row);
    for (ptrdiff_t tap = task.first_part; tap < task.last_part; ++tap) {
      tap_runs(plan, plan.tap[tap], task.x, task.pixel, task.zeros, at, rows, runs);
      for (ptrdiff_t u = 0; u < task.channels; u += V::kLanes) {
        ptrdiff_t count = 0;
        for (ptrdiff_t left = rows; left > 0; left -= runs[count++].count)
          own[count] = {runs[count].a + u, runs[count].step, runs[count].count};
        const ptrdiff_t rest = task.channels - u;
        channel_product<V>(own, rows, rest < V::kLanes ? rest : V::kLanes, b + u, task.b_step, row == 0,
                           task.c + tap * task.width + u);
      }
    }
  }
}

template <class T>
void window_product(const WindowProductTask<T>& task) {
  if (task.windows->depthwise) return channel_products(task);
  using V = Vec<T>;
  alignas(64) static constexpr T kZeros[kNR<T>] = {};
  const WindowPlan& plan = *task.windows;
  const int vectors = static_cast<int>(task.width / V::kLanes);
  const ptrdiff_t parts = (plan.channels + task.channels - 1) / task.channels;  // per tap
  Run<T> runs[kWindowRows];
  Tile<T> t{};
  t.b_step = task.b_step;
  t.c_row = t.columns = task.width;
  t.runs = runs;
  for (ptrdiff_t row = 0; row < task.rows; row += kWindowRows) {
    t.k = task.rows - row < kWindowRows ? task.rows - row : kWindowRows;
    t.b = task.b + row * task.b_step;
    const OutputPixel at(plan, task.first_row + row);
    ptrdiff_t tap = -1;
    for (ptrdiff_t part = task.first_part; part < task.last_part; ++part) {
      if (part / parts != tap) tap_runs(plan, plan.tap[part / parts], task.x, task.pixel, task.zeros, at, t.k, runs);
      tap = part / parts;
      t.channel = part % parts * task.channels;
      t.c = task.c + (tap * plan.channels + t.channel) * task.width;
      t.start = row == 0 ? kZeros : t.c;
      t.start_row = row == 0 ? 0 : task.width;
      const ptrdiff_t rest = plan.channels - t.channel;
      panel_rows<RunTile, V>(t, rest < task.channels ? rest : task.channels, vectors, ahead_of(t.b, 0),
                             store_function<RunTile, V>, kNothing);
    }
  }
}

// A layer runs panel by panel. If a panel would not stay in L2, the inputs are processed in chunks of KC: for each
// chunk, all panels of a set (NC). The chunk of x is copied to contiguous memory, so that it stays in L2 whatever its
// stride, and the partial sums of the set are kept in scratch.
constexpr ptrdiff_t kNCPanels = 32;

constexpr ptrdiff_t kSharedRows = 24;  // AffineKernel::shared_rows of register tiles

struct Chunk {
  ptrdiff_t first, inputs;
  bool last;
};

// The inputs of a chunk, of all rows.
template <class T>
struct ChunkRows {
  const T* at;
  ptrdiff_t row;
};

template <class T>
inline constexpr ptrdiff_t kAddress = sizeof(std::intptr_t) / sizeof(T);  // elements that an address takes

template <class T, WeightFormat kFormat>
struct AffineScratch {
  ptrdiff_t copy_row, table, widened, copy, argmax, partial;  // elements

  FNNFAST_INLINE AffineScratch(const AffineCall<T>& task, const PanelLayout& layout) {
    const bool chunked = task.of->inputs > task.of->kc;
    const WindowPlan* const windows = task.of->windows;
    table = windows ? windows->taps * kMostTileRows * kAddress<T> : 0;
    copy_row = task.of->kc + 16;  // not a multiple of a page
    widened = kFormat == WeightFormat::kBfloat16 ? (chunked ? task.of->kc : task.of->inputs) * kNR<T> : 0;
    copy = chunked && windows == nullptr ? task.rows * copy_row : 0;
    argmax = task.argmax ? task.rows * kNR<T> : 0;
    partial = chunked ? set_blocks(layout) * layout.groups() * task.rows * kNR<T> : 0;
  }
  static FNNFAST_INLINE ptrdiff_t set_blocks(const PanelLayout& layout) {
    return layout.groups() < kNCPanels ? kNCPanels / layout.groups() : 1;
  }
};

template <class T, WeightFormat kFormat>
FNNFAST_INLINE PanelLayout layout_of(const AffineCall<T>& task) {
  return stored_layout({task.of->inputs, task.of->units, task.of->pieces, Vec<T>::kLanes, kPanelVectors}, kFormat);
}

template <class T, WeightFormat kFormat>
ptrdiff_t affine_scratch(const AffineCall<T>& task) {
  const AffineScratch<T, kFormat> scratch(task, layout_of<T, kFormat>(task));
  return scratch.table + scratch.widened + scratch.copy + scratch.argmax + scratch.partial;
}

// The tile of a panel's first row. `partial` holds the partial sums of the previous chunks, and receives those of this
// chunk unless it is the last.
template <class T, WeightFormat kFormat>
FNNFAST_INLINE Tile<T> panel_tile(const AffineCall<T>& task, const Panel& panel, const Chunk& chunk,
                                  const ChunkRows<T>& a, T* partial) {
  alignas(64) static constexpr T kZeros[kNR<T>] = {};
  Tile<T> t{};
  t.k = chunk.inputs;
  t.a = a.at;
  t.a_row = a.row;
  t.a_step = 1;
  if (panel.unit < task.of->unpacked_units) {
    t.b = task.of->unpacked + chunk.first * task.of->units + panel.unit;
    t.b_step = task.of->units;
    t.start = task.of->unpacked_bias ? task.of->unpacked_bias + panel.unit : kZeros;
  } else {
    t.start = task.of->panels + (panel.offset - (task.of->inputs + 1) * task.of->unpacked_units);
    t.b = t.start + (words_of(chunk.first, kFormat) + 1) * panel.width;
    t.b_step = panel.width;
  }
  if (chunk.first > 0) {
    t.start = partial;
    t.start_row = panel.width;
  }
  t.c = partial;
  t.c_row = panel.width;
  t.columns = panel.width;
  return t;
}

// Adds the skip connection to finished rows, while they are in L1.
template <class T>
FNNFAST_INLINE void add_skip(const AffineCall<T>& task, const Panel& panel, const T* from, ptrdiff_t from_row, T* to,
                             ptrdiff_t to_row, ptrdiff_t row, ptrdiff_t rows) {
  using V = Vec<T>;
  for_block<V>(rows, panel.units, [&](ptrdiff_t r, ptrdiff_t c, ptrdiff_t n) {
    const V y = load_lanes<V>(from + (row + r) * from_row + panel.unit + c, n);
    const V skip = load_lanes<V>(task.add + (row + r) * task.add_row + panel.unit + c, n);
    store_lanes(y + skip, to + (row + r) * to_row + panel.unit + c, n);
  });
}
template <class T>
FNNFAST_INLINE void add_skip(const AffineCall<T>& task, const Panel& panel, ptrdiff_t row, ptrdiff_t rows) {
  if (task.add != nullptr) add_skip(task, panel, task.y, task.y_row, task.sum, task.sum_row, row, rows);
}

// The epilogue of rows whose sums are finished and still in L1. A second pass over them leaves all registers to the
// activation.
template <class T>
FNNFAST_INLINE void finish(const AffineCall<T>& task, const Panel& panel, ptrdiff_t columns, ptrdiff_t row,
                           ptrdiff_t rows) {
  const AffineConstants<T>& of = *task.of;
  if (of.scale != nullptr) {
    NormalizeTask<T> n{};
    n.rows = rows;
    n.columns = panel.units;
    n.z = task.z + row * task.z_row + panel.unit;
    n.z_row = n.out_row = task.z_row;
    n.out = task.z + row * task.z_row + panel.unit;
    n.scale = of.scale + panel.unit;
    n.shift = of.shift + panel.unit;
    scale_rows(n);
  }
  const bool add_first = of.add_first && task.add != nullptr;
  if (add_first) add_skip(task, panel, task.z, task.z_row, task.z, task.z_row, row, rows);
  if (of.activation != nullptr && task.activate) {
    ElementwiseTask<T> e{};
    e.rows = rows;
    e.columns = columns;
    e.in = task.z + row * task.z_row + panel.unit;
    e.in_row = task.z_row;
    e.out = task.y + row * task.y_row + panel.unit;
    e.out_row = task.y_row;
    e.parameter = of.parameter ? of.parameter + panel.unit * of.parameter_step : nullptr;
    e.parameter_step = of.parameter_step;
    // Adjacent rows of a few units are treated as one long row, which fills the vectors.
    if (of.parameter_step == 0 && e.in_row == e.columns && e.out_row == e.columns) {
      e.columns *= rows;
      e.rows = 1;
    }
    of.activation(e);
  }
  if (!add_first) add_skip(task, panel, row, rows);
}

// Whether a skip connection can be added in registers: it is as wide as the panel, and its sum is the output.
template <class T>
FNNFAST_INLINE bool adds_in_registers(const AffineCall<T>& task, const Panel& panel) {
  const bool in_place = task.of->add_first || (task.sum == task.y && task.sum_row == task.y_row);
  return task.add != nullptr && panel.units == panel.width && in_place;
}

// Sets what Finished reads, for rows from that one on.
template <class T>
FNNFAST_INLINE void set_epilogue(const AffineCall<T>& task, const Panel& panel, ptrdiff_t row, bool adds, Tile<T>& t) {
  const AffineConstants<T>& of = *task.of;
  t.scale = of.scale ? of.scale + panel.unit : nullptr;
  t.shift = of.shift ? of.shift + panel.unit : nullptr;
  t.add = adds ? task.add + row * task.add_row + panel.unit : nullptr;
  t.add_row = task.add_row;
  t.add_first = of.add_first;
  t.activation = task.activate && of.in_registers ? of.activation_index : kIdentity;
}

// Whether StoreFinished does what finish() does, save for a skip connection after the activation: the input of the
// activation is not kept, and what is read beside the sums is as wide as the panel.
template <class T>
FNNFAST_INLINE bool finishes_in_registers(const AffineCall<T>& task, const Panel& panel) {
  const AffineConstants<T>& of = *task.of;
  return task.z == task.y && task.z_row == task.y_row &&
         (!task.activate || of.activation == nullptr || of.in_registers) &&
         (of.scale == nullptr || panel.units == panel.width) &&
         (task.add == nullptr || !of.add_first || adds_in_registers(task, panel));
}

template <class Family, class T>
FNNFAST_INLINE void dense_panel(const AffineCall<T>& task, const Panel& panel, Tile<T>& t, Ahead ahead) {
  using V = Vec<T>;
  constexpr bool kFull = __is_same(Family, FullTile);
  const AffineConstants<T>& of = *task.of;
  t.c = task.z + panel.unit;
  t.c_row = task.z_row;
  const bool narrow_layer = kFull && of.units <= kNarrowUnits && t.k == of.inputs;
  t.columns = task.padded && !narrow_layer ? panel.width : panel.units;
  ptrdiff_t in_lanes = 0;
  if constexpr (kFull) {
    if (narrow_layer) in_lanes = narrow<V>(t, task.rows);
    if (in_lanes > 0) finish(task, panel, t.columns, 0, in_lanes);
    t.a += in_lanes * t.a_row;
    t.c += in_lanes * t.c_row;
  }
  const int vectors = static_cast<int>(panel.width / V::kLanes);
  if constexpr (Family::kFinishes) {
    if (finishes_in_registers(task, panel)) {
      const bool adds = adds_in_registers(task, panel);
      set_epilogue(task, panel, in_lanes, adds, t);
      return panel_rows<Family, V>(t, task.rows - in_lanes, vectors, ahead, store_function<Family, V, StoreFinished>,
                                   [&](ptrdiff_t row, ptrdiff_t rows) {
                                     if (!adds) add_skip(task, panel, in_lanes + row, rows);
                                   });
    }
  }
  panel_rows<Family, V>(t, task.rows - in_lanes, vectors, ahead, store_function<Family, V>,
                        [&](ptrdiff_t row, ptrdiff_t rows) { finish(task, panel, t.columns, in_lanes + row, rows); });
}

// The same, rounded to words instead of stored: Family::StoreWords.
template <class Family, class T>
FNNFAST_INLINE void words_panel(const AffineCall<T>& task, const Panel& panel, Tile<T>& t, Ahead ahead) {
  using V = Vec<T>;
  t.c = task.words + panel.unit / 2;
  t.c_row = task.words_row;
  set_epilogue(task, panel, 0, task.add != nullptr, t);
  panel_rows<Family, V>(t, task.rows, static_cast<int>(panel.width / V::kLanes), ahead,
                        store_function<Family, V, Finished<typename Family::StoreWords>>, kNothing);
}

template <class Family, class T>
FNNFAST_INLINE void maxout_panel(const AffineCall<T>& task, const Panel& panel, Tile<T>& t, Ahead ahead, T* argmax) {
  using V = Vec<T>;
  t.c = task.z + panel.unit;
  t.c_row = task.z_row;
  t.columns = panel.units;
  t.piece = panel.piece;
  t.argmax = task.argmax ? argmax : nullptr;
  t.argmax_row = kNR<T>;
  const bool finished = panel.piece + panel.pieces == task.of->pieces;
  panel_rows<Family, V>(
      t, task.rows, static_cast<int>(panel.width / V::kLanes), ahead,
      [&](int n, ptrdiff_t rows) { return maximum_function<Family, V>(n, panel.pieces, rows); },
      [&](ptrdiff_t row, ptrdiff_t rows) {
        if (!finished) return;
        finish(task, panel, panel.units, row, rows);
        if (task.argmax == nullptr) return;
        for (ptrdiff_t r = row; r < row + rows; ++r)
          for (ptrdiff_t u = 0; u < panel.units; u += V::kLanes) {
            const ptrdiff_t rest = panel.units - u;
            store_index(V::load(argmax + r * kNR<T> + u), task.argmax + r * task.argmax_row + panel.unit + u,
                        rest < V::kLanes ? rest : V::kLanes);
          }
      });
}

template <class Family, class T>
FNNFAST_INLINE void affine_panel(const AffineCall<T>& task, const Panel& panel, Tile<T>& t, Ahead ahead, T* argmax,
                                 bool last_chunk) {
  using V = Vec<T>;
  if constexpr (requires { typename Family::StoreWords; }) {
    if (last_chunk && task.words != nullptr) return words_panel<Family>(task, panel, t, ahead);
  }
  if (!last_chunk)
    panel_rows<Family, V>(t, task.rows, static_cast<int>(panel.width / V::kLanes), ahead, store_function<Family, V>,
                          kNothing);
  else if (task.of->pieces > 1)
    maxout_panel<Family>(task, panel, t, ahead, argmax);
  else
    dense_panel<Family>(task, panel, t, ahead);
}

// The memory read after a chunk of a panel: the chunk of the next panel of the set, the set's next chunk, or the next
// layer.
template <class T, WeightFormat kFormat>
FNNFAST_INLINE Ahead panel_after(const AffineCall<T>& task, const PanelLayout& layout, const Panel& panel,
                                 ptrdiff_t first_block, bool last_of_set, const Chunk& chunk) {
  if (panel.unit < task.of->unpacked_units) return ahead_of(task.of->panels, 0);
  if (last_of_set && chunk.last) return ahead_of(task.next, task.next_size);
  const T* const panels = task.of->panels - (task.of->inputs + 1) * task.of->unpacked_units;
  const ptrdiff_t rows = words_of(chunk.inputs, kFormat);
  if (last_of_set) {
    const Panel first = layout.panel(first_block, 0);
    return ahead_of(panels + first.offset + (words_of(chunk.first + chunk.inputs, kFormat) + 1) * first.width,
                    rows * first.width);
  }
  const ptrdiff_t skipped = stored_rows(task.of->inputs, kFormat) + 1 + words_of(chunk.first, kFormat) + 1;
  return ahead_of(panels + panel.offset + skipped * panel.width, rows * panel.width);
}

// Calls run_panel(tile, panel, what is read next, chunk) for all panels, chunk by chunk, with the rows that rows(chunk)
// prepares.
template <class T, WeightFormat kFormat, class Rows, class RunPanel>
FNNFAST_INLINE void run_panels(const AffineCall<T>& task, const PanelLayout& layout, bool chunked, T* partials,
                               Rows rows, RunPanel run_panel) {
  const ptrdiff_t groups = layout.groups();
  const ptrdiff_t set = chunked ? AffineScratch<T, kFormat>::set_blocks(layout) : task.last_block - task.first_block;
  for (ptrdiff_t first = task.first_block; first < task.last_block; first += set) {
    const ptrdiff_t last = first + set < task.last_block ? first + set : task.last_block;
    for (ptrdiff_t k0 = 0; k0 < task.of->inputs || k0 == 0; k0 += task.of->kc) {
      const ptrdiff_t rest = task.of->inputs - k0;
      const Chunk chunk{k0, rest < task.of->kc ? rest : task.of->kc, rest <= task.of->kc};
      const ChunkRows<T> a = rows(chunk);
      T* partial = partials;
      const ptrdiff_t partial_size = chunked ? task.rows * kNR<T> : 0;
      for (ptrdiff_t block = first; block < last; ++block)
        for (ptrdiff_t group = 0; group < groups; ++group, partial += partial_size) {
          const Panel panel = layout.panel(block, group);
          Tile<T> t = panel_tile<T, kFormat>(task, panel, chunk, a, partial);
          const Ahead ahead =
              panel_after<T, kFormat>(task, layout, panel, first, block + 1 == last && group + 1 == groups, chunk);
          run_panel(t, panel, ahead, chunk);
        }
    }
  }
}

template <class T, WeightFormat kFormat>
void affine(const AffineCall<T>& task) {
  const PanelLayout layout = layout_of<T, kFormat>(task);
  const AffineScratch<T, kFormat> scratch(task, layout);
  auto* const table = reinterpret_cast<std::intptr_t*>(task.scratch);
  T* const widened = task.scratch + scratch.table;
  T* const copy = widened + scratch.widened;
  T* const argmax = copy + scratch.copy;
  T* const partials = argmax + scratch.argmax;
  const auto rows = [&](const Chunk& chunk) {
    if (scratch.copy == 0) return ChunkRows<T>{task.x, task.x_row};
    for (ptrdiff_t r = 0; r < task.rows; ++r)
      copy_row(task.x + r * task.x_row + chunk.first, chunk.inputs, copy + r * scratch.copy_row);
    return ChunkRows<T>{copy, scratch.copy_row};
  };
  const auto run_panel = [&](Tile<T>& t, const Panel& panel, Ahead ahead, const Chunk& chunk) {
    if constexpr (kFormat == WeightFormat::kBfloat16) {
      if (task.rows < kWidenRows && task.of->windows == nullptr)
        return affine_panel<PairTile>(task, panel, t, ahead, argmax, chunk.last);
      widen(t.b, chunk.inputs, panel.width, widened);
      t.b = widened;
    }
    if (task.of->windows == nullptr) return affine_panel<FullTile>(task, panel, t, ahead, argmax, chunk.last);
    WindowRows<T> windows(*task.of->windows, task.x, task.x_row, task.first_row, task.of->zeros, table);
    t.windows = &windows;
    if (task.of->windows->depthwise) {
      t.tap = chunk.first;
      t.channel = panel.unit;
      return affine_panel<ChannelTile>(task, panel, t, ahead, argmax, chunk.last);
    }
    t.tap = chunk.first / windows.channels();
    t.channel = chunk.first % windows.channels();
    affine_panel<WindowTile>(task, panel, t, ahead, argmax, chunk.last);
  };
  run_panels<T, kFormat>(task, layout, scratch.partial > 0, partials, rows, run_panel);
}

}  // namespace fnnfast::FNNFAST_ISA
