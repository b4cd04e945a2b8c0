// Instructions without an intrinsic function, in PTX. The emulator in tests has functions of the same names.
#pragma once

#include <cstdint>
#include <type_traits>

namespace fnnfast::cuda {

// The block's dynamic shared memory.
__device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char buffer[];
  return buffer;
}

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// Copies Bytes (4, 8 or 16) asynchronously to shared memory: `valid` of them from global memory, which is not read
// beyond, then zeros. Both addresses are multiples of Bytes. Complete after copy_wait.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, int valid) {
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global), "n"(Bytes),
                 "r"(valid)
                 : "memory");
}
// All of them. L2 fetches neighbours along, for the next steps of a product.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(shared)), "l"(global), "n"(Bytes)
                 : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all groups of this thread's copies except the last N.
template <int N>
__device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Prefetches global memory into the L2 cache.
__device__ __forceinline__ void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// Tell the compiler the address space of a pointer argument, so that accesses need no test for it.
__device__ __forceinline__ void assume_shared(const void* p) { __builtin_assume(__isShared(p)); }
__device__ __forceinline__ void assume_global(const void* p) { __builtin_assume(__isGlobal(p)); }

// Makes the compiler hold a value in a register instead of computing it again at every use.
template <class T>
__device__ __forceinline__ void hold(T& value) {
  if constexpr (std::is_same_v<T, float>)
    asm volatile("" : "+f"(value));
  else if constexpr (std::is_same_v<T, double>)
    asm volatile("" : "+d"(value));
  else if constexpr (sizeof(T) == 8)
    asm volatile("" : "+l"(value));
  else
    asm volatile("" : "+r"(value));
}

// Four 8 x 8 matrices of 2-byte elements: lanes 8 i to 8 i + 7 give the rows (16 bytes each) of matrix i; r[i] of lane
// l then holds row l / 4, columns 2 (l % 4) and the next one, of matrix i or of its transpose.
__device__ __forceinline__ void load_matrix(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrix_transposed(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d (16 x 8) += a (16 x 16) b (16 x 8), for __half and __nv_bfloat16.
template <class T>
__device__ __forceinline__ void mma16816(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, __half>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d (16 x 8) += a (16 x 8) b (8 x 8) in tf32.
__device__ __forceinline__ void mma1688(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Approximations, to 2^-22 of the result. Subnormal numbers are 0 to them, as arguments and as results.
__device__ __forceinline__ float rough_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rough_log2(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rough_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The nearest tf32, in the bits of a float.
__device__ __forceinline__ std::uint32_t round_to_tf32(float v) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}

// Rounds two numbers to 2-byte elements (__half, __nv_bfloat16) in a register, as in fragments.
template <class T>
__device__ __forceinline__ std::uint32_t round_pair(float low, float high) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, __half>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
// The larger of each two elements, 0 being larger than -0; NaN of NaN.
template <class T>
__device__ __forceinline__ std::uint32_t larger_pair(std::uint32_t a, std::uint32_t b) {
  if constexpr (std::is_same_v<T, __half>)
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  else
    asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  return a;
}

// Synchronizes all blocks of a cooperative launch. *counter is 0 before the first call. Its top bit flips when all
// blocks have arrived: their increments add up to it.
__device__ __forceinline__ void grid_barrier(unsigned* counter) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned blocks = gridDim.x;
    const unsigned share = blockIdx.x == 0 ? 0x80000000u - (blocks - 1) : 1u;
    __threadfence();
    const unsigned before = atomicAdd(counter, share);
    unsigned now;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
    } while (((now ^ before) & 0x80000000u) == 0);
  }
  __syncthreads();
}

// The blocks of a cluster (from sm_90 on), here all of a grid, are resident at the same time and can access each
// other's shared memory. They synchronize in two steps, between which a block can continue. cluster_begin() is a
// cluster_arrive() that does not publish writes. Never launched on other devices.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
__device__ __forceinline__ void cluster_begin() { asm volatile("barrier.cluster.arrive.relaxed;"); }
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
// The address in that block's shared memory that corresponds to p in this one's.
template <class T>
__device__ __forceinline__ T* in_block(T* p, int block) {
  std::uint64_t there;
  asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(p), "r"(block));
  return reinterpret_cast<T*>(there);
}
#else
__device__ __forceinline__ void cluster_begin() { __trap(); }
__device__ __forceinline__ void cluster_arrive() { __trap(); }
__device__ __forceinline__ void cluster_wait() { __trap(); }
template <class T>
__device__ __forceinline__ T* in_block(T* p, int) {
  return p;
}
#endif

template <class... P, class... A>
cudaError_t launch_with(cudaLaunchAttribute* attribute, void (*kernel)(P...), dim3 grid, dim3 block,
                        std::size_t shared_bytes, cudaStream_t stream, A&&... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attribute;
  config.numAttrs = attribute != nullptr ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, P(args)...);
}
template <class... P, class... A>
cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                          bool cooperative, A&&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  return launch_with(cooperative ? &attribute : nullptr, kernel, grid, block, shared_bytes, stream, args...);
}
// Launches the grid, along x, as one cluster.
template <class... P, class... A>
cudaError_t launch_cluster(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                           A&&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = grid.x;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  return launch_with(&attribute, kernel, grid, block, shared_bytes, stream, args...);
}

}  // namespace fnnfast::cuda
