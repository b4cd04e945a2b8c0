// A whole network for many rows: a block runs a block of rows through all layers, then the next one. Outputs of layers
// stay in shared memory, in the layout of the operand of the product that reads them. Weights come through a ring of
// slices over k, in the order in which they are multiplied, some slices ahead, also across layers and blocks of rows,
// so that the first slices of the next layer arrive during the activations of this one. If the ring has a stage for
// each slice, the weights stay there, and only the network's input is copied.
#pragma once

#include "epilogues.cuh"
#include "fused_layer.cuh"
#include "fused_plan.hpp"

namespace fnnfast::cuda {

template <class T>
struct FusedRowsArguments {
  FusedTask<T> task;
  FusedShape shape;
  RowsPlan plan;
  Source<T> x;
};

// The slices of weights and, for layers that read it, of the network's input, in order.
template <class T, class Tile>
class SliceRing {
 public:
  explicit __device__ __forceinline__ SliceRing(const FusedRowsArguments<T>& arguments)
      : all_(arguments), m_(std::int64_t{blockIdx.x} * Tile::kM) {
    for (int i = 0; i < kAhead; ++i) copy_next();
  }

  struct Slice {
    const T* inputs;  // if the layer reads the network's input
    const T* weights;
  };
  // The next slice. All threads call it, after their last use of the previous slice.
  __device__ __forceinline__ Slice next(bool of_input) {
    const bool came = of_input || !(all_.plan.resident && is_second_);
    if (came || copies_next()) {
      copy_wait<kAhead - 1>();
      __syncthreads();  // all threads' copies of this slice are complete, and the previous stages are free
    }
    copy_next();
    const Slice slice{inputs(input_stage_), weights(stage_)};
    input_stage_ = (input_stage_ + 1) % Tile::kStages;
    if (++stage_ == all_.plan.stages) stage_ = 0, is_second_ = true;
    return slice;
  }

 private:
  static constexpr int kAhead = Tile::kStages - 1;

  __device__ __forceinline__ T* inputs(int stage) const {
    return reinterpret_cast<T*>(shared_memory() + all_.plan.inputs) + stage * Tile::kElementsA;
  }
  __device__ __forceinline__ T* weights(int stage) const {
    return reinterpret_cast<T*>(shared_memory()) + stage * Tile::kElementsB;
  }

  // The copies for the next slice.
  __device__ __forceinline__ bool is_over() const { return m_ >= all_.task.rows; }
  __device__ __forceinline__ bool copies_input() const { return all_.task.layer[layer_].from == kNetworkInput; }
  __device__ __forceinline__ bool copies_weights() const { return !(all_.plan.resident && next_is_second_); }
  __device__ __forceinline__ bool copies_next() const { return !is_over() && (copies_input() || copies_weights()); }

  __device__ __forceinline__ void copy_next() {
    if (!is_over()) {
      const FusedLayer<T>& layer = all_.task.layer[layer_];
      if (copies_input()) Tile::copy_a(inputs(next_input_stage_), all_.x, m_, k_);
      if (copies_weights()) Tile::copy_b(weights(next_stage_), weights_of(layer, piece_), k_, n_);
      next_input_stage_ = (next_input_stage_ + 1) % Tile::kStages;
      if (++next_stage_ == all_.plan.stages) next_stage_ = 0, next_is_second_ = true;
      advance(layer);
    }
    copy_commit();  // also an empty group, so that there is one per slice
  }

  // Over k, pieces, columns, layers, blocks of rows, like the kernel's loops.
  __device__ __forceinline__ void advance(const FusedLayer<T>& layer) {
    if ((k_ += Tile::kK) < layer.inputs) return;
    k_ = 0;
    if (++piece_ < layer.pieces) return;
    piece_ = 0;
    if ((n_ += Tile::kN) < layer.units) return;
    n_ = 0;
    if (++layer_ < all_.task.layers) return;
    layer_ = 0;
    m_ += std::int64_t{gridDim.x} * Tile::kM;
  }

