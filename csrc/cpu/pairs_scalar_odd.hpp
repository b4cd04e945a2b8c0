// Plain C++: what BFDOT of aarch64 computes, bit by bit (Arm's manual, BFDotAdd). It adds the two products to each
// other, and their sum to the one before. What a result cannot hold is cut off, and its last bit is then set (rounding
// to odd); subnormal numbers are zeros, in every operand and in every result.
#pragma once

#include "pairs_words.hpp"

namespace fnnfast::FNNFAST_ISA {

// An exact number, or one that is rounded to odd with more bits than a float has.
FNNFAST_INLINE float round_to_odd(double x) {
  constexpr std::uint64_t kLost = (std::uint64_t{1} << 29) - 1;  // bits of a float64 that a float32 does not have
  if (x != x) return __builtin_nanf("");
  if (__builtin_fabs(x) < 0x1p-126) return static_cast<float>(__builtin_copysign(0.0, x));
  if (__builtin_fabs(x) >= 0x1p128) return static_cast<float>(__builtin_copysign(__builtin_inf(), x));
  std::uint64_t bits = __builtin_bit_cast(std::uint64_t, x);
  if ((bits & kLost) != 0) bits = (bits & ~kLost) | (kLost + 1);
  return static_cast<float>(__builtin_bit_cast(double, bits));
}

FNNFAST_INLINE float add_to_odd(float a, float b) {
  const double x = a, y = b, sum = x + y;
  const double rest = sum - x, error = (x - (sum - rest)) + (y - rest);
  std::uint64_t bits = __builtin_bit_cast(std::uint64_t, sum);
  if (__builtin_isfinite(sum) && error != 0.0 && (bits & 1) == 0) bits += (error > 0.0) == (sum > 0.0) ? 1 : -1ull;
  return round_to_odd(__builtin_bit_cast(double, bits));
}

FNNFAST_INLINE float multiply_halves(float x, float w) {
  return round_to_odd(static_cast<double>(x) * static_cast<double>(w));
}

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) {
  const float both =
      add_to_odd(multiply_halves(lower_half(x.v), lower_half(w.v)), multiply_halves(upper_half(x.v), upper_half(w.v)));
  return {add_to_odd(without_subnormal(sum.v), both)};
}

}  // namespace fnnfast::FNNFAST_ISA
