// Products of a warpgroup (four warps) on Hopper (sm_90a): the left operand and the sums are in registers, the right
// operand is in shared memory.
#pragma once

#include "tile_registers.cuh"

#if defined(FNNFAST_EMULATED)
#include "hopper.hpp"
#endif

// Whether this compiler pass is for sm_90a, which has them.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || defined(FNNFAST_EMULATED)
#define FNNFAST_HAS_WGMMA 1
#else
#define FNNFAST_HAS_WGMMA 0
#endif

namespace fnnfast::cuda {

// A right operand has a row of 64 elements (128 bytes) for each k, and begins at a multiple of 1024 bytes. The eight
// chunks of 16 bytes of a row are permuted, so that a column of chunks of eight rows is in different banks: bits 4 to 6
// of an address ^= bits 7 to 9. The place of an element:
__device__ __forceinline__ int swizzled_place(int k, int column) { return k * 64 + (column ^ k % 8 * 8); }

#if FNNFAST_HAS_WGMMA

// The descriptor of such an operand: 1024 bytes from 8 rows to the next 8, swizzled in rows of 128 bytes. The other
// stride, from 64 columns to the next 64, is not used.
__device__ __forceinline__ std::uint64_t swizzled_operand(const void* rows) {
  return std::uint64_t{1} << 62 | std::uint64_t{1024 / 16} << 32 | std::uint64_t{1024 / 16} << 16 |
         (shared_address(rows) >> 4 & 0x3FFF);
}

#if !defined(FNNFAST_EMULATED)

// Makes this thread's copies to shared memory visible to the tensor cores after the next barrier.
__device__ __forceinline__ void publish_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Required before products whose registers were accessed since the last ones.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for all groups except the last N.
template <int N>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// The compiler does not know of products in flight: no access to the sums moves across this.
__device__ __forceinline__ void hold_sums(RegisterSums& sums, int tile) {
  FNNFAST_UNROLL(8)
  for (int e = 0; e < 8; ++e) asm volatile("" : "+f"(sums.at[tile][e / 4][e % 4])::"memory");
}

// Sums of 16 or 64 columns += the rows' 16 columns from 16 `step` on times operand, asynchronously: products_commit()
// ends a group, and products_wait() waits for it. `tile` selects 16 of the warp's rows.
#define FNNFAST_SUMS4(d) "+f"((d)[0]), "+f"((d)[1]), "+f"((d)[2]), "+f"((d)[3])
#define FNNFAST_SUMS16(i) FNNFAST_SUMS4(sums[i].at[tile][0]), FNNFAST_SUMS4(sums[i].at[tile][1])
#define FNNFAST_MULTIPLY(shape, type, places, rest, ...)                                              \
  asm volatile("wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" places "}, " rest ";" \
               : __VA_ARGS__                                                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(operand)                             \
               : "memory")
#define FNNFAST_MULTIPLY_OF(type)                                                                                      \
  if constexpr (Sums == 1)                                                                                             \
    FNNFAST_MULTIPLY("m64n16k16", type, "%0, %1, %2, %3, %4, %5, %6, %7", "{%8, %9, %10, %11}, %12, 1, 1, 1, 1",       \
                     FNNFAST_SUMS16(0));                                                                               \
  else                                                                                                                 \
    FNNFAST_MULTIPLY("m64n64k16", type,                                                                                \
                     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "      \
                     "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31",                                     \
                     "{%32, %33, %34, %35}, %36, 1, 1, 1, 1", FNNFAST_SUMS16(0), FNNFAST_SUMS16(1), FNNFAST_SUMS16(2), \
                     FNNFAST_SUMS16(3))

template <class T, int Sums>
__device__ __forceinline__ void multiply_async(RegisterSums (&sums)[Sums], const RegisterRows<T>& rows, int tile,
                                               int step, std::uint64_t operand) {
  static_assert(Sums == 1 || Sums == 4);
  const std::uint32_t (&a)[4] = rows.at[tile][step];
  if constexpr (std::is_same_v<T, Half>) {
    FNNFAST_MULTIPLY_OF("f16");
  } else {
    FNNFAST_MULTIPLY_OF("bf16");
  }
}

#undef FNNFAST_MULTIPLY_OF
#undef FNNFAST_MULTIPLY
#undef FNNFAST_SUMS16
#undef FNNFAST_SUMS4

#endif

#endif

}  // namespace fnnfast::cuda
