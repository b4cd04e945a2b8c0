// The kernels of product.hpp: a block computes one tile of the result.
#pragma once

#include "accumulate.cuh"
#include "epilogues.cuh"
#include "launch.hpp"
#include "plan.hpp"
#include "product.hpp"
#include "product_hopper.hpp"
#include "tile_mma.cuh"
#include "tile_simt.cuh"

namespace fnnfast::cuda {

// The tiles of an element type. Large ones read less memory per multiply-add; small ones fill the device if there is
// little to do; narrow ones, where they exist, read no more columns than there are. Maxout's large ones have more
// threads, since their registers also hold the maximum so far. All give the same bits.
template <class T, bool TransposedA, bool TransposedB>
struct Tiles {
  static constexpr int kLarge = 128, kSmall = 64;
  using Large = MmaTile<T, 128, 128, 64, 64, TransposedA, TransposedB>;
  using LargeOfMaxout = MmaTile<T, 128, 128, 64, 32, TransposedA, TransposedB>;
  using Small = MmaTile<T, 64, 64, 32, 32, TransposedA, TransposedB>;
  using Narrow = MmaTile<T, 128, 16, 32, 16, TransposedA, TransposedB>;
};
template <bool TransposedA, bool TransposedB>
struct Tiles<float, TransposedA, TransposedB> {
  static constexpr int kLarge = 128, kSmall = 64;
  using Large = SimtTile<float, 128, 128, 16, 8, 8, TransposedA, TransposedB>;
  using LargeOfMaxout = Large;
  using Small = SimtTile<float, 64, 64, 16, 4, 4, TransposedA, TransposedB>;
};
template <bool TransposedA, bool TransposedB>
struct Tiles<double, TransposedA, TransposedB> {
  static constexpr int kLarge = 64, kSmall = 32;
  using Large = SimtTile<double, 64, 64, 16, 4, 4, TransposedA, TransposedB>;
  using LargeOfMaxout = Large;
  using Small = SimtTile<double, 32, 32, 16, 4, 4, TransposedA, TransposedB>;
};

template <class Tile>
struct Finishing {
  using S = typename Tile::Value;
  static constexpr int kPitch = Tile::kN + 32 / static_cast<int>(sizeof(S));
  static constexpr std::size_t kBytes = std::size_t{Tile::kM} * kPitch * sizeof(S);
};

template <class Tile>
constexpr std::size_t shared_bytes() {
  constexpr std::size_t stages = std::size_t{Tile::kStages} * Tile::kStageElements * sizeof(typename Tile::Element);
  return stages > Finishing<Tile>::kBytes ? stages : Finishing<Tile>::kBytes;
}

// A tile's values in shared memory, at (row, column) of a (rows, columns) matrix.
template <class Tile>
__device__ __forceinline__ Finished<typename Tile::Value> finished(std::int64_t rows, std::int64_t columns,
                                                                   std::int64_t row, std::int64_t column) {
  using S = typename Tile::Value;
  const std::int64_t below = rows - row, right = columns - column;
  return {reinterpret_cast<S*>(shared_memory()),
          Finishing<Tile>::kPitch,
          below < Tile::kM ? static_cast<int>(below) : Tile::kM,
          right < Tile::kN ? static_cast<int>(right) : Tile::kN,
          row,
          column};
}

template <class Tile>
__device__ __forceinline__ void to_shared(Tile& tile, const Finished<typename Tile::Value>& to) {
  tile.for_each([&](int r, int c, typename Tile::Value& v) { to.at(r, c) = v; });
  __syncthreads();
}

struct Nothing {
  template <class T>
  __device__ __forceinline__ void operator()(const T*) const {}
};

// A launch has a block for each tile; blockIdx.y counts slices and pieces. Concurrent blocks go down the columns of a
// band of kBand rows of tiles, so that they share rows of one operand and columns of the other in the L2 cache.
template <class Tile>
struct Place {
  std::int64_t m, n;
  explicit __device__ __forceinline__ Place(std::int64_t columns) {
    constexpr unsigned kBand = 16;
    const unsigned across = static_cast<unsigned>((columns + Tile::kN - 1) / Tile::kN), down = gridDim.x / across;
    const unsigned above = blockIdx.x / (kBand * across) * kBand, rest = down - above;
    const unsigned high = rest < kBand ? rest : kBand, i = blockIdx.x - above * across;
    m = std::int64_t{above + i % high} * Tile::kM;
    n = std::int64_t{i / high} * Tile::kN;
  }
};

template <class T>
struct ForwardArguments {
  ForwardTask<T> task;
  Source<T> x, weight;
};

// With Maxout, the running maximum and its piece are in registers beside the sums. So the weights need not be
// interleaved, and there may be any number of pieces.
template <class T, class Tile, bool Maxout>
__global__ void __launch_bounds__(Tile::kThreads, Maxout ? 1 : Tile::kBlocksEach)
    forward_kernel(const __grid_constant__ ForwardArguments<T> arguments) {
  using S = typename Tile::Value;
  const auto& [task, x, weight] = arguments;
  const auto [m, n] = Place<Tile>(task.units);
  Tile tile;
  const auto begin = [&](const S* bias) {
    tile.fill_columns([&](int c) { return bias != nullptr && n + c < task.units ? bias[n + c] : S(0); });
  };
  const auto result = finished<Tile>(task.rows, task.units, m, n);
  prefetch(result, task.add);
  begin(task.bias);
  accumulate(tile, x, weight, m, n, 0, task.inputs, Nothing());
  if constexpr (Maxout) {
    S best[Tile::kOutputsEach];
    std::uint32_t argmax[Tile::kOutputsEach / 4] = {};  // a byte each
    int i = 0;
    tile.for_each([&](int, int, S& v) { best[i++] = v; });
    for (int piece = 1; piece < task.pieces; ++piece) {
      Source<T> of_piece = weight;
      of_piece.data += piece * task.weight_piece;
      begin(task.bias == nullptr ? nullptr : task.bias + piece * task.bias_piece);
      accumulate(tile, x, of_piece, m, n, 0, task.inputs, Nothing());
      i = 0;
      tile.for_each([&](int, int, S& v) {
        if (fnnfast::Maxout<device::Vec<S>>::wins({v}, {best[i]}).m) {
          const int shift = i % 4 * 8;
          best[i] = v;
          argmax[i / 4] = (argmax[i / 4] & ~(0xffu << shift)) | static_cast<std::uint32_t>(piece & 0xff) << shift;
        }
        ++i;
      });
    }
    if (task.argmax.data != nullptr) {
      i = 0;
      tile.for_each([&](int, int, S& v) {
        v = static_cast<S>(argmax[i / 4] >> i % 4 * 8 & 0xff);
        ++i;
      });
      to_shared(tile, result);
      store(result, Matrix<std::uint8_t>{task.argmax.data, task.argmax.stride});
    }
    i = 0;
    tile.for_each([&](int, int, S& v) { v = best[i++]; });
  }
  to_shared(tile, result);
  const auto put = [&](const auto& to) {
    if (to.data != nullptr) store(result, Matrix<std::remove_pointer_t<decltype(to.data)>>{to.data, to.stride});
  };
  put(task.z);
  activate<MathOf<T>>(result, ActivationOf<S>{task.activation, task.parameter, task.parameter_step});
  put(task.y);
  if (task.add.data != nullptr) {
    add(result, task.add);
    put(task.sum);
  }
  put(task.y_sum);
}

template <class T>
struct InputGradientArguments {
  InputGradientTask<T> task;
  Source<T> dz, weight;
};

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksEach)
    input_gradient_kernel(const __grid_constant__ InputGradientArguments<T> arguments) {
  using S = typename Tile::Value;
  const auto& [task, dz, weight] = arguments;
  const auto [m, n] = Place<Tile>(task.inputs);
  const auto result = finished<Tile>(task.rows, task.inputs, m, n);
  prefetch(result, task.add);
  prefetch(result, task.saved);
  Tile tile;
  tile.for_each([](int, int, S& v) { v = S(0); });
  for (int piece = 0; piece < task.pieces; ++piece) {
    Source<T> of_piece = weight, winning = dz;
    of_piece.data += piece * task.weight_piece;
    winning.piece = piece;
    accumulate(tile, winning, of_piece, m, n, 0, task.units, Nothing());
  }
  to_shared(tile, result);
  if (task.add.data != nullptr) add(result, Matrix<const Stored<T>>{task.add.data, task.add.stride});
  if (task.saved.data != nullptr)
    differentiate(result, ActivationOf<S>{task.activation, task.parameter, task.parameter_step},
                  Matrix<const Stored<T>>{task.saved.data, task.saved.stride});
  store(result, Matrix<Stored<T>>{task.dx.data, task.dx.stride});
}

