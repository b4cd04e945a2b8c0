// A narrow network of 2-byte elements for many rows: a warp runs 32 rows through all layers, and their outputs never
// leave its registers. A lane's sums of two neighbouring products (16 x 8 each) are, rounded, its part of the left
// operand of the next layer's product over those 16 columns. All weights are copied to shared memory once; between
// layers nothing is stored, and no warp waits for another.
#pragma once

#include <algorithm>

#include "fused_layer.cuh"
#include "fused_plan.hpp"
#include "tile_registers.cuh"

namespace fnnfast::cuda {

template <class T>
struct FusedRegistersArguments {
  FusedTask<T> task;
  RegistersPlan plan;
  bool aligned_input, aligned_rows;  // whether the network's input, and every row of it, is aligned to 16 bytes

  __device__ __forceinline__ bool is_last(int layer) const { return layer + 1 == task.layers; }
  __device__ __forceinline__ T* weights(int layer) const {
    return reinterpret_cast<T*>(shared_memory()) + layer * RegistersPlan::kColumns * RegistersPlan::kPitch;
  }
  // Those of two neighbouring columns, twice: the initial values of a lane's four sums of a product.
  __device__ __forceinline__ Chunk<float>* biases(int layer) const {
    return reinterpret_cast<Chunk<float>*>(shared_memory() + plan.biases) + layer * RegistersPlan::kColumns / 2;
  }
};

// Steps of 32 columns, as in the tiles of a block: adding more zeros would turn a sum of -0 into 0.
__device__ __forceinline__ bool has_second_half(int columns) { return columns > RegistersPlan::kColumns / 2; }

// Whether the next layer, in such steps, reads columns beyond this layer's.
__device__ __forceinline__ bool has_edge(int columns) { return columns % (RegistersPlan::kColumns / 2) != 0; }

// Begins the copies of all weights to address(layer, k, column), with zeros around them, and writes the biases.
template <class T, class Address>
__device__ __forceinline__ void copy_parameters(const FusedRegistersArguments<T>& all, Address address) {
  constexpr int kColumns = RegistersPlan::kColumns, kSize = Chunk<T>::kSize;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (int i = 0; i < all.task.layers; ++i) {
    const FusedLayer<T>& layer = all.task.layer[i];
    const auto copy = [&]<int Elements>(int k, int column, int place) {
      const int valid = k < layer.inputs ? std::clamp(layer.units - column, 0, Elements) : 0;
      copy_async<Elements* static_cast<int>(sizeof(T))>(address(i, k, place),
                                                        layer.weight + (valid > 0 ? k * layer.row + column : 0),
                                                        valid * static_cast<int>(sizeof(T)));
    };
    for (int chunk = thread; chunk < kColumns * kColumns / kSize; chunk += threads) {
      const int k = chunk / (kColumns / kSize), column = chunk % (kColumns / kSize) * kSize;
      if (!all.is_last(i)) {
        copy.template operator()<kSize>(k, column, column);
      } else {
        for (int e = 0; e < kSize; e += 2) copy.template operator()<2>(k, column + e, last_place(column + e));
      }
    }
    for (int column = thread; column < kColumns; column += threads) {
      const int place = all.is_last(i) ? last_place(column) + column % 2 : column;
      float* const to = all.biases(i)[place / 2].at + place % 2;
      to[0] = to[2] = column < layer.units ? layer.bias[column] : 0.0f;
    }
  }
}

// A warp's next rows of the network's input, in shared memory. They have the layout of ldmatrix or, if not every row is
// aligned to 16 bytes, that of global memory, where the first of a warp's rows is aligned if the whole input is.
template <class T>
class NextInput {
 public:
  explicit __device__ __forceinline__ NextInput(const FusedRegistersArguments<T>& all)
      : all_(all),
        rows_(reinterpret_cast<T*>(shared_memory() + all.plan.inputs) +
              static_cast<int>(threadIdx.x) / 32 * RegistersPlan::kRows * kPitch) {}

