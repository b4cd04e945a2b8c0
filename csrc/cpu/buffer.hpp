// Memory: owned buffers, and scratch memory of a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace fnnfast::cpu {

// n elements, aligned to a cache line, initially zero.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::ptrdiff_t n) : Buffer(n, true) {}
  static Buffer uninitialized(std::ptrdiff_t n) { return Buffer(n, false); }
  T* data() const { return data_.get(); }
  std::ptrdiff_t size() const { return size_; }
  T& operator[](std::ptrdiff_t i) const { return data_.get()[i]; }

 private:
  // Zeros of a large buffer come from the system page by page, when each is touched first: by the thread that works on
  // it, and not all at once here. What calloc() has given is kept in front of the data.
  static constexpr std::size_t kAlignment = 64;
  Buffer(std::ptrdiff_t n, bool zero) : size_(n) {
    if (n <= 0) return;
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(T) + 2 * kAlignment;
    void* const given = zero ? std::calloc(bytes, 1) : std::malloc(bytes);
    if (given == nullptr) throw std::bad_alloc();
    const auto place = (reinterpret_cast<std::uintptr_t>(given) + 2 * kAlignment - 1) / kAlignment * kAlignment;
    void** const aligned = reinterpret_cast<void**>(place);
    aligned[-1] = given;
    data_.reset(reinterpret_cast<T*>(aligned));
  }
  struct Delete {
    void operator()(T* p) const { std::free(reinterpret_cast<void**>(p)[-1]); }
  };
  std::unique_ptr<T, Delete> data_;
  std::ptrdiff_t size_ = 0;
};

// Uses of a thread's scratch memory at one time; each has its own buffer.
enum class Scratch { kKernel, kTile, kRows, kOutputs, kCount = kOutputs + 4 };  // from kOutputs on: layers in turn

// At least n elements, unspecified. The thread keeps them from call to call, so repeated sizes do not allocate.
template <class T>
T* thread_scratch(Scratch use, std::ptrdiff_t n) {
  thread_local Buffer<T> buffers[static_cast<int>(Scratch::kCount)];
  Buffer<T>& buffer = buffers[static_cast<int>(use)];
  if (buffer.size() < n) {
    buffer = Buffer<T>();
    buffer = Buffer<T>::uninitialized(n + n / 4);
  }
  return buffer.data();
}

}  // namespace fnnfast::cpu
