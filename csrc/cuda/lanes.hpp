// A vector whose lanes are 16 neighbouring threads: the row kernels (csrc/core/rows.hpp) then sum a row in the same
// tree as on the CPU, and coalesce its reads.
#pragma once

#include "platform.hpp"

namespace fnnfast::FNNFAST_ISA {

struct Lanes {
  static constexpr int kCount = 16;
  static __device__ __forceinline__ int own() { return static_cast<int>(threadIdx.x % kCount); }
  static __device__ __forceinline__ unsigned mask() { return threadIdx.x % 32 < kCount ? 0x0000ffffu : 0xffff0000u; }
  template <class T>
  static __device__ __forceinline__ void collect(T v, T* lanes) {
    for (int i = 0; i < kCount; ++i) lanes[i] = __shfl_sync(mask(), v, i, kCount);
  }
  static __device__ __forceinline__ void fence() { __syncwarp(mask()); }
};

}  // namespace fnnfast::FNNFAST_ISA
