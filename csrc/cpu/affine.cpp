#include "affine.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "buffer.hpp"
#include "interrupt.hpp"
#include "isa.hpp"
#include "threads.hpp"

namespace fnnfast::cpu {

// All inputs, if a panel then takes at most a quarter of L2 (which also holds rows of x and the prefetched next panel)
// and at most 256 KB; else equal parts of half of that.
template <class T>
ptrdiff_t kc_inputs(ptrdiff_t width, ptrdiff_t inputs, WeightFormat format) {
  const ptrdiff_t each = format == WeightFormat::kBfloat16Pairs ? 2 : 1;  // to a word
  const ptrdiff_t words = divide_up(inputs, each);
  const ptrdiff_t row_bytes = std::max(width, ptrdiff_t{1}) * static_cast<ptrdiff_t>(sizeof(T));
  const ptrdiff_t most =
      std::clamp(static_cast<ptrdiff_t>(cache_sizes().l2 / 4) / row_bytes, ptrdiff_t{256}, 262144 / row_bytes);
  if (words <= most) return std::max(inputs, ptrdiff_t{1});
  return (divide_up(words, divide_up(2 * words, most)) + 15) / 16 * 16 * each;  // whole blocks of a matrix unit
}

template <class T>
void set_sizes(AffineConstants<T>& of, const PanelLayout& layout, WeightFormat format) {
  of.inputs = layout.inputs;
  of.units = layout.units;
  of.pieces = layout.pieces;
  of.blocks = layout.blocks();
  of.channel_groups = layout.channel_groups;
  const PanelLayout stored = stored_layout(layout, format);
  of.group_size = stored.group_size();
  const ptrdiff_t width = layout.panel(0, 0).width;
  of.first_panel = (stored.inputs + 1) * width;
  of.kc = kc_inputs<T>(width, layout.inputs, format);
}

namespace {

constexpr ptrdiff_t kMostRows = 256;  // of a call, if there are many

template <class T>
void run_with_scratch(const AffineKernel<T>& k, AffineCall<T>& task) {
  const ptrdiff_t scratch = k.scratch(task);
  if (scratch > 0) task.scratch = thread_scratch<T>(Scratch::kKernel, scratch);
  k.run(task);
}

// The same call from another row on.
template <class T>
void advance_rows(AffineCall<T>& task, ptrdiff_t rows) {
  if (task.of->windows == nullptr) task.x += rows * task.x_row;
  task.first_row += rows;
  advance_outputs(task, rows);
}

// Calls f(call) for each group of channels, which reads and writes channels of its own.
template <class T, class F>
void for_groups(const AffineCall<T>& task, F&& f) {
  const AffineConstants<T>& all = *task.of;
  for (ptrdiff_t group = 0; group < all.channel_groups; ++group) {
    AffineConstants<T> of = all;
    of.channel_groups = 1;
    of.units /= all.channel_groups;
    of.blocks /= all.channel_groups;
    of.panels += group * all.group_size;
    const ptrdiff_t unit = group * of.units;
    if (of.parameter) of.parameter += unit * of.parameter_step;
    if (of.scale) of.scale += unit;
    if (of.shift) of.shift += unit;
    AffineCall<T> call = task;
    call.of = &of;
    call.last_block = of.blocks;
    call.padded = false;  // after a group's units come those of the next
    call.x += group * of.windows->channels;
    call.z += unit;
    call.y += unit;
    if (call.add) call.add += unit;
    if (call.sum) call.sum += unit;
    f(call);
  }
}

}  // namespace

template <class T>
void affine_forward_serial(const AffineKernel<T>& k, AffineCall<T>& task) {
  if (task.of->channel_groups > 1)
    return for_groups(task, [&](AffineCall<T>& call) { affine_forward_serial(k, call); });
  // A few images are many rows, and partial sums, or copies of windows, of all of them would not stay in L2.
  if (task.of->windows != nullptr && (task.of->inputs > task.of->kc || k.copies_windows))
    for (; task.rows > kMostRows; task.rows -= kMostRows) {
      AffineCall<T> part = task;
      part.rows = kMostRows;
      run_with_scratch(k, part);
      advance_rows(task, kMostRows);
    }
  run_with_scratch(k, task);
}

template <class T>
void affine_forward(const AffineKernel<T>& k, const AffineCall<T>& task) {
  const AffineConstants<T>& of = *task.of;
  const ptrdiff_t blocks = of.blocks;
  if (task.rows == 0 || blocks == 0) return;
  if (of.channel_groups > 1) return for_groups(task, [&](const AffineCall<T>& call) { affine_forward(k, call); });
  const bool shared = worth_threads(task.rows, static_cast<double>(of.inputs * of.units * of.pieces));
  const ptrdiff_t threads = shared ? num_threads() : 1;
  // Rows are split only as needed to give every thread a few tasks, since each split reads the weights once more.
  constexpr ptrdiff_t kLeastRows = 24, kTasksEach = 4;
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
    AffineCall<T> part = task;
    part.rows = std::min(rows_each, task.rows - row);
    advance_rows(part, row);
    part.first_block = block;
    part.last_block = std::min(block + blocks_each, blocks);
    affine_forward_serial(k, part);
  };
  const double work = static_cast<double>(rows_each * of.inputs * of.pieces * of.units);
  const double work_each = work / static_cast<double>(columns);
  if (threads == 1)
    long_serial_for(columns * across, work_each, run);
  else
    long_parallel_for(columns * across, work_each, run);
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
  T* const scratch = thread_scratch<T>(Scratch::kKernel, rows * from.panel_inputs());
  const ptrdiff_t kc = kc_inputs<T>(from.width(0), from.rows);
  for (ptrdiff_t panel = 0; panel < from.panels(); ++panel) {
    const ptrdiff_t first = panel * from.panel_inputs();
    const ptrdiff_t columns = std::min(from.panel_inputs(), layout.inputs - first);
    const T* const weights = transposed + from.offset(panel);
    const ptrdiff_t next = panel + 1 < from.panels() ? from.rows * from.width(panel + 1) : 0;
    if (argmax == nullptr)
      k.product({rows, from.rows, columns, dz, dz_row, 1, weights, from.width(panel), dx + first, dx_row, kc,
                 weights + from.rows * from.width(panel), next, scratch});
    else
      k.maxout_data({rows, layout.units, layout.pieces, columns, dz, dz_row, argmax, argmax_row, weights, next,
                     dx + first, dx_row, scratch});
  }
}

