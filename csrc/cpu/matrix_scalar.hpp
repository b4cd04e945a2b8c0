// Plain C++, for tests: what AMX computes, bit by bit (Intel's manual, volume 2). TDPBF16PS sums the products of the
// lower halves of 16 words, and those of their upper halves, each from zero; then it adds the two sums, and their sum
// to C. Each step is rounded once to nearest even; subnormal numbers are zeros.
#pragma once

#include "pairs_scalar.hpp"

namespace fnnfast::FNNFAST_ISA {

class MatrixUnit {
 public:
  FNNFAST_INLINE void configure(int first, int second) {
    const int other = second > 0 ? second : first;
    const int rows[] = {first, first, other, other, first, other, 16, 16};
    __builtin_memcpy(rows_, rows, sizeof rows_);
  }
  template <int kR>
  FNNFAST_INLINE void load_inputs(const void* p, std::ptrdiff_t step) {
    for (std::ptrdiff_t row = 0; row < rows_[kR]; ++row)
      __builtin_memcpy(block_[kR][row], static_cast<const char*>(p) + row * step, sizeof block_[kR][row]);
  }
  template <int kR>
  FNNFAST_INLINE void load(const void* p, std::ptrdiff_t step) {
    for (std::ptrdiff_t row = 0; row < rows_[kR]; ++row)
      __builtin_memcpy(block_[kR][row], static_cast<const char*>(p) + row * step, sizeof(Word));
  }
  template <int kR>
  FNNFAST_INLINE void clear() {
    __builtin_memset(block_[kR], 0, sizeof block_[kR]);
  }
  template <int kR>
  FNNFAST_INLINE void store(void* p, std::ptrdiff_t step) {
    for (std::ptrdiff_t row = 0; row < rows_[kR]; ++row)
      __builtin_memcpy(static_cast<char*>(p) + row * step, block_[kR][row], sizeof(Word));
  }
  template <int kC, int kA, int kB>
  FNNFAST_INLINE void dot_pairs() {
    for (int row = 0; row < rows_[kC]; ++row) {
      float low = 0.0f, high = 0.0f;
      for (int i = 0; i < 16; ++i) {
        const Word x = block_[kA][row][i], w = block_[kB][i][0];
        low = add_product(low, lower_half(x), lower_half(w));
        high = add_product(high, upper_half(x), upper_half(w));
      }
      const float sum = without_subnormal(__builtin_bit_cast(float, block_[kC][row][0]));
      block_[kC][row][0] = __builtin_bit_cast(Word, add(sum, add(low, high)));
    }
  }
  template <int kC, int kA, int kB>
  FNNFAST_INLINE void dot_quads() {
    for (int row = 0; row < rows_[kC]; ++row)
      for (int i = 0; i < 16; ++i)
        for (int byte = 0; byte < 32; byte += 8) {
          const auto x = static_cast<std::uint8_t>(block_[kA][row][i] >> byte);
          const auto w = static_cast<std::int8_t>(block_[kB][i][0] >> byte);
          block_[kC][row][0] += static_cast<Word>(x * w);
        }
  }

 private:
  using Word = std::uint32_t;
  // a + b is a product by one.
  static FNNFAST_INLINE float add(float a, float b) { return add_product(a, b, 1.0f); }

  int rows_[8] = {};
  Word block_[8][16][16] = {};
};

}  // namespace fnnfast::FNNFAST_ISA
