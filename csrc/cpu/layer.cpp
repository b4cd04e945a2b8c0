#include "layer.hpp"

#include <algorithm>

#include "buffer.hpp"
#include "isa.hpp"
#include "threads.hpp"

namespace fnnfast {

// All, if a panel then takes at most a quarter of L2, where the next one is fetched beside it and rows of x stay, and
// at most 256 KB; else equal parts of half of that.
template <class T>
ptrdiff_t chunk_inputs(ptrdiff_t width, ptrdiff_t inputs) {
  const ptrdiff_t row_bytes = std::max(width, ptrdiff_t{1}) * static_cast<ptrdiff_t>(sizeof(T));
  const ptrdiff_t most =
      std::clamp(static_cast<ptrdiff_t>(cache_sizes().l2 / 4) / row_bytes, ptrdiff_t{256}, 262144 / row_bytes);
  if (inputs <= most) return std::max(inputs, ptrdiff_t{1});
  return (divide_up(inputs, divide_up(2 * inputs, most)) + 15) / 16 * 16;
}

template <class T>
void layer_forward_serial(const LayerKernel<T>& k, LayerTask<T> task, ptrdiff_t first_block, ptrdiff_t last_block) {
  task.first_block = first_block;
  task.last_block = last_block;
  task.scratch = thread_scratch<T>(Scratch::kKernel, k.scratch(task));
  k.run(task);
}

template <class T>
void layer_forward(const LayerKernel<T>& k, const LayerTask<T>& task) {
  const PanelLayout layout{task.inputs, task.units, task.pieces, k.lanes, k.panel_vectors};
  const ptrdiff_t blocks = layout.blocks();
  if (task.rows == 0 || blocks == 0) return;
  const bool shared = worth_threads(task.rows, static_cast<double>(task.inputs * task.units * task.pieces));
  const ptrdiff_t threads = shared ? num_threads() : 1;
  // Rows are cut only as far as needed to give every thread a few tasks: each cut reads the weights once more.
  constexpr ptrdiff_t kMostRows = 256, kLeastRows = 24, kTasksEach = 4;
  ptrdiff_t rows_each = std::min(task.rows, kMostRows);
  if (threads > 1 && blocks * (divide_up(task.rows, rows_each)) < kTasksEach * threads) {
    const ptrdiff_t cuts = divide_up(kTasksEach * threads, blocks);
    rows_each = std::clamp((task.rows / cuts + 11) / 12 * 12, std::min(kLeastRows, rows_each), rows_each);
  }
  const ptrdiff_t across = divide_up(task.rows, rows_each);
  const ptrdiff_t blocks_each =
      threads == 1 ? blocks : std::max(ptrdiff_t{1}, blocks * across / (kTasksEach * threads));
  const ptrdiff_t columns = divide_up(blocks, blocks_each);
  // Neighbouring tasks share their weights.
  const auto run = [&](ptrdiff_t i) {
    const ptrdiff_t row = i % across * rows_each;
    const ptrdiff_t block = i / across * blocks_each;
    LayerTask<T> part = task;
    part.rows = std::min(rows_each, task.rows - row);
    part.x += row * task.x_row;
    part.z += row * task.z_row;
    part.y += row * task.y_row;
    if (part.add) part.add += row * task.add_row;
    if (part.add) part.sum += row * task.sum_row;
    if (part.argmax) part.argmax += row * task.argmax_row;
    layer_forward_serial(k, part, block, std::min(block + blocks_each, blocks));
  };
  if (threads == 1)
    for (ptrdiff_t i = 0; i < columns * across; ++i) run(i);
  else
    parallel_for(columns * across, run);
}

template <class T>
void activate_rows(ElementwiseFunction<T> f, ptrdiff_t rows, ptrdiff_t columns, const T* z, ptrdiff_t z_row, T* y,
                   ptrdiff_t y_row) {
  ElementwiseTask<T> t{};
  t.rows = rows;
  t.columns = columns;
  t.in = z;
  t.in_row = z_row;
  t.out = y;
  t.out_row = y_row;
  f(t);
}

template <class T>
void data_gradient(const Kernels<T>& k, const PanelLayout& layout, const T* transposed, ptrdiff_t rows, const T* dz,
                   ptrdiff_t dz_row, const std::uint8_t* argmax, ptrdiff_t argmax_row, T* dx, ptrdiff_t dx_row) {
  const TransposedLayout from(layout);
  T* const scratch = thread_scratch<T>(Scratch::kKernel, rows * k.panel_width());
  const ptrdiff_t chunk = chunk_inputs<T>(from.width(0), from.rows);
  for (ptrdiff_t panel = 0; panel < from.panels(); ++panel) {
    const ptrdiff_t first = panel * from.panel_inputs();
    const ptrdiff_t columns = std::min(from.panel_inputs(), layout.inputs - first);
    const T* const weights = transposed + from.offset(panel);
    if (argmax == nullptr)
      k.product({rows, from.rows, columns, dz, dz_row, 1, weights, from.width(panel), dx + first, dx_row, chunk,
                 weights + from.rows * from.width(panel),
                 panel + 1 < from.panels() ? from.rows * from.width(panel + 1) : 0, scratch});
    else
      k.maxout_data({rows, layout.units, layout.pieces, columns, dz, dz_row, argmax, argmax_row, weights,
                     from.width(panel), dx + first, dx_row, scratch});
  }
}

void MaxoutOrder::sort(ptrdiff_t chunk, const std::uint8_t* argmax, ptrdiff_t argmax_row, std::uint8_t* order) const {
  const ptrdiff_t first = chunk * kMaxoutChunk;
  const ptrdiff_t count = std::min(kMaxoutChunk, rows - first);
  for (ptrdiff_t unit = 0; unit < units; ++unit) {
    std::uint8_t* const sorted = order + at(unit, chunk);
    std::uint8_t* const ends = sorted + kMaxoutChunk;
    std::uint8_t start[kMaxPiecesSaved] = {};
    const std::uint8_t* const winner = argmax + first * argmax_row + unit;
    for (ptrdiff_t r = 0; r < count; ++r) ++start[winner[r * argmax_row]];
    int sum = 0;
    for (ptrdiff_t p = 0; p < pieces; ++p) {
      sum += start[p];
      ends[p] = static_cast<std::uint8_t>(sum);
      start[p] = static_cast<std::uint8_t>(sum - start[p]);
    }
    for (ptrdiff_t r = 0; r < count; ++r) sorted[start[winner[r * argmax_row]]++] = static_cast<std::uint8_t>(r);
  }
}

namespace {

// Of a slab of x that the parts of several panels share: half of a 2 MB L2.
constexpr ptrdiff_t kSharedBytes = ptrdiff_t{1} << 20;

template <class T>
void dense_weight_gradient(const Kernels<T>& k, const Panel& panel, ptrdiff_t first, ptrdiff_t count,
                           const GradientSource<T>& from, const GradientSink<T>& to) {
  T* const tile = thread_scratch<T>(Scratch::kTile, std::max(count, ptrdiff_t{1}) * panel.width);
  const T* const dz = from.dz_panels ? from.dz_panels + panel.unit * from.rows : from.dz + panel.unit;
  const ptrdiff_t dz_row = from.dz_panels ? panel.width : from.dz_row;
  if (first == 0) {
    k.column_sums(from.rows, panel.width, dz, dz_row, tile);
    to.take(to.context, panel, -1, 1, tile);
  }
  T* const scratch = thread_scratch<T>(Scratch::kKernel, count * panel.width);
  k.product({count, from.rows, panel.width, from.x, 1, from.x_row, dz, dz_row, tile, panel.width,
             chunk_inputs<T>(panel.width, from.rows), dz + from.rows * dz_row, from.dz_panels ? from.rows * dz_row : 0,
             scratch});
  to.take(to.context, panel, first, count, tile);
}

template <class T>
void maxout_bias_gradient(const PanelLayout& layout, ptrdiff_t block, const GradientSource<T>& from,
                          const GradientSink<T>& to) {
  const MaxoutOrder& sorted = *from.sorted;
  for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
    const Panel panel = layout.panel(block, group);
    T* const row = thread_scratch<T>(Scratch::kTile, panel.width);
    std::fill_n(row, panel.width, T(0));
    for (ptrdiff_t u = 0; u < panel.units; ++u)
      for (ptrdiff_t chunk = 0; chunk < sorted.chunks(); ++chunk) {
        const std::uint8_t* const order = from.order + sorted.at(panel.unit + u, chunk);
        const std::uint8_t* const ends = order + kMaxoutChunk;
        const T* const dz = from.dz + chunk * kMaxoutChunk * from.dz_row + panel.unit + u;
        for (ptrdiff_t p = 0; p < panel.pieces; ++p) {
          const ptrdiff_t piece = panel.piece + p;
          for (ptrdiff_t i = piece > 0 ? ends[piece - 1] : 0; i < ends[piece]; ++i)
            row[p * panel.stride + u] += dz[order[i] * from.dz_row];
        }
      }
    to.take(to.context, panel, -1, 1, row);
  }
}

template <class T>
void maxout_weight_gradient(const Kernels<T>& k, const PanelLayout& layout, ptrdiff_t block, ptrdiff_t first,
                            ptrdiff_t count, const GradientSource<T>& from, const GradientSink<T>& to) {
  if (first == 0) maxout_bias_gradient(layout, block, from, to);
  const MaxoutOrder& sorted = *from.sorted;
  const Panel all = layout.panel(block, 0);
  const ptrdiff_t width = ptrdiff_t{k.lanes} * kMaxoutVectors;
  // [unit][piece][input]: inputs in the lanes, as x has them. Chunk by chunk over the rows, so that a chunk of x serves
  // all units from L1.
  T* const dw = thread_scratch<T>(Scratch::kRows, all.units * layout.pieces * width);
  std::fill_n(dw, all.units * layout.pieces * width, T(0));
  for (ptrdiff_t chunk = 0; chunk < sorted.chunks(); ++chunk) {
    const ptrdiff_t row = chunk * kMaxoutChunk;
    const T* const x = from.x + row * from.x_row + first;
    for (ptrdiff_t u = 0; u < all.units; ++u) {
      const std::uint8_t* const order = from.order + sorted.at(all.unit + u, chunk);
      k.maxout_weight({layout.pieces, count, order, order + kMaxoutChunk, from.dz + row * from.dz_row + all.unit + u,
                       from.dz_row, x, from.x_row, dw + u * layout.pieces * width, width});
    }
  }
  for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
    const Panel panel = layout.panel(block, group);
    T* const tile = thread_scratch<T>(Scratch::kTile, count * panel.width);
    std::fill_n(tile, count * panel.width, T(0));
    for (ptrdiff_t u = 0; u < panel.units; ++u)
      for (ptrdiff_t p = 0; p < panel.pieces; ++p) {
        const T* const in = dw + (u * layout.pieces + panel.piece + p) * width;
        for (ptrdiff_t i = 0; i < count; ++i) tile[i * panel.width + p * panel.stride + u] = in[i];
      }
    to.take(to.context, panel, first, count, tile);
  }
}

}  // namespace