  // Begins the copies of the rows from m on; zeros beyond the edges.
  __device__ __forceinline__ void copy(std::int64_t m) {
    const FusedTask<T>& task = all_.task;
    const int inputs = task.layer[0].inputs;
    const auto rest = static_cast<int>(std::min<std::int64_t>(task.rows - m, RegistersPlan::kRows));
    const T* const from = task.x.data + m * inputs;
    if (all_.aligned_rows) {
      constexpr int kChunks = RegistersPlan::kColumns / kSize;
      const int first = warp_lane() / kChunks, column = warp_lane() % kChunks * kSize;
      const int valid = std::clamp(inputs - column, 0, int{kSize});
      FNNFAST_UNROLL(8)
      for (int r = first; r < first + RegistersPlan::kRows; r += 32 / kChunks)
        copy_chunk(rows_ + r * kPitch + column, from + r * inputs + column, r < rest ? valid : 0);
    } else {
      for (int first = 0; first < RegistersPlan::kRows * inputs; first += 32 * kSize) {
        const int i = first + warp_lane() * kSize;
        const int valid = std::clamp(rest * inputs - i, 0, int{kSize});
        if (all_.aligned_input) {
          copy_chunk(rows_ + i, from + i, valid);
        } else {
          FNNFAST_UNROLL(8)
          for (int e = 0; e < kSize; ++e) rows_[i + e] = e < valid ? from[i + e] : narrow<T>(0.0f);
        }
      }
    }
  }
  __device__ __forceinline__ void read(RegisterRows<T>& rows) const {
    if (all_.aligned_rows)
      rows.load(rows_);
    else
      rows.gather(rows_, all_.task.layer[0].inputs);
  }

 private:
  static constexpr int kPitch = RegistersPlan::kPitch, kSize = Chunk<T>::kSize;

  __device__ __forceinline__ void copy_chunk(T* to, const T* from, int valid) const {
    copy_async<16>(to, valid > 0 ? from : all_.task.x.data, valid * static_cast<int>(sizeof(T)));
  }

  const FusedRegistersArguments<T>& all_;
  T* rows_;
};

// Rare cases are functions that are not inlined, with arguments by value, so that the kernel has the registers and
// instructions that ReLU needs.
//
// Elementwise activations. Zeros in columns beyond the layer's, since f(0) may not be 0.
__device__ FNNFAST_NOINLINE inline RegisterSums activated_sums(RegisterSums sums, ActivationOf<float> act,
                                                               LaneColumns lane, int columns) {
  Values<float, 8> parameter;
  FNNFAST_UNROLL(8)
  for (int e = 0; e < 8; ++e) {
    const int column = lane.at(e / 4, e % 2);
    parameter.at[e] = act.parameter != nullptr && column < columns ? act.parameter[column * act.parameter_step] : 0.0f;
  }
  FNNFAST_UNROLL(2)
  for (int i = 0; i < RegisterSums::kTiles; ++i) {
    Values<float, 8> z;
    FNNFAST_UNROLL(8)
    for (int e = 0; e < 8; ++e) z.at[e] = sums.at[i][e / 4][e % 4];
    z = activated<FastMath>(act.index, z, parameter);
    FNNFAST_UNROLL(8)
    for (int e = 0; e < 8; ++e) sums.at[i][e / 4][e % 4] = lane.at(e / 4, e % 2) < columns ? z.at[e] : 0.0f;
  }
  return sums;
}

// Sums before softmax.
struct WaitingSums {
  float* rows;
  int pitch, columns;
};

__device__ FNNFAST_NOINLINE inline void store_sums(RegisterSums sums, WaitingSums to, LaneColumns lane) {
  sums.for_each(lane, [&](int row, int column, float v) {
    if (column < to.columns) to.rows[row * to.pitch + column] = v;
  });
}

// In place, one row per lane.
__device__ FNNFAST_NOINLINE inline void softmax(WaitingSums sums) {
  __syncwarp();
  ElementwiseTask<float> task{};
  task.rows = 1;
  task.columns = sums.columns;
  task.in = task.out = sums.rows + warp_lane() * sums.pitch;
  device::softmax_forward<float>(task);
  __syncwarp();
}

// Zeros in columns beyond the layer's.
__device__ FNNFAST_NOINLINE inline RegisterSums load_sums(WaitingSums from, LaneColumns lane) {
  RegisterSums sums;
  sums.for_each(lane, [&](int row, int column, float& v) {
    v = column < from.columns ? from.rows[row * from.pitch + column] : 0.0f;
  });
  return sums;
}

// A layer in a warp: its rows' sums, 16 columns at a time.
template <class T, bool Any>
class RegisterLayer {
 public:
  static constexpr int kSteps = RegisterRows<T>::kSteps;

