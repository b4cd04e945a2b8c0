// Plain C++: what VDPBF16PS of AVX-512 BF16 computes, bit by bit (Intel's manual, volume 2). It adds the product of the
// upper halves first, then that of the lower ones, each rounded once to nearest even; subnormal numbers are zeros in
// every operand and in both sums.
#pragma once

#include "pack.hpp"

namespace fnnfast::FNNFAST_ISA {

FNNFAST_INLINE float without_subnormal(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  return (bits & 0x7F800000u) == 0 ? __builtin_bit_cast(float, bits & 0x80000000u) : x;
}

// sum + x w, as with an exponent of any size, and zero if that is below the normal numbers.
FNNFAST_INLINE float add_product(float sum, float x, float w) {
  const float rounded = __builtin_fmaf(x, w, sum);
  constexpr float kSmallest = 0x1p-126f;
  if (rounded == kSmallest || rounded == -kSmallest) {  // perhaps only as a subnormal number, which has fewer bits
    const double exact = static_cast<double>(sum) + static_cast<double>(x) * static_cast<double>(w);
    if (__builtin_fabs(exact) < 0x1p-126 - 0x1p-151) return __builtin_copysignf(0.0f, rounded);
  }
  return without_subnormal(rounded);
}

FNNFAST_INLINE std::uint32_t rounded(float x) { return round_to_bfloat16(without_subnormal(x)); }
FNNFAST_INLINE float upper_half(std::uint32_t word) {
  return without_subnormal(__builtin_bit_cast(float, word & 0xFFFF0000u));
}
FNNFAST_INLINE float lower_half(std::uint32_t word) { return without_subnormal(__builtin_bit_cast(float, word << 16)); }

struct PairWeights {
  std::uint32_t v;
  static FNNFAST_INLINE PairWeights load(const float* p) { return {__builtin_bit_cast(std::uint32_t, *p)}; }
};

struct PairInputs {
  std::uint32_t v;
  static FNNFAST_INLINE PairInputs broadcast(const float* p) { return {__builtin_bit_cast(std::uint32_t, *p)}; }
  static FNNFAST_INLINE PairInputs of(Vec<float> lo, Vec<float> hi) { return {rounded(hi.v) << 16 | rounded(lo.v)}; }
};

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) {
  const float first = add_product(without_subnormal(sum.v), upper_half(x.v), upper_half(w.v));
  return {add_product(first, lower_half(x.v), lower_half(w.v))};
}

FNNFAST_INLINE void round_to_pairs(const float* x, std::ptrdiff_t n, std::uint16_t* to) {
  for (std::ptrdiff_t i = 0; i < n; ++i) to[i] = static_cast<std::uint16_t>(rounded(x[i]));
}

}  // namespace fnnfast::FNNFAST_ISA
