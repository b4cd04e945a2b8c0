// A whole network for many rows: a block takes a block of rows through all layers, then the next one. Outputs of
// layers stay in shared memory, laid out as the operand of the product that reads them. Weights come through a ring of
// slices over k, in the order in which they are multiplied, copied some slices ahead: across layers and blocks of rows,
// so that the first slices of what comes arrive during the activations of what is. If the ring has a stage for each
// slice, they stay there, and what is left of the copies is the network's input.
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

// The slices of weights and, for layers that read the network's input, of it, in order.
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
  // The slice after the last one; all threads ask for it, and are done with the last one.
  __device__ __forceinline__ Slice next(bool of_input) {
    const bool came = of_input || !(all_.plan.resident && is_second_);
    if (came || copies_next()) {
      copy_wait<kAhead - 1>();
      __syncthreads();  // all threads' copies of this slice are there, and the stages of the one before are free
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

  // What the next slice needs of memory.
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
    copy_commit();  // an empty group, too, so that counting groups counts slices
  }

  // Over k, pieces, columns, layers, blocks of rows: as the kernel's loops.
  __device__ __forceinline__ void advance(const FusedLayer<T>& layer) {
    if ((k_ += Tile::kK) < layer.inputs) return;
    k_ = 0;
    if (++piece_ < layer.pieces) return;
    piece_ = 0;
    if ((n_ += Tile::kN) < layer.outputs) return;
    n_ = 0;
    if (++layer_ < all_.task.layers) return;
    layer_ = 0;
    m_ += std::int64_t{gridDim.x} * Tile::kM;
  }

  const FusedRowsArguments<T>& all_;
  int stage_ = 0, input_stage_ = 0;            // of the next slice to be multiplied
  bool is_second_ = false;                     // the ring's first turn is over
  int next_stage_ = 0, next_input_stage_ = 0;  // of the next slice to be copied
  bool next_is_second_ = false;
  int layer_ = 0, n_ = 0, piece_ = 0, k_ = 0;
  std::int64_t m_;
};

// Where a layer's outputs lie.
template <class T, class Tile>
__device__ __forceinline__ Operand<T> outputs_in_slot(const FusedRowsArguments<T>& all, int layer) {
  const FusedLayer<T>& of = all.task.layer[layer];
  return {reinterpret_cast<T*>(shared_memory() + all.plan.slot[of.slot]), Tile::pitch_a(whole_steps<Tile>(of.outputs))};
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

// Products, activation and addition of a layer for the rows from m on: to its slot or, before softmax, to the sums.
template <bool Maxout, class T, class Tile>
__device__ __forceinline__ void run_layer(const FusedRowsArguments<T>& all, SliceRing<T, Tile>& ring, int i,
                                          std::int64_t m, bool rowwise, const Finished<typename Tile::Value>& sums) {
  using S = typename Tile::Value;
  const FusedLayer<T>& layer = all.task.layer[i];
  const bool of_input = layer.from == kNetworkInput;
  const Operand<T> from =
      of_input ? Operand<T>{nullptr, Tile::pitch_a(Tile::kK)} : outputs_in_slot<T, Tile>(all, layer.from);
  const Operand<T> to = outputs_in_slot<T, Tile>(all, i);
  for (int n = 0; n < layer.outputs; n += Tile::kN) {
    Tile tile;
    largest<Maxout>(tile, layer.pieces, [&](int piece) {
      begin(tile, layer.bias + piece * layer.row, n, layer.outputs);
      for (int k = 0; k < layer.inputs; k += Tile::kK) {
        const auto slice = ring.next(of_input);
        tile.multiply(of_input ? slice.inputs : from.data + Tile::place_a(0, k, from.pitch), from.pitch, slice.weights);
      }
    });
    activate(tile, ActivationOf<S>{layer.activation, layer.parameter, layer.parameter_step}, n, layer.outputs);
    add_to<T>(tile, all, layer.add, m, n, layer.outputs);
    if (rowwise)
      tile.for_each([&](int r, int c, S& v) {
        if (n + c < layer.outputs) sums.values[r * sums.pitch + n + c] = v;
      });
    else
      tile.for_each([&](int r, int c, S& v) {
        if (n + c < layer.outputs) to.data[Tile::place_a(r, n + c, to.pitch)] = narrow<T>(v);
      });
  }
}

// A block of rows of the last layer's outputs, from its slot to y.
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

// Shared memory leaves room for two or three blocks on a multiprocessor: their registers are there to be used.
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
      sums.columns = task.layer[i].outputs;
      run_layer<Maxout>(arguments, ring, i, m, rowwise, sums);
      const Operand<T> to = outputs_in_slot<T, Tile>(arguments, i);
      if (!last) clear_beyond<Tile>(to, sums.columns);
      __syncthreads();  // the outputs are there, and what this layer read may be written over
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