// Row by row over a few units at a time, so that successive increments are of different counters.
template <class T>
void MaxoutOrder::sort(ptrdiff_t chunk, const std::uint8_t* argmax, ptrdiff_t argmax_row, const T* dz, ptrdiff_t dz_row,
                       std::uint8_t* order, T* sorted) const {
  constexpr ptrdiff_t kUnits = 16;
  const ptrdiff_t row = chunk * kMaxoutChunk;
  const ptrdiff_t count = std::min(kMaxoutChunk, rows - row);
  std::uint8_t place[kUnits][kMaxPiecesSaved];
  for (ptrdiff_t first = 0; first < units; first += kUnits) {
    const ptrdiff_t some = std::min(kUnits, units - first);
    const std::uint8_t* const block_argmax = argmax + row * argmax_row + first;
    const T* const gradient = dz + row * dz_row + first;
    std::uint8_t* const orders = order + at(first, chunk);
    T* const gradients = sorted + gradient_at(first, chunk);
    for (ptrdiff_t u = 0; u < some; ++u) std::fill_n(place[u], pieces, std::uint8_t{0});
    for (ptrdiff_t r = 0; r < count; ++r)
      for (ptrdiff_t u = 0; u < some; ++u) ++place[u][block_argmax[r * argmax_row + u]];
    for (ptrdiff_t u = 0; u < some; ++u) {
      std::uint8_t* const ends = orders + u * entry() + kMaxoutChunk;
      int sum = 0;
      for (ptrdiff_t p = 0; p < pieces; ++p) {
        const int here = place[u][p];
        place[u][p] = static_cast<std::uint8_t>(sum);
        sum += here;
        ends[p] = static_cast<std::uint8_t>(sum);
      }
    }
    for (ptrdiff_t r = 0; r < count; ++r)
      for (ptrdiff_t u = 0; u < some; ++u) {
        const std::uint8_t to = place[u][block_argmax[r * argmax_row + u]]++;
        orders[u * entry() + to] = static_cast<std::uint8_t>(r);
        gradients[u * kMaxoutChunk + to] = gradient[r * dz_row + u];
      }
  }
}