template <class T>
void gather_columns(const PanelLayout& layout, ptrdiff_t batch, const T* dz, ptrdiff_t dz_row, ptrdiff_t first,
                    ptrdiff_t rows, T* panels) {
  for (ptrdiff_t block = 0; block < layout.blocks(); ++block) {
    const Panel panel = layout.panel(block, 0);
    for (ptrdiff_t r = first; r < first + rows; ++r)
      std::copy_n(dz + r * dz_row + panel.unit, panel.width, panels + panel.unit * batch + r * panel.width);
  }
}

template <class T>
void weight_gradient(const Kernels<T>& k, const GradientParts& parts, ptrdiff_t first, ptrdiff_t last,
                     const GradientSource<T>& from, const GradientSink<T>& to) {
  const ptrdiff_t blocks = parts.layout.blocks();
  for (ptrdiff_t part = first; part < last;) {
    const ptrdiff_t input = part / blocks * parts.inputs_each();
    const ptrdiff_t count = std::min(parts.inputs_each(), parts.layout.inputs - input);
    const ptrdiff_t end = std::min(last, (part / blocks + 1) * blocks);
    if (parts.layout.pieces > 1) {
      for (; part < end; ++part) maxout_weight_gradient(k, parts.layout, part % blocks, input, count, from, to);
      continue;
    }
    // The columns of x that these parts share, together if several gain from that and they stay in the cache.
    GradientSource<T> source = from;
    source.x += input;
    if (end - part >= 3 && from.rows * count * static_cast<ptrdiff_t>(sizeof(T)) <= kSharedBytes) {
      T* const together = thread_scratch<T>(Scratch::kRows, from.rows * count);
      for (ptrdiff_t r = 0; r < from.rows; ++r) std::copy_n(source.x + r * from.x_row, count, together + r * count);
      source.x = together;
      source.x_row = count;
    }
    for (; part < end; ++part) dense_weight_gradient(k, parts.layout.panel(part % blocks, 0), input, count, source, to);
  }
}

#define FNNFAST_INSTANTIATE(T)                                                                                      \
  template ptrdiff_t chunk_inputs<T>(ptrdiff_t, ptrdiff_t);                                                         \
  template void layer_forward<T>(const LayerKernel<T>&, const LayerTask<T>&);                                       \
  template void layer_forward_serial<T>(const LayerKernel<T>&, LayerTask<T>, ptrdiff_t, ptrdiff_t);                 \
  template void activate_rows<T>(ElementwiseFunction<T>, ptrdiff_t, ptrdiff_t, const T*, ptrdiff_t, T*, ptrdiff_t); \
  template void data_gradient<T>(const Kernels<T>&, const PanelLayout&, const T*, ptrdiff_t, const T*, ptrdiff_t,   \
                                 const std::uint8_t*, ptrdiff_t, T*, ptrdiff_t);                                    \
  template void gather_columns<T>(const PanelLayout&, ptrdiff_t, const T*, ptrdiff_t, ptrdiff_t, ptrdiff_t, T*);    \
  template void weight_gradient<T>(const Kernels<T>&, const GradientParts&, ptrdiff_t, ptrdiff_t,                   \
                                   const GradientSource<T>&, const GradientSink<T>&);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast
