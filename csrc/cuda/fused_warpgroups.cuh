// fused_registers_kernel with Hopper's products, for layers of ReLU and the identity. The tensor cores read the weights
// from shared memory (with mma.sync, ldmatrix is as busy as the tensor cores), and all products of a layer are in
// flight at once.
#pragma once

#include <cstdlib>
#include <string_view>

#include "fused_registers.cuh"
#include "instructions_wgmma.cuh"
#include "launch.hpp"

namespace fnnfast::cuda {

#if FNNFAST_HAS_WGMMA

// The weights begin at a multiple of 1024 bytes. A layer's place, kColumns rows of kPitch elements, is such a multiple,
// and larger than its kColumns rows of kColumns elements, so that there is room for the alignment of the first layer.
template <class T>
__device__ __forceinline__ T* swizzled_weights(int layer) {
  constexpr int kBytes = RegistersPlan::kColumns * RegistersPlan::kPitch * static_cast<int>(sizeof(T));
  static_assert(kBytes % 1024 == 0 && kBytes - RegistersPlan::kColumns * RegistersPlan::kColumns * sizeof(T) >= 1024);
  const unsigned before = -shared_address(shared_memory()) % 1024;
  return reinterpret_cast<T*>(shared_memory() + before + layer * kBytes);
}

// A layer in a warpgroup, each warp with its own rows.
template <class T>
class WarpgroupLayer {
 public:
  __device__ __forceinline__ WarpgroupLayer(const FusedRegistersArguments<T>& all, int i)
      : layer_(all.task.layer[i]),
        relu_(layer_.activation == index_of<Relu>()),
        all_inputs_(has_second_half(layer_.inputs)),
        biases_(all.biases(i)),
        weights_(swizzled_operand(swizzled_weights<T>(i))) {}

  // The outputs replace the inputs.
  __device__ __forceinline__ void run(RegisterRows<T>& rows) const {
    RegisterSums sums[RegisterRows<T>::kSteps];
    begin(rows, sums);
    FNNFAST_UNROLL(2)
    for (int tile = 0; tile < RegisterRows<T>::kTiles; ++tile) {
      wait(sums, tile);
      FNNFAST_UNROLL(4)
      for (int s = 0; s < RegisterRows<T>::kSteps; ++s) {
        sums[s].round_tile(rows, tile, s, relu_);
        FNNFAST_UNROLL(4)
        for (int e = 0; e < 4; ++e) hold(rows.at[tile][s][e]);  // while the other rows' products are in flight
      }
    }
    if (has_edge(layer_.units)) rows.clear_beyond(layer_.units);
  }

  // The last layer: 16 Sums columns, unrounded.
  template <int Sums>
  __device__ __forceinline__ void run(const RegisterRows<T>& rows, RegisterSums (&sums)[Sums]) const {
    begin(rows, sums);
    FNNFAST_UNROLL(2)
    for (int tile = 0; tile < RegisterRows<T>::kTiles; ++tile) wait(sums, tile);
  }

 private:
  // Begins all products.
  template <int Sums>
  __device__ __forceinline__ void begin(const RegisterRows<T>& rows, RegisterSums (&sums)[Sums]) const {
    FNNFAST_UNROLL(4)
    for (int s = 0; s < Sums; ++s) sums[s].begin(biases_ + 8 * s);
    FNNFAST_UNROLL(2)
    for (int tile = 0; tile < RegisterRows<T>::kTiles; ++tile) {
      FNNFAST_UNROLL(4)
      for (int s = 0; s < Sums; ++s) hold_sums(sums[s], tile);
    }
    if (all_inputs_)
      multiply<RegisterRows<T>::kSteps>(rows, sums);
    else
      multiply<RegisterRows<T>::kSteps / 2>(rows, sums);
  }
  template <int Steps, int Sums>
  __device__ __forceinline__ void multiply(const RegisterRows<T>& rows, RegisterSums (&sums)[Sums]) const {
    constexpr std::uint64_t kStep = 16 * 128 / 16;  // in units of operands' addresses
    products_begin();
    FNNFAST_UNROLL(2)
    for (int tile = 0; tile < RegisterRows<T>::kTiles; ++tile) {
      FNNFAST_UNROLL(4)
      for (int k = 0; k < Steps; ++k) multiply_async<T>(sums, rows, tile, k, weights_ + kStep * k);
      products_commit();
    }
  }
  // Waits for the products of the first 16 rows, or for all.
  template <int Sums>
  __device__ __forceinline__ void wait(RegisterSums (&sums)[Sums], int tile) const {
    static_assert(RegisterRows<T>::kTiles == 2);
    if (tile == 0)
      products_wait<1>();
    else
      products_wait<0>();
    FNNFAST_UNROLL(4)
    for (int s = 0; s < Sums; ++s) hold_sums(sums[s], tile);
  }

