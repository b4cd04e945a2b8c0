#include "launch.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace fnnfast {

namespace {

constexpr int kMaxDevices = 64;
constexpr std::size_t kSharedBytesOfAll = 48 * 1024;

int current_device() {
  int device = 0;
  check_device(cudaGetDevice(&device), "cudaGetDevice");
  if (device >= kMaxDevices) throw DeviceError("fnnfast knows devices 0 to " + std::to_string(kMaxDevices - 1));
  return device;
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check_device(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

void check_device(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report this one's error
  if (status == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw DeviceError(std::string(what) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

DeviceInfo device_info() {
  static std::mutex mutex;
  static std::array<DeviceInfo, kMaxDevices> known{};
  const int device = current_device();
  const std::lock_guard lock(mutex);
  DeviceInfo& found = known[static_cast<std::size_t>(device)];
  if (found.multiprocessors == 0)
    found = {
        attribute(cudaDevAttrMultiProcessorCount, device), attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        attribute(cudaDevAttrComputeCapabilityMajor, device), attribute(cudaDevAttrComputeCapabilityMinor, device)};
  DeviceInfo info = found;
  if (const char* const forced = std::getenv("FNNFAST_CUDA_MULTIPROCESSORS"))
    info.multiprocessors = std::max(std::atoi(forced), 1);
  return info;
}

void allow_shared_bytes(const void* kernel, std::size_t bytes, const char* name) {
  if (bytes <= kSharedBytesOfAll) return;
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, std::size_t> allowed;
  const int device = current_device();
  const std::lock_guard lock(mutex);
  std::size_t& most = allowed[{device, kernel}];
  if (most >= bytes) return;
  check_device(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
               name);
  most = bytes;
}

}  // namespace fnnfast
