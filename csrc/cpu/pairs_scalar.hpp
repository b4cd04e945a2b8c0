// Plain C++: what VDPBF16PS of AVX-512 BF16 computes, bit by bit (Intel's manual, volume 2). It adds the product of the
// upper halves first, then that of the lower ones, each rounded once to nearest even; subnormal numbers are zeros in
// every operand and in both sums.
#pragma once

#include "pairs_words.hpp"

namespace fnnfast::FNNFAST_ISA {

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

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) {
  const float first = add_product(without_subnormal(sum.v), upper_half(x.v), upper_half(w.v));
  return {add_product(first, lower_half(x.v), lower_half(w.v))};
}

}  // namespace fnnfast::FNNFAST_ISA