  const FusedLayer<T>& layer_;
  bool relu_, all_inputs_;
  const Chunk<float>* biases_;
  std::uint64_t weights_;
};

#endif

// Sums: the number of sums of 16 columns of the last layer, 1 or 4.
template <class T, int Sums>
__global__ void __launch_bounds__(RegistersPlan::most_warps(false) * 32, 1)
    fused_warpgroups_kernel(const __grid_constant__ FusedRegistersArguments<T> arguments) {
#if FNNFAST_HAS_WGMMA
  const FusedTask<T>& task = arguments.task;
  const std::int64_t step = std::int64_t{gridDim.x} * (blockDim.x / 32) * RegistersPlan::kRows;
  const unsigned warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
  // Each warp has its own rows, but a warpgroup continues while its first warp, whose rows come first, has any.
  const auto rows_of = [&](unsigned w) { return (std::int64_t{w} * gridDim.x + blockIdx.x) * RegistersPlan::kRows; };
  std::int64_t m = rows_of(warp);
  const std::int64_t behind = m - rows_of(warp / 4 * 4);
  NextInput<T> input(arguments);
  copy_parameters(arguments,
                  [&](int layer, int k, int column) { return swizzled_weights<T>(layer) + swizzled_place(k, column); });
  copy_commit();
  if (m - behind < task.rows) input.copy(m);
  copy_commit();
  copy_wait<1>();
  publish_copies();
  __syncthreads();  // all parameters are complete
  const int last = task.layers - 1;
  for (; m - behind < task.rows; m += step) {
    RegisterRows<T> rows;
    copy_wait<0>();
    __syncwarp();  // the copies of all lanes are complete
    input.read(rows);
    __syncwarp();  // all lanes have read what is overwritten next
    if (m + step < task.rows) input.copy(m + step);
    copy_commit();
    for (int i = 0; i < last; ++i) WarpgroupLayer<T>(arguments, i).run(rows);
    RegisterSums sums[Sums];
    WarpgroupLayer<T>(arguments, last).run(rows, sums);
    const RegisterLayer<T, false> layer(arguments, last);
    FNNFAST_UNROLL(4)
    for (int s = 0; s < Sums; ++s)
      if (16 * s < task.layer[last].units) layer.store(sums[s], s, m);
  }
#else
  __trap();  // never selected by warpgroups_kernel()
#endif
}

template <class T>
using RegistersKernel = void (*)(FusedRegistersArguments<T>);

// The kernel for a network of ReLU and the identity, or null if the device has no such products or this build no code
// for them. With the environment variable FNNFAST_CUDA_WGMMA=off it is null, for comparisons.
template <class T>
RegistersKernel<T> warpgroups_kernel(const FusedTask<T>& task) {
  const char* const value = std::getenv("FNNFAST_CUDA_WGMMA");
  if (value != nullptr && std::string_view(value) == "off") return nullptr;
  const auto kernel =
      task.layer[task.layers - 1].units <= 16 ? fused_warpgroups_kernel<T, 1> : fused_warpgroups_kernel<T, 4>;
  if (device_info().major != 9) return nullptr;
  cudaFuncAttributes of{};
  check_device(cudaFuncGetAttributes(&of, kernel), "fused");
  if (of.ptxVersion >= 90) return kernel;  // else compiled by the driver, from code for all devices
  return nullptr;
}

}  // namespace fnnfast::cuda