template <class T>
struct WeightGradientArguments {
  WeightGradientTask<T> task;
  Source<T> x, dz;
};

// A grid of tiles for each slice and piece. The blocks of the first inputs also sum the gradient of the bias, from the
// operands in shared memory.
template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksEach)
    weight_gradient_kernel(const __grid_constant__ WeightGradientArguments<T> arguments) {
  using S = typename Tile::Value;
  const WeightGradientTask<T>& task = arguments.task;
  const auto [m, n] = Place<Tile>(task.units);
  const int piece = static_cast<int>(blockIdx.y) % task.pieces, slice = static_cast<int>(blockIdx.y) / task.pieces;
  const std::int64_t first = slice * task.slice_rows;
  const std::int64_t last = first + task.slice_rows < task.rows ? first + task.slice_rows : task.rows;
  Source<T> x = arguments.x, dz = arguments.dz;
  x.rows = dz.rows = last;
  dz.piece = piece;
  Tile tile;
  tile.for_each([](int, int, S& v) { v = S(0); });
  const int own = static_cast<int>(threadIdx.x);
  const bool sums = m == 0 && own < Tile::kN;
  S sum = S(0);
  accumulate(tile, x, dz, m, n, first, last, [&](const T* stage) {
    if (!sums) return;
    for (int k = 0; k < Tile::kK; ++k) sum += Tile::element_b(stage, k, own);
  });
  const auto result = finished<Tile>(task.inputs, task.units, m, n);
  to_shared(tile, result);
  const auto put = [&](const auto& weight, auto* bias) {
    using To = std::remove_pointer_t<decltype(bias)>;
    const std::int64_t bias_at = slice * task.slice + piece * task.bias_piece + n + own;
    if (sums && n + own < task.units) bias[bias_at] = narrow<To>(sum);
    store(result, Matrix<To>{weight.data + slice * task.slice + piece * task.weight_piece, weight.stride});
  };
  if constexpr (!std::is_same_v<Stored<T>, S>)
    if (task.rounded_bias != nullptr) return put(task.rounded, task.rounded_bias);
  put(task.weight, task.bias);
}