  __device__ __forceinline__ RegisterLayer(const FusedRegistersArguments<T>& all, int i)
      : all_(all),
        layer_(all.task.layer[i]),
        last_(all.is_last(i)),
        weights_(all.weights(i) + warp_lane() % 16 * RegistersPlan::kPitch + warp_lane() / 16 * 8),
        biases_(all.biases(i)) {}

  // The outputs go to registers. Not for softmax.
  __device__ __forceinline__ void run(const RegisterRows<T>& from, RegisterRows<T>& to) const {
    FNNFAST_UNROLL(2)
    for (int half = 0; half < 2; ++half) {
      const bool needed = half == 0 || has_second_half(layer_.units);  // by the next layer
      FNNFAST_UNROLL(2)
      for (int s = half * kSteps / 2; s < (half + 1) * kSteps / 2; ++s) {
        if (needed)
          sums_of(from, s).round_to(to, s, is_relu());
        else
          to.clear(s);  // so that the compiler need not keep the old values
      }
    }
    if (has_edge(layer_.units)) to.clear_beyond(layer_.units);
  }

  // The last layer: the outputs go to y, from row m on.
  __device__ __forceinline__ void run(const RegisterRows<T>& from, std::int64_t m) const {
    for (int s = 0; 16 * s < layer_.units; ++s) {
      const RegisterSums sums = sums_of(from, s);
      if (is_rowwise())
        store_sums(sums, waiting(), lane(s));
      else
        store(sums, s, m);
    }
    if (!is_rowwise()) return;
    softmax(waiting());
    for (int s = 0; 16 * s < layer_.units; ++s) store(load_sums(waiting(), lane(s)), s, m);
    __syncwarp();
  }

  // Rounds sums of the last layer and stores them to y.
  __device__ __forceinline__ void store(const RegisterSums& sums, int s, std::int64_t m) const {
    const FusedTask<T>& task = all_.task;
    RegisterRows<T> rounded;
    sums.round_to(rounded, 0, is_relu());
    const int columns = layer_.units, column = lane(s).first;
    const bool whole = columns % 4 == 0 && task.y.stride % 4 == 0 &&
                       reinterpret_cast<std::uintptr_t>(task.y.data) % (4 * sizeof(T)) == 0;
    const std::int64_t first_row = m + warp_lane() / 4;
    T* const first = task.y.data + first_row * task.y.stride + column;
    FNNFAST_UNROLL(4)
    for (int i = 0; i < 2 * RegisterRows<T>::kTiles; ++i) {
      if (first_row + 8 * i >= task.rows || column >= columns) continue;
      T* const to = first + 8 * i * task.y.stride;
      const std::uint32_t low = rounded.at[i / 2][0][i % 2], high = rounded.at[i / 2][0][i % 2 + 2];
      if (whole) {
        *reinterpret_cast<uint2*>(to) = make_uint2(low, high);
      } else {
        FNNFAST_UNROLL(4)
        for (int e = 0; e < 4; ++e)
          if (column + e < columns) to[e] = element_of_pair<T>(e < 2 ? low : high, e % 2);
      }
    }
  }

