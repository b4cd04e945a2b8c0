#include "launch.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace fnnfast::cuda {

namespace {

constexpr int kMaxDevices = 64;
constexpr std::size_t kSharedBytesOfAll = 48 * 1024;

int current_device() {
  int device = 0;
  check_device(cudaGetDevice(&device), "cudaGetDevice");
  if (device >= kMaxDevices)
    throw DeviceError("device " + std::to_string(device) + ": only devices 0 to " + std::to_string(kMaxDevices - 1) +
                      " are supported");
  return device;
}

// Errors of a kernel that ran, which later calls report for the rest of the process.
bool is_sticky(cudaError_t status) {
  switch (static_cast<int>(status)) {
    case 214:  // cudaErrorECCUncorrectable
    case 700:  // cudaErrorIllegalAddress
    case 702:  // cudaErrorLaunchTimeout
    case 709:  // cudaErrorContextIsDestroyed
    case 710:  // cudaErrorAssert
    case 714:  // cudaErrorHardwareStackError
    case 715:  // cudaErrorIllegalInstruction
    case 716:  // cudaErrorMisalignedAddress
    case 717:  // cudaErrorInvalidAddressSpace
    case 718:  // cudaErrorInvalidPc
    case 719:  // cudaErrorLaunchFailure
      return true;
    default:
      return false;
  }
}

// The number for plans: that of the environment variable FNNFAST_CUDA_MULTIPROCESSORS, if set, for tests.
int assumed_multiprocessors(int multiprocessors) {
  const char* const text = std::getenv("FNNFAST_CUDA_MULTIPROCESSORS");
  const int assumed = text == nullptr ? 0 : std::atoi(text);
  return assumed > 0 ? assumed : multiprocessors;
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
  std::string words = std::string(what) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
  if (is_sticky(status)) words += " (perhaps from an earlier kernel; restart the process to use the GPU again)";
  throw DeviceError(words);
}

DeviceInfo device_info() {
  static std::mutex mutex;
  static std::array<DeviceInfo, kMaxDevices> known{};
  const int device = current_device();
  const std::lock_guard lock(mutex);
  DeviceInfo& info = known[static_cast<std::size_t>(device)];
  if (info.multiprocessors == 0)
    info = {attribute(cudaDevAttrMultiProcessorCount, device),
            attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
            attribute(cudaDevAttrComputeCapabilityMajor, device), attribute(cudaDevAttrComputeCapabilityMinor, device)};
  DeviceInfo assumed = info;
  assumed.multiprocessors = assumed_multiprocessors(info.multiprocessors);
  return assumed;
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

#if defined(FNNFAST_EMULATED)
int largest_cluster(const void*, int, std::size_t, const char*) { return std::min(device_info().multiprocessors, 8); }
#else
namespace {

int find_largest_cluster(const void* kernel, int threads, std::size_t bytes, const char* name) {
  if (device_info().major < 9) return 0;
  cudaFuncAttributes of{};
  check_device(cudaFuncGetAttributes(&of, kernel), name);
  if (of.ptxVersion < 90) return 0;  // compiled by the driver, from code without clusters
  allow_shared_bytes(kernel, bytes, name);
  check_device(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1), name);
  for (unsigned blocks = 16; blocks >= 4; blocks /= 2) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = blocks;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = bytes;
    config.attrs = &attribute;
    config.numAttrs = 1;
    int clusters = 0;
    if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) == cudaSuccess && clusters > 0)
      return static_cast<int>(blocks);
    cudaGetLastError();
  }
  return 0;
}

}  // namespace

int largest_cluster(const void* kernel, int threads, std::size_t bytes, const char* name) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, int> known;
  const std::pair key(current_device(), kernel);
  {
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(key); found != known.end()) return found->second;
  }
  const int blocks = find_largest_cluster(kernel, threads, bytes, name);
  const std::lock_guard lock(mutex);
  return known[key] = blocks;
}
#endif

}  // namespace fnnfast::cuda
