// Hopper's instructions (sm_90a): bulk tensor copies, their barriers, and products of a warpgroup (four warps) with
// operands in shared memory.
#pragma once

#include "platform.hpp"

#if defined(FNNFAST_EMULATED)
#include "hopper.hpp"
#else
#include <cuda.h>
#endif

namespace fnnfast::cuda {

// ----- Operands of products

// The descriptor of an operand in shared memory, without its address: units of 8 rows of 128 bytes, swizzled as by the
// copy engine (bits 4 to 6 of an address ^= bits 7 to 9). K-major: a row is 64 elements along k, `stride` bytes from 8
// rows to the next 8; `leading` is not used. MN-major: a row is 64 elements along m or n at one k, `stride` bytes from
// 8 steps of k to the next 8, `leading` from 64 elements to the next 64.
__host__ __device__ constexpr std::uint64_t operand_form(unsigned leading, unsigned stride) {
  return std::uint64_t{leading / 16 & 0x3fff} << 16 | std::uint64_t{stride / 16 & 0x3fff} << 32 |
         std::uint64_t{1} << 62;
}
// The address field covers all of shared memory.
__device__ __forceinline__ std::uint64_t operand_at(std::uint64_t form, unsigned address) {
  return form | (address >> 4 & 0x3fff);
}

#if !defined(FNNFAST_EMULATED)

// A producer gives registers to the consumers. All warps of the warpgroup call it.
template <int Registers>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

// ----- Barriers in shared memory (mbarrier). A phase completes when `count` threads have arrived and all expected
// bytes have been copied; a wait is for the end of the phase of a parity.

__device__ __forceinline__ void barrier_init(unsigned barrier, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
// Makes barriers that this thread initialized visible to the copy engine.
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void barrier_arrive_expecting(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(unsigned barrier, unsigned parity) {
  unsigned over;
  do {
    asm volatile(
        "{\n\t"
        ".reg .pred over;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n\t"
        "selp.u32 %0, 1, 0, over;\n\t"
        "}"
        : "=r"(over)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (over == 0);
}

// ----- Bulk tensor copies: a box of a matrix, from (column, row) on. Elements outside the matrix are read as zeros,
// and not written.

__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
__device__ __forceinline__ void load_box(unsigned to, const CUtensorMap& map, int column, int row, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          to),
      "l"(&map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}
// From one of several matrices.
__device__ __forceinline__ void load_box(unsigned to, const CUtensorMap& map, int column, int row, int matrix,
                                         unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::
          "r"(to),
      "l"(&map), "r"(column), "r"(row), "r"(matrix), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void store_box(const CUtensorMap& map, int column, int row, unsigned from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map), "r"(column),
               "r"(row), "r"(from)
               : "memory");
}
__device__ __forceinline__ void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Waits until all of this thread's groups of stores except the last N have read their shared memory.
template <int N>
__device__ __forceinline__ void store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}
__device__ __forceinline__ void store_wait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
// Makes this thread's stores to shared memory visible to the copy engine and the tensor cores after the next barrier.
__device__ __forceinline__ void shared_store_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Four 8 x 8 matrices of 2-byte elements, the inverse of load_matrix.
__device__ __forceinline__ void store_matrix(unsigned row, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(r[0]), "r"(r[1]),
               "r"(r[2]), "r"(r[3])
               : "memory");
}

__device__ __forceinline__ void load_matrix(std::uint32_t (&r)[4], unsigned row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

// An element of 2 bytes.
template <class T>
__device__ __forceinline__ T load_element(unsigned address) {
  unsigned short bits;
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(address) : "memory");
  if constexpr (std::is_same_v<T, __half>)
    return __ushort_as_half(bits);
  else
    return __ushort_as_bfloat16(bits);
}

// Prefetches global memory into the L1 cache.
__device__ __forceinline__ void prefetch_near(const void* p) { asm volatile("prefetch.global.L1 [%0];" ::"l"(p)); }

// Copies to another register, by an instruction that the compiler does not move.
__device__ __forceinline__ float copy_of(float v) {
  float copy;
  asm volatile("mov.f32 %0, %1;" : "=f"(copy) : "f"(v));
  return copy;
}

// ----- Products of a warpgroup

// Required before a warpgroup's first product, and after accesses to the registers of its sums.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for all groups except the last N.
template <int N>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// The compiler does not know of products in flight: no access to a sum moves across this.
__device__ __forceinline__ void hold_sum(float& v) { asm volatile("" : "+f"(v)::"memory"); }

// d (64 x N) += a (64 x 16) b (16 x N). Warp w of the warpgroup has rows 16 w on; thread l of it d[i]
// of row l / 4 + 8 (i / 2 % 2), column 8 (i / 4) + 2 (l % 4) + i % 2. MajorA, MajorB: 1 for operands that are MN-major.
#define FNNFAST_SUMS8(d, i)                                                                                   \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define FNNFAST_SUMS32(d, i) \
  FNNFAST_SUMS8(d, i), FNNFAST_SUMS8(d, i + 8), FNNFAST_SUMS8(d, i + 16), FNNFAST_SUMS8(d, i + 24)
#define FNNFAST_PLACES0                                                                                            \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define FNNFAST_PLACES32                                                                                        \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FNNFAST_PLACES64                                                                                        \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, " \
  "%85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define FNNFAST_PLACES96                                                                                       \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, " \
  "%114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FNNFAST_WGMMA(n, type, places, rest, ...)                                                    \
  asm volatile(                                                                                      \
      "{\n\t.reg .pred add;\n\tsetp.eq.b32 add, 0, 0;\n\t"                                           \
      "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" places "}, " rest ";\n\t}" \
      : __VA_ARGS__                                                                                  \
      : "l"(a), "l"(b), "n"(MajorA), "n"(MajorB)                                                     \
      : "memory")
#define FNNFAST_WGMMA_OF(type)                                                                      \
  if constexpr (N == 256)                                                                           \
    FNNFAST_WGMMA("256", type, FNNFAST_PLACES0 FNNFAST_PLACES32 FNNFAST_PLACES64 FNNFAST_PLACES96,  \
                  "%128, %129, add, 1, 1, %130, %131", FNNFAST_SUMS32(d, 0), FNNFAST_SUMS32(d, 32), \
                  FNNFAST_SUMS32(d, 64), FNNFAST_SUMS32(d, 96));                                    \
  else                                                                                              \
    FNNFAST_WGMMA("128", type, FNNFAST_PLACES0 FNNFAST_PLACES32, "%64, %65, add, 1, 1, %66, %67",   \
                  FNNFAST_SUMS32(d, 0), FNNFAST_SUMS32(d, 32))

template <class T, int N, int MajorA, int MajorB>
__device__ __forceinline__ void multiply_async(float (&d)[N / 2], std::uint64_t a, std::uint64_t b) {
  static_assert(N == 128 || N == 256);
  if constexpr (std::is_same_v<T, __half>) {
    FNNFAST_WGMMA_OF("f16");
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    FNNFAST_WGMMA_OF("bf16");
  }
}

#undef FNNFAST_WGMMA_OF
#undef FNNFAST_WGMMA
#undef FNNFAST_PLACES0
#undef FNNFAST_PLACES32
#undef FNNFAST_PLACES64
#undef FNNFAST_PLACES96
#undef FNNFAST_SUMS32
#undef FNNFAST_SUMS8

#endif

}  // namespace fnnfast::cuda