// Calls f<Tile>(TileGrid) with the tile of the plan.
template <class T, bool TransposedA, bool TransposedB, class F>
void with_tile(std::int64_t m, std::int64_t n, std::int64_t layers, F f) {
  using Shapes = Tiles<T, TransposedA, TransposedB>;
  const TileGrid grid = tile_grid(m, n, layers, device_info().multiprocessors, Shapes::kLarge, Shapes::kSmall);
  if (grid.large)
    f.template operator()<typename Shapes::Large>(grid);
  else
    f.template operator()<typename Shapes::Small>(grid);
}

inline dim3 grid_of(const TileGrid& grid, std::int64_t layers) {
  return dim3(static_cast<unsigned>(grid.columns * grid.rows), static_cast<unsigned>(layers));
}

template <class T>
Slices weight_gradient_slices(std::int64_t rows, std::int64_t inputs, std::int64_t units, int pieces) {
  using Shapes = Tiles<T, true, false>;
  const int multiprocessors = device_info().multiprocessors;
  // As many as give all multiprocessors large tiles, if there are enough rows.
  const TileGrid grid = tile_grid(inputs, units, multiprocessors, multiprocessors, Shapes::kLarge, Shapes::kSmall);
  return slices(rows, grid.rows * grid.columns * pieces, multiprocessors);
}

