// Words of two bfloat16 in plain C++. Subnormal numbers are zeros.
#pragma once

#include "pack.hpp"

namespace fnnfast::FNNFAST_ISA {

FNNFAST_INLINE float without_subnormal(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  return (bits & 0x7F800000u) == 0 ? __builtin_bit_cast(float, bits & 0x80000000u) : x;
}

FNNFAST_INLINE std::uint32_t rounded(float x) { return round_to_bfloat16(without_subnormal(x)); }
FNNFAST_INLINE float upper_half(std::uint32_t word) {
  return without_subnormal(__builtin_bit_cast(float, word & 0xFFFF0000u));
}
FNNFAST_INLINE float lower_half(std::uint32_t word) { return without_subnormal(__builtin_bit_cast(float, word << 16)); }

struct PairWeights {
  static constexpr bool kInBlocks = false;
  std::uint32_t v;
  static FNNFAST_INLINE PairWeights load(const float* p) { return {__builtin_bit_cast(std::uint32_t, *p)}; }
};

struct PairInputs {
  std::uint32_t v;
  static FNNFAST_INLINE PairInputs broadcast(const float* p) { return {__builtin_bit_cast(std::uint32_t, *p)}; }
  static FNNFAST_INLINE PairInputs of(Vec<float> lo, Vec<float> hi) { return {rounded(hi.v) << 16 | rounded(lo.v)}; }
};

FNNFAST_INLINE void round_to_pairs(const float* x, std::ptrdiff_t n, std::uint16_t* to) {
  for (std::ptrdiff_t i = 0; i < n; ++i) to[i] = static_cast<std::uint16_t>(rounded(x[i]));
}
FNNFAST_INLINE void round_to_pairs(Vec<float> v, std::uint16_t* to) { *to = static_cast<std::uint16_t>(rounded(v.v)); }

}  // namespace fnnfast::FNNFAST_ISA
