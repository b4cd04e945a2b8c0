// Pieces of one block of memory, handed out in order: laid out alike whenever the same pieces are asked for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "product.hpp"

namespace fnnfast::cuda {

class Arena {
 public:
  // Without a block it only counts.
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
