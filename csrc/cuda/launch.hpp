// Launching kernels, and device errors as exceptions.
#pragma once

#include <stdexcept>
#include <string>

#include "platform.hpp"

namespace fnnfast::cuda {

// An error of the device, with the operation that failed.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws DeviceError, or std::bad_alloc if out of memory, unless the status is success.
void check_device(cudaError_t status, const char* what);

// Of the current device, cached. The environment variable FNNFAST_CUDA_MULTIPROCESSORS replaces the first number, so
// that tests reach the plans of larger and smaller GPUs.
struct DeviceInfo {
  int multiprocessors;
  int shared_bytes;  // the most for a block
  int major, minor;  // compute capability
};
DeviceInfo device_info();

// Allows a kernel that much shared memory, if it is more than the default; once for each kernel and device.
void allow_shared_bytes(const void* kernel, std::size_t bytes, const char* name);

// The blocks of the largest cluster, 16, 8 or 4, with that much shared memory each; 0 if the device or this build does
// not support clusters. Cached for each kernel and device.
int largest_cluster(const void* kernel, int threads, std::size_t bytes, const char* name);

// All blocks of a cooperative launch are resident at the same time and can synchronize (grid_barrier); else the launch
// fails. So are those of a cluster (cluster_arrive, cluster_wait), which can also access each other's shared memory.
enum class Blocks { kIndependent, kCooperative, kCluster };

template <Blocks Kind = Blocks::kIndependent, class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, int threads, std::size_t shared_bytes,
            cudaStream_t stream, A&&... args) {
  allow_shared_bytes(reinterpret_cast<const void*>(kernel), shared_bytes, name);
  const dim3 block(static_cast<unsigned>(threads));
  if constexpr (Kind == Blocks::kCluster)
    check_device(launch_cluster(kernel, grid, block, shared_bytes, stream, args...), name);
  else
    check_device(launch_kernel(kernel, grid, block, shared_bytes, stream, Kind == Blocks::kCooperative, args...), name);
}

}  // namespace fnnfast::cuda