namespace {

// The most for a slab of x that the parts of several panels share: half of a 2 MB L2.
template <class T>
constexpr ptrdiff_t kSharedElements = (ptrdiff_t{1} << 20) / static_cast<ptrdiff_t>(sizeof(T));

// The most for the part of maxout's weight gradient that a task computes at a time: less than half of a 1.25 MB L2.
constexpr ptrdiff_t kSummedBytes = ptrdiff_t{1} << 19;

// GradientScratch of this thread. Who takes a part says what it needs, so that sizes and use cannot differ unnoticed.
template <class T>
class GradientMemory {
 public:
  explicit GradientMemory(const GradientScratch& sizes)
      : sizes_(sizes),
        tile_(thread_scratch<T>(Scratch::kTile, sizes.tile)),
        kernel_(thread_scratch<T>(Scratch::kKernel, sizes.kernel)),
        rows_(thread_scratch<T>(Scratch::kRows, sizes.rows)) {}
  T* tile(ptrdiff_t needed) const { return checked(tile_, needed, sizes_.tile); }
  T* kernel(ptrdiff_t needed) const { return checked(kernel_, needed, sizes_.kernel); }
  T* rows(ptrdiff_t needed) const { return checked(rows_, needed, sizes_.rows); }

 private:
  static T* checked(T* memory, ptrdiff_t needed, ptrdiff_t size) {
    if (needed > size)
      throw std::logic_error("weight_gradient: needs more scratch memory than gradient_scratch() says");
    return memory;
  }
  GradientScratch sizes_;
  T *tile_, *kernel_, *rows_;
};

// Inputs of a part of maxout's gradient, to whole vectors, at least one.
ptrdiff_t maxout_width(ptrdiff_t count, int lanes) {
  return divide_up(std::max(count, ptrdiff_t{1}), ptrdiff_t{lanes}) * lanes;
}

// Blocks of a maxout layer's units that share a chunk of x: as many as have their sums in L2.
template <class T>
ptrdiff_t blocks_at_once(const GradientParts& parts) {
  const PanelLayout& layout = parts.layout;
  const ptrdiff_t bytes = layout.block_units() * layout.pieces * parts.inputs_each * static_cast<ptrdiff_t>(sizeof(T));
  return std::max(ptrdiff_t{1}, kSummedBytes / bytes);
}

// Whether several blocks of a dense layer's units read a contiguous copy of those columns of x: if it fits the cache.
template <class T>
bool shares_columns(ptrdiff_t blocks, ptrdiff_t rows, ptrdiff_t count) {
  return blocks >= 3 && rows * count <= kSharedElements<T>;
}

template <class T>
void dense_weight_gradient(const Kernels<T>& k, const Panel& panel, ptrdiff_t first, ptrdiff_t count,
                           const GradientSource<T>& from, const GradientMemory<T>& memory, const GradientSink<T>& to) {
  const ptrdiff_t size = std::max(count, ptrdiff_t{1}) * panel.width;
  T* const tile = memory.tile(size * (from.parts ? levels(*from.parts) : 1));
  // f(first row, rows, their sum) for all rows, or for parts of them.
  const auto sum = [&](ptrdiff_t elements, auto&& f) {
    if (from.parts == nullptr) return f(0, from.rows, tile);
    const RowParts& parts = *from.parts;
    const auto leaf = [&](ptrdiff_t part, ptrdiff_t level) {
      f(parts.ends[part], parts.ends[part + 1] - parts.ends[part], tile + level * size);
      if (parts.round) round_bits(tile + level * size, elements);
    };
    sum_tree(parts, 0, parts.count, 0, leaf,
             [&](ptrdiff_t level) { add_sums(tile + level * size, tile + (level + 1) * size, elements, parts.round); });
  };
  const T* const dz = from.dz_panels ? from.dz_panels + panel.unit * from.rows : from.dz + panel.unit;
  const ptrdiff_t dz_row = from.dz_panels ? panel.width : from.dz_row;
  if (first == 0) {
    sum(panel.width, [&](ptrdiff_t row, ptrdiff_t rows, T* into) {
      k.column_sums(rows, panel.width, dz + row * dz_row, dz_row, into);
    });
    to.take(to.context, panel, -1, 1, tile);
  }
  if constexpr (std::is_same_v<T, float>)
    if (from.pairs != nullptr) {
      from.pairs->multiply(panel, first, count, tile);
      return to.take(to.context, panel, first, count, tile);
    }
  sum(count * panel.width, [&](ptrdiff_t row, ptrdiff_t rows, T* into) {
    const T* const own = dz + row * dz_row;
    k.product({count, rows, panel.width, from.x + row * from.x_row, 1, from.x_row, own, dz_row, into, panel.width,
               kc_inputs<T>(panel.width, rows), own + rows * dz_row, from.dz_panels ? rows * dz_row : 0,
               memory.kernel(count * panel.width)});
  });
  to.take(to.context, panel, first, count, tile);
}

template <class T>
void maxout_bias_gradient(const PanelLayout& layout, ptrdiff_t block, const GradientSource<T>& from, T* row,
                          const GradientSink<T>& to) {
  const MaxoutOrder& maxout = *from.maxout;
  for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
    const Panel panel = layout.panel(block, group);
    std::fill_n(row, panel.width, T(0));
    for (ptrdiff_t chunk = 0; chunk < maxout.chunks(); ++chunk)
      for (ptrdiff_t u = 0; u < panel.units; ++u) {
        const std::uint8_t* const ends = from.order + maxout.at(panel.unit + u, chunk) + kMaxoutChunk;
        const T* const dz = from.sorted + maxout.gradient_at(panel.unit + u, chunk);
        for (ptrdiff_t p = 0; p < panel.pieces; ++p) {
          const ptrdiff_t piece = panel.piece + p;
          T& sum = row[p * panel.stride + u];
          for (ptrdiff_t i = piece > 0 ? ends[piece - 1] : 0; i < ends[piece]; ++i) sum += dz[i];
        }
      }
    to.take(to.context, panel, -1, 1, row);
  }
}

