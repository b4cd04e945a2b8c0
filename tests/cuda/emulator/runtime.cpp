#include "runtime.hpp"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "machine.hpp"

namespace fnnfast::emulator {
namespace {

// An H100's numbers, but for the multiprocessors.
constexpr std::size_t kSharedDefault = 48 << 10, kSharedMost = 227 << 10;
constexpr std::size_t kSharedPerMultiprocessor = 228 << 10, kSharedReserved = 1 << 10;
constexpr int kThreadsPerMultiprocessor = 2048, kBlocksPerMultiprocessor = 32, kThreadsPerBlock = 1024;
constexpr int kL2Bytes = 50 << 20, kVersion = 12040;
constexpr std::size_t kDeviceMemory = std::size_t{80} << 30;

struct Device {
  std::mutex mutex;  // one launch at a time
  int multiprocessors = 4;
  std::unordered_map<const void*, std::size_t> shared_most;  // of the functions that asked for more than the default
};
Device& device = *new Device;

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

std::size_t most_shared(const void* function) {
  const auto found = device.shared_most.find(function);
  return found == device.shared_most.end() ? kSharedDefault : std::max(kSharedDefault, found->second);
}

std::size_t blocks_per_multiprocessor(const void* function, int threads, std::size_t shared_bytes) {
  if (shared_bytes > most_shared(function)) return 0;
  const std::size_t by_threads = static_cast<std::size_t>(kThreadsPerMultiprocessor / ((threads + 31) / 32 * 32));
  const std::size_t by_shared = kSharedPerMultiprocessor / (shared_bytes + kSharedReserved);
  return std::min({by_threads, by_shared, std::size_t{kBlocksPerMultiprocessor}});
}

cudaError_t check(const Launch& what) {
  const dim3 grid = what.grid, block = what.block;
  if (block.x < 1 || block.y < 1 || block.z < 1 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      block.x * block.y * block.z > kThreadsPerBlock) {
    return cudaErrorInvalidConfiguration;
  }
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (what.function == nullptr || what.shared_bytes > most_shared(what.function)) return cudaErrorInvalidValue;
  if (what.cooperative) {
    const auto threads = static_cast<int>(block.x * block.y * block.z);
    const std::uint64_t resident = blocks_per_multiprocessor(what.function, threads, what.shared_bytes) *
                                   static_cast<std::uint64_t>(device.multiprocessors);
    if (std::uint64_t{grid.x} * grid.y * grid.z > resident) return cudaErrorCooperativeLaunchTooLarge;
  }
  return cudaSuccess;
}

}  // namespace

void set_multiprocessors(int count) {
  const std::lock_guard lock(device.mutex);
  if (count < 1) fail("a device needs a multiprocessor, not %d", count);
  device.multiprocessors = count;
}

cudaError_t set_function_attribute(const void* function, cudaFuncAttribute attribute, int value) {
  const std::lock_guard lock(device.mutex);
  if (function == nullptr || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > kSharedMost) {
    return result(cudaErrorInvalidValue);
  }
  device.shared_most[function] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t resident_blocks(int* blocks, const void* function, int threads, std::size_t shared_bytes) {
  const std::lock_guard lock(device.mutex);
  if (blocks == nullptr || function == nullptr || threads < 1) return result(cudaErrorInvalidValue);
  *blocks =
      threads > kThreadsPerBlock ? 0 : static_cast<int>(blocks_per_multiprocessor(function, threads, shared_bytes));
  return cudaSuccess;
}

cudaError_t launch(const Launch& what) {
  const std::lock_guard lock(device.mutex);
  const cudaError_t error = check(what);
  if (error == cudaSuccess) run(what);
  return result(error);
}

}  // namespace fnnfast::emulator

namespace emulator = fnnfast::emulator;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorCooperativeLaunchTooLarge:
      return "cudaErrorCooperativeLaunchTooLarge";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorCooperativeLaunchTooLarge:
      return "too many blocks in cooperative launch";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() { return std::exchange(emulator::last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return emulator::last_error; }

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (memory == nullptr) return emulator::result(cudaErrorInvalidValue);
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > emulator::kDeviceMemory || posix_memalign(memory, 256, bytes) != 0) {
    return emulator::result(cudaErrorMemoryAllocation);
  }
  std::memset(*memory, 0xFF, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return emulator::result(cudaErrorInvalidValue);
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return emulator::result(cudaErrorInvalidValue);
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (memory == nullptr) return emulator::result(cudaErrorInvalidValue);
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGetDevice(int* device) {
  if (device == nullptr) return emulator::result(cudaErrorInvalidValue);
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return emulator::result(cudaErrorInvalidValue);
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (value == nullptr) return emulator::result(cudaErrorInvalidValue);
  if (device != 0) return emulator::result(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: {
      const std::lock_guard lock(emulator::device.mutex);
      *value = emulator::device.multiprocessors;
      return cudaSuccess;
    }
    case cudaDevAttrL2CacheSize:
      *value = emulator::kL2Bytes;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrCooperativeLaunch:
      *value = 1;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(emulator::kSharedMost);
      return cudaSuccess;
  }
  return emulator::result(cudaErrorInvalidValue);
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return emulator::result(cudaErrorInvalidValue);
  *version = emulator::kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