 private:
  __device__ __forceinline__ bool is_relu() const { return layer_.activation == index_of<Relu>(); }
  __device__ __forceinline__ bool is_rowwise() const { return Any && layer_.activation == index_of<Softmax>(); }
  __device__ __forceinline__ LaneColumns lane(int s) const { return {16 * s, last_}; }
  __device__ __forceinline__ WaitingSums waiting() const {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    return {
        reinterpret_cast<float*>(shared_memory() + all_.plan.sums) + warp * RegistersPlan::kRows * all_.plan.sums_pitch,
        all_.plan.sums_pitch, layer_.units};
  }

  // Products and activations, without softmax and ReLU.
  __device__ __forceinline__ RegisterSums sums_of(const RegisterRows<T>& from, int s) const {
    std::uint32_t b[kSteps][4];
    FNNFAST_UNROLL(4)
    for (int k = 0; k < kSteps; ++k) load_matrix_transposed(b[k], weights_ + 16 * k * RegistersPlan::kPitch + 16 * s);
    RegisterSums sums;
    sums.begin(biases_ + 8 * s);
    FNNFAST_UNROLL(4)
    for (int k = 0; k < kSteps; ++k) {
      if (k == kSteps / 2 && !has_second_half(layer_.inputs)) break;
      sums.multiply(from, k, b[k]);
    }
    if (Any && !is_relu() && !is_rowwise() && layer_.activation != kIdentity)
      sums = activated_sums(sums, {layer_.activation, layer_.parameter, layer_.parameter_step}, lane(s), layer_.units);
    return sums;
  }

  const FusedRegistersArguments<T>& all_;
  const FusedLayer<T>& layer_;
  bool last_;
  const T* weights_;
  const Chunk<float>* biases_;
};

// One block per multiprocessor. The rows are distributed over all warps. Any is false if no layer has another
// activation than ReLU and the identity: function calls cost registers, and so warps.
template <class T, bool Any>
__global__ void __launch_bounds__(RegistersPlan::most_warps(Any) * 32, 1)
    fused_registers_kernel(const __grid_constant__ FusedRegistersArguments<T> arguments) {
  const FusedTask<T>& task = arguments.task;
  const std::int64_t step = std::int64_t{gridDim.x} * (blockDim.x / 32) * RegistersPlan::kRows;
  // Uniform over the lanes, written so that the compiler knows it.
  const unsigned warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
  std::int64_t m = (std::int64_t{warp} * gridDim.x + blockIdx.x) * RegistersPlan::kRows;
  NextInput<T> input(arguments);
  copy_parameters(arguments, [&](int layer, int k, int column) {
    return arguments.weights(layer) + k * RegistersPlan::kPitch + column;
  });
  copy_commit();
  if (m < task.rows) input.copy(m);
  copy_commit();
  copy_wait<1>();
  __syncthreads();  // all parameters are complete
  for (; m < task.rows; m += step) {
    RegisterRows<T> rows, next;
    copy_wait<0>();
    __syncwarp();  // the copies of all lanes are complete
    input.read(rows);
    __syncwarp();  // all lanes have read what is overwritten next
    if (m + step < task.rows) input.copy(m + step);
    copy_commit();
    const int last = task.layers - 1;
    int i = 0;
    if (last % 2 != 0) {
      RegisterLayer<T, Any>(arguments, i++).run(rows, next);
      rows = next;
    }
    for (; i < last; i += 2) {  // two at a time, so that outputs need not be moved to the inputs' registers
      RegisterLayer<T, Any>(arguments, i).run(rows, next);
      RegisterLayer<T, Any>(arguments, i + 1).run(next, rows);
    }
    RegisterLayer<T, Any>(arguments, last).run(rows, m);
  }
}

}  // namespace fnnfast::cuda
