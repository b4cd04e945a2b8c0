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

// A grid for for_chunks, at most `most` blocks per multiprocessor, or one for each row of chunks.
inline dim3 grid_over(std::int64_t rows, std::int64_t columns, int size, int of_a_block, int most) {
  const std::int64_t chunks = std::max<std::int64_t>((columns + size - 1) / size, 1);
  std::int64_t across = 1;  // threads
  while (across < chunks && 2 * across <= of_a_block) across *= 2;
  const std::int64_t wide = std::min<std::int64_t>((chunks + across - 1) / across, 65535);
  const std::int64_t limit = std::max<std::int64_t>(std::int64_t{device_info().multiprocessors} * most / wide, 1);
  const std::int64_t high = (rows + of_a_block / across - 1) / (of_a_block / across);
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(high, 1, limit)), static_cast<unsigned>(wide));
}

// Calls f(row, column) for the first of each Size neighbours in a row, with neighbours side by side. A block's threads,
// a power of two, span a power of two of columns, so nothing is divided.
template <int Size, class F>
__device__ __forceinline__ void for_chunks(std::int64_t rows, std::int64_t columns, F f) {
  const std::int64_t chunks = (columns + Size - 1) / Size;
  int shift = 0;
  while (std::int64_t{1} << shift < chunks && 2u << shift <= blockDim.x) ++shift;
  const unsigned high = blockDim.x >> shift, wide = 1u << shift;
  for (std::int64_t r = std::int64_t{blockIdx.x} * high + (threadIdx.x >> shift); r < rows;
       r += std::int64_t{gridDim.x} * high)
    for (std::int64_t c = std::int64_t{blockIdx.y} * wide + (threadIdx.x & (wide - 1)); c < chunks;
         c += std::int64_t{gridDim.y} * wide)
      f(r, c * Size);
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