template <class T>
void forward_product(const ForwardTask<T>& task, cudaStream_t stream) {
  if constexpr (kHopperHas<T>)
    if (try_hopper_forward(task, stream)) return;
  constexpr std::int64_t kSize = Chunk<T>::kSize;
  const std::int64_t columns = task.padded ? (task.units + kSize - 1) / kSize * kSize : task.units;
  const ForwardArguments<T> arguments{task, source<T>(task.x, task.rows, task.inputs),
                                      source<T>(task.weight, task.inputs, columns, task.weight_piece)};
  using Shapes = Tiles<T, false, false>;
  const auto start_on = [&]<class Of, bool Maxout>(const TileGrid& grid) {
    launch("forward", forward_kernel<T, Of, Maxout>, grid_of(grid, 1), Of::kThreads, shared_bytes<Of>(), stream,
           arguments);
  };
  if constexpr (requires { typename Shapes::Narrow; }) {
    using Tile = typename Shapes::Narrow;
    const std::int64_t down = (task.rows + Tile::kM - 1) / Tile::kM;
    if (task.pieces == 1 && task.units <= Tile::kN && down >= device_info().multiprocessors)
      return start_on.template operator()<Tile, false>({false, down, 1});
  }
  with_tile<T, false, false>(task.rows, task.units, 1, [&]<class Tile>(const TileGrid& grid) {
    const auto start = [&]<class Of, bool Maxout>() { start_on.template operator()<Of, Maxout>(grid); };
    if (task.pieces == 1)
      start.template operator()<Tile, false>();
    else if (grid.large)
      start.template operator()<typename Shapes::LargeOfMaxout, true>();
    else
      start.template operator()<typename Shapes::Small, true>();
  });
}

template <class T>
void input_gradient_product(const InputGradientTask<T>& task, cudaStream_t stream) {
  if constexpr (kHopperHas<T>)
    if (try_hopper_input_gradient(task, stream)) return;
  InputGradientArguments<T> arguments{task, source<T>(task.dz, task.rows, task.units),
                                      source<T>(task.weight, task.inputs, task.units, task.weight_piece)};
  arguments.dz.argmax = task.pieces > 1 ? task.argmax.data : nullptr;
  arguments.dz.argmax_stride = task.argmax.stride;
  with_tile<T, false, true>(task.rows, task.inputs, 1, [&]<class Tile>(const TileGrid& grid) {
    launch("input_gradient", input_gradient_kernel<T, Tile>, grid_of(grid, 1), Tile::kThreads, shared_bytes<Tile>(),
           stream, arguments);
  });
}

template <class T>
void weight_gradient_product(const WeightGradientTask<T>& task, cudaStream_t stream) {
  if constexpr (kHopperHas<T>)
    if (try_hopper_weight_gradient(task, stream)) return;
  WeightGradientArguments<T> arguments{task, source<T>(task.x, task.rows, task.inputs),
                                       source<T>(task.dz, task.rows, task.units)};
  arguments.dz.argmax = task.pieces > 1 ? task.argmax.data : nullptr;
  arguments.dz.argmax_stride = task.argmax.stride;
  const std::int64_t layers = std::int64_t{task.slices} * task.pieces;
  with_tile<T, true, false>(task.inputs, task.units, layers, [&]<class Tile>(const TileGrid& grid) {
    launch("weight_gradient", weight_gradient_kernel<T, Tile>, grid_of(grid, layers), Tile::kThreads,
           shared_bytes<Tile>(), stream, arguments);
  });
}

}  // namespace fnnfast::cuda
