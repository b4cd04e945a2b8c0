// Memory: owned buffers, and scratch memory of a thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace fnnfast::cpu {

// n elements, aligned to a cache line, initially zero.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::ptrdiff_t n) : Buffer(uninitialized(n)) { std::fill_n(data_.get(), n, T(0)); }
  static Buffer uninitialized(std::ptrdiff_t n) {
    Buffer buffer;
    if (n > 0) buffer.data_.reset(static_cast<T*>(::operator new(static_cast<std::size_t>(n) * sizeof(T), kAlignment)));
    buffer.size_ = n;
    return buffer;
  }
  T* data() const { return data_.get(); }
  std::ptrdiff_t size() const { return size_; }
  T& operator[](std::ptrdiff_t i) const { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
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
