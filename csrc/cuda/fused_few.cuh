// A whole network for a few rows, where the time is latency: of a launch per layer, of reading weights, of sums.
//
// The units of every layer are distributed over warps. The weights of all layers are copied to shared memory at the
// very start. A single block keeps the outputs in its shared memory. With too many weights for that, several blocks
// synchronize after every layer: those of a cluster write each output to the shared memory of all, others exchange
// outputs through the workspace.
#pragma once

#include "epilogues.cuh"
#include "fused_layer.cuh"
#include "fused_plan.hpp"

namespace fnnfast::cuda {

template <class T>
struct FusedFewArguments {
  FusedTask<T> task;
  FusedShape shape;
  FewPlan plan;
  Source<T> x;
};

inline constexpr int kMostFewThreads = 512;

template <class T, class Tile, bool Cluster>
class FewRows {
 public:
  using S = typename Tile::Value;

  explicit __device__ __forceinline__ FewRows(const FusedFewArguments<T>& arguments)
      : all_(arguments),
        blocks_(static_cast<int>(gridDim.x)),
        warp_(static_cast<int>(threadIdx.x) / 32),
        warps_(static_cast<int>(blockDim.x) / 32) {}

  __device__ __forceinline__ void run() {
    if constexpr (Cluster) cluster_begin();
    copy_operand(all_.x);
    copy_weights(0, 0);
    copy_commit();
    // The weights of the other layers are copied by the warps that have no part in the first layer, if there are any.
    const int idle = first_idle();
    if (idle == warps_) copy_further_weights(0);
    copy_commit();
    Tile first;  // the warp's first tile of a layer: its biases are loaded while it waits for other blocks
    begin_group(first, 0, 0, warp_);
    for (int i = 0; i < all_.task.layers; ++i) {
      const bool last = i + 1 == all_.task.layers, rowwise = all_.shape.layer[i].rowwise;
      fetch_operand(i);
      if (Cluster && i == 0) cluster_wait();  // all blocks have begun, so their shared memory may be written
      if (i == 0 && warp_ >= idle) copy_further_weights(idle);
      run_layer(i, first);
      if (rowwise) {
        meet();
        finish_rows(i);
      }
      if (last) break;
      begin_group(first, i + 1, 0, warp_);
      meet();
    }
    copy_wait<0>();  // left over if the network has one layer
  }

 private:
  // Whether this block's shared memory holds the outputs of all blocks.
  __device__ __forceinline__ bool has_all() const { return Cluster || blocks_ == 1; }
  __device__ __forceinline__ unsigned char* home() const {
    return has_all() ? shared_memory() : static_cast<unsigned char*>(all_.task.workspace);
  }
  __device__ __forceinline__ T* shared(std::size_t place) const {
    return reinterpret_cast<T*>(shared_memory() + place);
  }
  __device__ __forceinline__ S* sums() const { return reinterpret_cast<S*>(home() + all_.plan.sums); }

  // Synchronizes all blocks: all threads see what all have written.
  __device__ __forceinline__ void meet() const {
    if constexpr (Cluster)
      cluster_arrive(), cluster_wait();
    else if (blocks_ == 1)
      __syncthreads();
    else
      grid_barrier(static_cast<unsigned*>(all_.task.workspace));
  }

  // The first unit of the block's own group number `own`; at or beyond the layer's end if there is no such group.
  __device__ __forceinline__ int column_of(int own) const {
    return (own * blocks_ + static_cast<int>(blockIdx.x)) * Tile::kN;
  }

  // The first warp that has no units of the first layer, or the number of warps.
  __device__ __forceinline__ int first_idle() const {
    int own = 0;
    while (own < warps_ && column_of(own) < all_.task.layer[0].units) ++own;
    return own;
  }

  __device__ __forceinline__ void copy_further_weights(int first) const {
    FNNFAST_ROLLED
    for (int i = 1; i < all_.task.layers; ++i) copy_weights(i, first);
    copy_commit();
  }

  // The warps from `first` on copy together, or slices in turn, whichever warp multiplies them.
  __device__ __forceinline__ void copy_weights(int i, int first) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    T* stage = shared(all_.plan.weight[i]);
    [[maybe_unused]] int turn = first;
    FNNFAST_ROLLED
    for (int own = 0; column_of(own) < layer.units; ++own) {
      FNNFAST_ROLLED
      for (int piece = 0; piece < layer.pieces; ++piece) {
        const Source<T> weights = weights_of(layer, piece);
        if constexpr (Tile::kM == 1) {
          const int whole = whole_steps<Tile>(layer.inputs);
          Tile::copy_columns(stage, weights, whole, column_of(own), 32 * first);
          stage += whole * Tile::kN;
        } else {
          for (int k = 0; k < layer.inputs; k += Tile::kK, stage += Tile::kElementsB) {
            if (turn == warp_) Tile::copy_b(stage, weights, k, column_of(own));
            if (++turn == warps_) turn = first;
          }
        }
      }
    }
  }

  // Step by step over k, each step by one warp.
  __device__ __forceinline__ void copy_operand(const Source<T>& from) const {
    if constexpr (Tile::kM == 1) {
      Tile::copy_row(shared(all_.plan.inputs), from, whole_steps<Tile>(static_cast<int>(from.columns)));
    } else {
      for (int step = warp_; step * Tile::kK < from.columns; step += warps_)
        Tile::copy_a(shared(all_.plan.inputs) + step * Tile::kElementsA, from, 0, std::int64_t{step} * Tile::kK);
    }
  }

