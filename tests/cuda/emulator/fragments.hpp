// The numbers of products' operands: a register holds two neighbours in k, or one tf32, of which the low 13 bits do not
// count.
#pragma once

#include <cstdint>

#include "fibers.hpp"
#include "instructions.hpp"

namespace fnnfast::emulator {

template <class T>
inline constexpr int kEach = 2;
template <>
inline constexpr int kEach<Tf32> = 1;

template <class T>
FNNFAST_EMULATOR_UNCHECKED double unpack(std::uint32_t word, int which);
template <>
FNNFAST_EMULATOR_UNCHECKED inline double unpack<__half>(std::uint32_t pair, int which) {
  const std::uint64_t half = pair >> (16 * which) & 0xFFFF, magnitude = (half & 0x7FFF) << 42;
  const std::uint64_t sign = (half & 0x8000) << 48, infinity = std::uint64_t{0x7FF} << 52;
  if ((half & 0x7C00) == 0x7C00) return __builtin_bit_cast(double, sign | infinity | magnitude);
  return __builtin_bit_cast(double, sign | magnitude) * 0x1p1008;  // the exponents' biases differ by so much
}
template <>
FNNFAST_EMULATOR_UNCHECKED inline double unpack<__nv_bfloat16>(std::uint32_t pair, int which) {
  return __builtin_bit_cast(float, which == 0 ? pair << 16 : pair & 0xFFFF0000);
}
template <>
FNNFAST_EMULATOR_UNCHECKED inline double unpack<Tf32>(std::uint32_t word, int) {
  return __builtin_bit_cast(float, word & ~0x1FFFu);
}

using Row = double __attribute__((vector_size(64)));  // 8 columns, in the vectors of the processor even without -O

// d (16 x 8) += a (16 x inputs) b (inputs x 8), k ascending; the caller rounds.
template <int kInputs>
FNNFAST_EMULATOR_UNCHECKED inline void add_products(Row (&d)[16], const double (&a)[16][kInputs],
                                                    const Row (&b)[kInputs]) {
  for (int row = 0; row < 16; ++row) {
    Row sum = d[row];
    for (int k = 0; k < kInputs; ++k) sum += a[row][k] * b[k];
    d[row] = sum;
  }
}

}  // namespace fnnfast::emulator