// Passes on [unit][piece][input], the layout of maxout_weight(), as a panel of [input][piece][unit].
template <class T>
void maxout_take(const Panel& panel, ptrdiff_t pieces, ptrdiff_t first, ptrdiff_t count, const T* dw, ptrdiff_t width,
                 T* tile, const GradientSink<T>& to) {
  constexpr ptrdiff_t kInputs = 16;  // their rows of a panel, a few lines each, stay in L1 until they are full
  if (panel.units < panel.stride) std::fill_n(tile, count * panel.width, T(0));
  for (ptrdiff_t i0 = 0; i0 < count; i0 += kInputs)
    for (ptrdiff_t p = 0; p < panel.pieces; ++p)
      for (ptrdiff_t u = 0; u < panel.units; ++u) {
        const T* const in = dw + (u * pieces + panel.piece + p) * width;
        T* const out = tile + p * panel.stride + u;
        for (ptrdiff_t i = i0; i < std::min(i0 + kInputs, count); ++i) out[i * panel.width] = in[i];
      }
  to.take(to.context, panel, first, count, tile);
}

// The gradient for inputs [first, first + count) and blocks of units [first_block, last_block).
template <class T>
void maxout_weight_gradient(const Kernels<T>& k, const PanelLayout& layout, ptrdiff_t first_block, ptrdiff_t last_block,
                            ptrdiff_t first, ptrdiff_t count, const GradientSource<T>& from,
                            const GradientMemory<T>& memory, const GradientSink<T>& to) {
  const MaxoutOrder& maxout = *from.maxout;
  const ptrdiff_t width = maxout_width(count, k.lanes);
  const ptrdiff_t unit = layout.panel(first_block, 0).unit;
  const ptrdiff_t unit_size = layout.pieces * width;
  const Panel end = layout.panel(last_block - 1, 0);
  const ptrdiff_t units = end.unit + end.units - unit;
  // [unit][piece][input]: inputs in the lanes, as in x. Chunk by chunk over the rows, so that a chunk of x stays in L1
  // for all units.
  T* const dw = memory.rows(units * unit_size + kMaxoutChunk * width);
  T* const tile = memory.tile(std::max(count, ptrdiff_t{1}) * layout.panel(first_block, 0).width);
  T* const x = dw + units * unit_size;
  std::fill_n(dw, units * unit_size + kMaxoutChunk * width, T(0));
  for (ptrdiff_t chunk = 0; chunk < maxout.chunks(); ++chunk) {
    const ptrdiff_t row = chunk * kMaxoutChunk;
    for (ptrdiff_t r = 0; r < std::min(kMaxoutChunk, from.rows - row); ++r)
      if (from.windows == nullptr)
        std::copy_n(from.x + (row + r) * from.x_row + first, count, x + r * width);
      else
        copy_window(*from.windows, from.x, from.x_row, from.first_row + row + r, first, count, x + r * width);
    k.maxout_weight({units, layout.pieces, count, from.order + maxout.at(unit, chunk), maxout.entry(), kMaxoutChunk,
                     from.sorted + maxout.gradient_at(unit, chunk), x, width, dw, width});
  }
  for (ptrdiff_t block = first_block; block < last_block; ++block) {
    if (first == 0) maxout_bias_gradient(layout, block, from, tile, to);
    for (ptrdiff_t group = 0; group < layout.groups(); ++group) {
      const Panel panel = layout.panel(block, group);
      maxout_take(panel, layout.pieces, first, count, dw + (panel.unit - unit) * unit_size, width, tile, to);
    }
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
GradientScratch gradient_scratch(const Kernels<T>& k, const GradientParts& parts, ptrdiff_t rows,
                                 const RowParts* row_parts, const PairFactors* pairs) {
  const PanelLayout& layout = parts.layout;
  const ptrdiff_t count = std::min(parts.inputs_each, layout.inputs), panel = layout.panel(0, 0).width;
  GradientScratch sizes;
  sizes.tile = std::max(count, ptrdiff_t{1}) * panel * (row_parts ? levels(*row_parts) : 1);
  if (layout.pieces > 1) {
    const ptrdiff_t units = std::min(blocks_at_once<T>(parts), layout.blocks()) * layout.block_units();
    sizes.rows = (units * layout.pieces + kMaxoutChunk) * maxout_width(count, k.lanes);
  } else if (pairs != nullptr) {
    sizes.kernel = pairs->scratch(layout.panel(0, 0), count);
  } else {
    sizes.kernel = count * panel;
    // The last part of the inputs may be so narrow that it alone is copied.
    if (shares_columns<T>(layout.blocks(), 0, 0)) sizes.rows = std::min(rows * count, kSharedElements<T>);
  }
  return sizes;
}

template <class T>
void weight_gradient(const Kernels<T>& k, const GradientParts& parts, ptrdiff_t first, ptrdiff_t last,
                     const GradientSource<T>& from, const GradientSink<T>& to) {
  const GradientMemory<T> memory(gradient_scratch(k, parts, from.rows, from.parts, from.pairs));
  const ptrdiff_t blocks = parts.layout.blocks();
  for (ptrdiff_t part = first; part < last;) {
    const ptrdiff_t input = part / blocks * parts.inputs_each;
    const ptrdiff_t count = std::min(parts.inputs_each, parts.layout.inputs - input);
    const ptrdiff_t end = std::min(last, (part / blocks + 1) * blocks);
    if (parts.layout.pieces > 1) {
      const ptrdiff_t each = blocks_at_once<T>(parts);
      for (; part < end; part = std::min(part + each, end))
        maxout_weight_gradient(k, parts.layout, part % blocks, (std::min(part + each, end) - 1) % blocks + 1, input,
                               count, from, memory, to);
      continue;
    }
    GradientSource<T> source = from;
    source.x += input;
    if (from.pairs == nullptr && shares_columns<T>(end - part, from.rows, count)) {
      T* const copy = memory.rows(from.rows * count);
      for (ptrdiff_t r = 0; r < from.rows; ++r) std::copy_n(source.x + r * from.x_row, count, copy + r * count);
      source.x = copy;
      source.x_row = count;
    }
    for (; part < end; ++part)
      dense_weight_gradient(k, parts.layout.panel(part % blocks, 0), input, count, source, memory, to);
  }
}

#define FNNFAST_INSTANTIATE(T)                                                                                      \
  template ptrdiff_t kc_inputs<T>(ptrdiff_t, ptrdiff_t, WeightFormat);                                              \
  template void set_sizes<T>(AffineConstants<T>&, const PanelLayout&, WeightFormat);                                \
  template void affine_forward<T>(const AffineKernel<T>&, const AffineCall<T>&);                                    \
  template void affine_forward_serial<T>(const AffineKernel<T>&, AffineCall<T>&);                                   \
  template void activate_rows<T>(ElementwiseFunction<T>, ptrdiff_t, ptrdiff_t, const T*, ptrdiff_t, T*, ptrdiff_t); \
  template void data_gradient<T>(const Kernels<T>&, const PanelLayout&, const T*, ptrdiff_t, const T*, ptrdiff_t,   \
                                 const std::uint8_t*, ptrdiff_t, T*, ptrdiff_t);                                    \
  template void MaxoutOrder::sort<T>(ptrdiff_t, const std::uint8_t*, ptrdiff_t, const T*, ptrdiff_t, std::uint8_t*, \
                                     T*) const;                                                                     \
  template void gather_columns<T>(const PanelLayout&, ptrdiff_t, const T*, ptrdiff_t, ptrdiff_t, ptrdiff_t, T*);    \
  template GradientScratch gradient_scratch<T>(const Kernels<T>&, const GradientParts&, ptrdiff_t, const RowParts*, \
                                               const PairFactors*);                                                 \
  template void weight_gradient<T>(const Kernels<T>&, const GradientParts&, ptrdiff_t, ptrdiff_t,                   \
                                   const GradientSource<T>&, const GradientSink<T>&);
FNNFAST_INSTANTIATE(float)
FNNFAST_INSTANTIATE(double)
#undef FNNFAST_INSTANTIATE

}  // namespace fnnfast::cpu