  // Waits until the layer's inputs are in shared memory.
  __device__ __forceinline__ void fetch_operand(int i) const {
    if (i == 0) {
      copy_wait<1>();
    } else {
      if (!has_all()) {
        const int from = all_.task.layer[i].from;
        copy_operand(from == kNetworkInput ? all_.x : outputs_of(from));
        copy_commit();
      }
      copy_wait<0>();
    }
    __syncthreads();
  }

  // The outputs of a layer, in the workspace.
  __device__ __forceinline__ Source<T> outputs_of(int i) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    const T* const data = reinterpret_cast<const T*>(home() + all_.plan.slot[layer.slot]);
    return {data, all_.plan.slot_pitch[layer.slot], all_.task.rows, layer.units, true, nullptr, 0, 0};
  }
  __device__ __forceinline__ Operand<T> slot_of(int i) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    return {reinterpret_cast<T*>(home() + all_.plan.slot[layer.slot]),
            has_all() ? Tile::pitch_a(whole_steps<Tile>(layer.units)) : all_.plan.slot_pitch[layer.slot]};
  }
  // An element of a slot.
  __device__ __forceinline__ T& element(const Operand<T>& slot, int r, int c) const {
    return slot.data[has_all() ? Tile::place_a(r, c, slot.pitch) : r * slot.pitch + c];
  }

  __device__ __forceinline__ void begin_group(Tile& tile, int i, int piece, int own) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    begin(tile, layer.bias + piece * layer.row, column_of(own), layer.units);
  }

  // tile: initialized for the first group of units.
  __device__ __forceinline__ void run_layer(int i, Tile& tile) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    const bool copied = !has_all() || layer.from == kNetworkInput;
    const Operand<T> from =
        copied ? Operand<T>{shared(all_.plan.inputs), Tile::pitch_a(Tile::kK)} : slot_of(layer.from);
    [[maybe_unused]] const int step = copied ? Tile::kElementsA : Tile::place_a(0, Tile::kK, from.pitch);
    const int steps = (layer.inputs + Tile::kK - 1) / Tile::kK;
    for (int own = warp_; column_of(own) < layer.units; own += warps_) {
      const int column = column_of(own);
      const T* weights = shared(all_.plan.weight[i]) + own * layer.pieces * steps * Tile::kElementsB;
      largest<true>(tile, layer.pieces, [&](int piece) {
        if (piece > 0 || own != warp_) begin_group(tile, i, piece, own);
        if constexpr (Tile::kM == 1) {
          tile.multiply_steps(from.data, weights, steps);
        } else {
          for (int k = 0; k < steps; ++k)
            tile.multiply(from.data + k * step, from.pitch, weights + k * Tile::kElementsB);
        }
        weights += steps * Tile::kElementsB;
      });
      activate(tile, ActivationOf<S>{layer.activation, layer.parameter, layer.parameter_step}, column, layer.units);
      tile.for_each([&](int r, int c, S& v) {
        if (r < all_.task.rows && column + c < layer.units) put(i, r, column + c, v);
      });
    }
    if (has_all() && i + 1 < all_.task.layers) clear_beyond<Tile>(slot_of(i), layer.units);
  }

  // Stores an output, or the input of softmax.
  __device__ __forceinline__ void put(int i, int r, int c, S v) const {
    const FusedLayer<T>& layer = all_.task.layer[i];
    if (layer.add == kNetworkInput)
      v += widen<S>(all_.x.data[r * all_.x.stride + c]);
    else if (layer.add != kNoLayer)
      v += widen<S>(element(slot_of(layer.add), r, c));
    if (all_.shape.layer[i].rowwise)
      keep(sums()[r * all_.plan.sums_pitch + c], v);
    else if (i + 1 == all_.task.layers)
      put_last(r, c, v);
    else
      keep(element(slot_of(i), r, c), narrow<T>(v));
  }
  __device__ __forceinline__ void put_last(int r, int c, S v) const {
    all_.task.y.data[r * all_.task.y.stride + c] = narrow<Stored<T>>(v);
  }
  // Writes to the shared memory of all blocks, or to the workspace.
  template <class V>
  __device__ __forceinline__ void keep(V& place, V v) const {
    if constexpr (Cluster) {
      FNNFAST_UNROLL(4)
      for (int block = 0; block < blocks_; ++block) *in_block(&place, block) = v;
    } else {
      place = v;
    }
  }

  // Softmax, one row per thread. The rows are distributed over the blocks; in a cluster, each block computes all of
  // them.
  __device__ __forceinline__ void finish_rows(int i) const {
    const int columns = all_.task.layer[i].units;
    const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
    const int row = Cluster ? thread : thread * blocks_ + block;
    if (row >= all_.task.rows) return;
    S* const values = sums() + row * all_.plan.sums_pitch;
    ElementwiseTask<S> task{};
    task.rows = 1;
    task.columns = columns;
    task.in = task.out = values;
    device::softmax_forward<S>(task);
    const bool last = i + 1 == all_.task.layers;
    if (Cluster && last && block != 0) return;
    for (int c = 0; c < columns; ++c) {
      if (last)
        put_last(row, c, values[c]);
      else
        element(slot_of(i), row, c) = narrow<T>(values[c]);
    }
  }

  const FusedFewArguments<T>& all_;
  const int blocks_, warp_, warps_;
};

template <class T, class Tile, bool Cluster>
__global__ void __launch_bounds__(kMostFewThreads, 1)
    fused_few_kernel(const __grid_constant__ FusedFewArguments<T> arguments) {
  FewRows<T, Tile, Cluster>(arguments).run();
}

}  // namespace fnnfast::cuda
