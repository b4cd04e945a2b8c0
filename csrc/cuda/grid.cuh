// Grid-stride loops, and sums over a block.
#pragma once

#include <algorithm>
#include <cstdint>

#include "launch.hpp"

namespace fnnfast::cuda {

// Enough blocks for `count` items, at most `most` per multiprocessor.
inline dim3 grid_for(std::int64_t count, int of_a_block, int most) {
  const std::int64_t limit = std::int64_t{device_info().multiprocessors} * most;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>((count + of_a_block - 1) / of_a_block, 1, limit)));
}

// Calls f(i) for i < count, with neighbouring i in neighbouring threads.
template <class F>
__device__ __forceinline__ void for_all(std::int64_t count, F f) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) f(i);
}

// The sum over a block's threads, a power of two of them, in a fixed order; only thread 0 has it. Needs shared memory
// for a double per thread.
__device__ __forceinline__ double block_sum(double own) {
  double* const sums = reinterpret_cast<double*>(shared_memory());
  const int thread = static_cast<int>(threadIdx.x);
  sums[thread] = own;
  for (int half = static_cast<int>(blockDim.x) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] += sums[thread + half];
  }
  return sums[thread];
}

}  // namespace fnnfast::cuda
