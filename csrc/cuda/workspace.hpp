// Memory that a call needs for its time alone, from the caller's allocator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace fnnfast::cuda {

// Gives so many bytes of device memory, aligned to 256, until the call that asked is over.
using Allocator = std::function<void*(std::size_t bytes)>;

template <class T>
T* allocate(const Allocator& allocator, std::int64_t count) {
  return static_cast<T*>(allocator(static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace fnnfast::cuda