  const FusedRowsArguments<T>& all_;
  int stage_ = 0, input_stage_ = 0;            // of the next slice to be multiplied
  bool is_second_ = false;                     // the first turn of the ring is over
  int next_stage_ = 0, next_input_stage_ = 0;  // of the next slice to be copied
  bool next_is_second_ = false;
  int layer_ = 0, n_ = 0, piece_ = 0, k_ = 0;
  std::int64_t m_;
};

// The outputs of a layer.
template <class T, class Tile>
__device__ __forceinline__ Operand<T> outputs_in_slot(const FusedRowsArguments<T>& all, int layer) {
  const FusedLayer<T>& of = all.task.layer[layer];
  return {reinterpret_cast<T*>(shared_memory() + all.plan.slot[of.slot]), Tile::pitch_a(whole_steps<Tile>(of.units))};
}

// Adds another layer's outputs, or the network's input.
template <class T, class Tile>
__device__ __forceinline__ void add_to(Tile& tile, const FusedRowsArguments<T>& all, int added, std::int64_t m, int n,
                                       int columns) {
  using S = typename Tile::Value;
  if (added == kNetworkInput) {
    tile.for_each([&](int r, int c, S& v) {
      if (m + r < all.task.rows && n + c < columns) v += widen<S>(all.x.data[(m + r) * all.x.stride + n + c]);
    });
  } else if (added != kNoLayer) {
    const Operand<T> from = outputs_in_slot<T, Tile>(all, added);
    tile.for_each([&](int r, int c, S& v) {
      if (n + c < columns) v += widen<S>(from.data[Tile::place_a(r, n + c, from.pitch)]);
    });
  }
}

// Products, activation and addition of a layer for the rows from m on. Stores to its slot or, before softmax, to the
// sums.
template <bool Maxout, class T, class Tile>
__device__ __forceinline__ void run_layer(const FusedRowsArguments<T>& all, SliceRing<T, Tile>& ring, int i,
                                          std::int64_t m, bool rowwise, const Finished<typename Tile::Value>& sums) {
  using S = typename Tile::Value;
  const FusedLayer<T>& layer = all.task.layer[i];
  const bool of_input = layer.from == kNetworkInput;
  const Operand<T> from =
      of_input ? Operand<T>{nullptr, Tile::pitch_a(Tile::kK)} : outputs_in_slot<T, Tile>(all, layer.from);
  const Operand<T> to = outputs_in_slot<T, Tile>(all, i);
  for (int n = 0; n < layer.units; n += Tile::kN) {
    Tile tile;
    largest<Maxout>(tile, layer.pieces, [&](int piece) {
      begin(tile, layer.bias + piece * layer.row, n, layer.units);
      for (int k = 0; k < layer.inputs; k += Tile::kK) {
        const auto slice = ring.next(of_input);
        tile.multiply(of_input ? slice.inputs : from.data + Tile::place_a(0, k, from.pitch), from.pitch, slice.weights);
      }
    });
    activate(tile, ActivationOf<S>{layer.activation, layer.parameter, layer.parameter_step}, n, layer.units);
    add_to<T>(tile, all, layer.add, m, n, layer.units);
    if (rowwise)
      tile.for_each([&](int r, int c, S& v) {
        if (n + c < layer.units) sums.values[r * sums.pitch + n + c] = v;
      });
    else
      tile.for_each([&](int r, int c, S& v) {
        if (n + c < layer.units) to.data[Tile::place_a(r, n + c, to.pitch)] = narrow<T>(v);
      });
  }
}

// Copies a block of rows of the last layer's outputs from its slot to y.
template <class T, class Tile>
__device__ __forceinline__ void store_slot(const Operand<T>& from, const Finished<typename Tile::Value>& shape,
                                           const Matrix<Stored<T>>& y) {
  if constexpr (Tile::kRowsOutside) {
    Finished<T> rows{from.data, from.pitch, shape.rows, shape.columns, shape.row, shape.column};
    store(rows, Matrix<T>{elements<T>(y.data), y.stride});
  } else {
    for_elements(shape, [&](int r, int c) {
      y.data[(shape.row + r) * y.stride + c] = widen<Stored<T>>(from.data[Tile::place_a(r, c, from.pitch)]);
    });
    __syncthreads();
  }
}

// Shared memory limits a multiprocessor to two or three blocks, so each may use many registers.
template <class T, class Tile, bool Maxout>
__global__ void __launch_bounds__(Tile::kThreads, 2)
    fused_rows_kernel(const __grid_constant__ FusedRowsArguments<T> arguments) {
  using S = typename Tile::Value;
  const auto& [task, shape, plan, x] = arguments;
  SliceRing<T, Tile> ring(arguments);
  for (std::int64_t m = std::int64_t{blockIdx.x} * Tile::kM; m < task.rows; m += std::int64_t{gridDim.x} * Tile::kM) {
    Finished<S> sums{reinterpret_cast<S*>(shared_memory() + plan.sums), plan.sums_pitch, 0, 0, m, 0};
    sums.rows = task.rows - m < Tile::kM ? static_cast<int>(task.rows - m) : Tile::kM;
    for (int i = 0; i < task.layers; ++i) {
      const bool last = i + 1 == task.layers, rowwise = shape.layer[i].rowwise;
      sums.columns = task.layer[i].units;
      run_layer<Maxout>(arguments, ring, i, m, rowwise, sums);
      const Operand<T> to = outputs_in_slot<T, Tile>(arguments, i);
      if (!last) clear_beyond<Tile>(to, sums.columns);
      __syncthreads();  // the outputs are complete, and the inputs of this layer may be overwritten
      if (rowwise) softmax(sums);
      if (rowwise && last) {
        store(sums, Matrix<Stored<T>>{task.y.data, task.y.stride});
      } else if (rowwise) {
        for_elements(sums, [&](int r, int c) { to.data[Tile::place_a(r, c, to.pitch)] = narrow<T>(sums.at(r, c)); });
        __syncthreads();
      } else if (last) {
        store_slot<T, Tile>(to, sums, task.y);
      }
    }
  }
  copy_wait<0>();
}

}  // namespace fnnfast::cuda
