// Allocates parts of one block of memory in order, so that equal requests give an equal layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "product.hpp"

namespace fnnfast::cuda {

class Arena {
 public:
  // A null block only counts the bytes.
  explicit Arena(char* block) : block_(block) {}

  template <class T>
  T* take(std::int64_t count) {
    const std::size_t at = used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kUnit - 1) / kUnit * kUnit;
    return block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + at);
  }
  template <class T>
  Matrix<T> matrix(std::int64_t rows, std::int64_t row) {
    return {take<T>(rows * row), row};
  }
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kUnit = 256;
  char* block_;
  std::size_t used_ = 0;
};

}  // namespace fnnfast::cuda
