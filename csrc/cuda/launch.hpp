// Launching kernels, and errors of the device as exceptions.
#pragma once

#include <stdexcept>
#include <string>

#include "platform.hpp"

namespace fnnfast::cuda {

// Something the device refused or failed at; says at what.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws DeviceError, or std::bad_alloc for want of memory, unless the status is success.
void check_device(cudaError_t status, const char* what);

// Of the current device, asked once per device. FNNFAST_CUDA_MULTIPROCESSORS in the environment replaces the first
// number, so that tests reach the plans of larger and smaller GPUs.
struct DeviceInfo {
  int multiprocessors;
  int shared_bytes;  // that a block can have
  int major, minor;  // compute capability
};
DeviceInfo device_info();

// Makes a kernel able to have more shared memory than every kernel has; once for each kernel and device.
void allow_shared_bytes(const void* kernel, std::size_t bytes, const char* name);

// The blocks of the largest grid, of 16, 8 or 4, that can run as a cluster with so much shared memory each, or 0: then
// the device or this build has no clusters. Asked once for each kernel and device.
int largest_cluster(const void* kernel, int threads, std::size_t bytes, const char* name);

// All blocks of a cooperative launch are resident at the same time, and can meet (grid_barrier), or it is refused. A
// cluster's are, too (cluster_arrive, cluster_wait), and reach each other's shared memory.
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
