// Temporary memory of a call, from the caller's allocator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace fnnfast::cuda {

// Returns that many bytes of device memory, aligned to 256, valid until the end of the call.
using Allocator = std::function<void*(std::size_t bytes)>;

template <class T>
T* allocate(const Allocator& allocator, std::int64_t count) {
  return static_cast<T*>(allocator(static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace fnnfast::cuda
