// The part of CUDA's runtime that the library uses, for one device that is the host itself: its memory comes from
// malloc and its streams do everything at once.
#pragma once

#include <cstddef>
#include <utility>

// As CUDA numbers them.
enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorCooperativeLaunchTooLarge = 720
};
using cudaError_t = cudaError;
enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = struct CUstream_st*;

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

// New memory is all 0xFF: NaN, for who reads before writing.
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** memory, std::size_t bytes) {
  void* allocated = nullptr;
  const cudaError_t error = cudaMalloc(&allocated, bytes);
  if (error == cudaSuccess) *memory = static_cast<T*>(allocated);
  return error;
}
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);

cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDriverGetVersion(int* version);

namespace fnnfast::emulator {

// Few by default, so that plans come out as small grids.
void set_multiprocessors(int count);

cudaError_t set_function_attribute(const void* function, cudaFuncAttribute attribute, int value);
cudaError_t resident_blocks(int* blocks, const void* function, int threads, std::size_t shared_bytes);

struct Launch {
  const void* function;
  dim3 grid, block;
  std::size_t shared_bytes;
  bool cooperative;
  void (*thread)(const void* call);  // what each thread runs
  const void* call;
};
cudaError_t launch(const Launch& what);

}  // namespace fnnfast::emulator

struct cudaFuncAttributes {
  int ptxVersion;
};
// As compiled for compute capability 9.0.
template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T*) {
  attributes->ptxVersion = 90;
  return cudaSuccess;
}

template <class T>
cudaError_t cudaFuncSetAttribute(T* function, cudaFuncAttribute attribute, int value) {
  return fnnfast::emulator::set_function_attribute(reinterpret_cast<const void*>(function), attribute, value);
}
// As many as threads and shared memory allow; nothing is known of registers.
template <class T>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, T* function, int threads,
                                                          std::size_t shared_bytes) {
  return fnnfast::emulator::resident_blocks(blocks, reinterpret_cast<const void*>(function), threads, shared_bytes);
}

namespace fnnfast::cuda {

// Runs the grid to its end: block after block or, with cooperative, all at the same time.
template <class... P, class... A>
cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                          [[maybe_unused]] cudaStream_t stream, bool cooperative, A&&... args) {
  return [&](P... parameters) {  // converts them once; each thread has its own copies, as on a device
    const auto call = [&] { kernel(parameters...); };
    const auto thread = [](const void* c) { (*static_cast<decltype(call)*>(c))(); };
    return emulator::launch(
        {reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, cooperative, thread, &call});
  }(std::forward<A>(args)...);
}

}  // namespace fnnfast::cuda
