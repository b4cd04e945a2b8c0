// BFDOT, of the extension BF16 of aarch64.
#pragma once

#include "pack.hpp"

namespace fnnfast::FNNFAST_ISA {

struct PairWeights {
  bfloat16x8_t v;
  static FNNFAST_INLINE PairWeights load(const float* p) { return {vreinterpretq_bf16_f32(vld1q_f32(p))}; }
};

struct PairInputs {
  bfloat16x8_t v;
  static FNNFAST_INLINE PairInputs broadcast(const float* p) { return {vreinterpretq_bf16_f32(vld1q_dup_f32(p))}; }
  static FNNFAST_INLINE PairInputs of(Vec<float> lo, Vec<float> hi) {
    const uint16x4_t low = vreinterpret_u16_bf16(vcvt_bf16_f32(lo.v)),
                     high = vreinterpret_u16_bf16(vcvt_bf16_f32(hi.v));
    return {vreinterpretq_bf16_u16(vcombine_u16(vzip1_u16(low, high), vzip2_u16(low, high)))};
  }
};

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) { return {vbfdotq_f32(sum.v, x.v, w.v)}; }

// Subnormal numbers stay what they are: the products take them for zeros.
FNNFAST_INLINE void round_to_pairs(const float* x, std::ptrdiff_t n, std::uint16_t* to) {
  std::ptrdiff_t i = 0;
  for (; i + 8 <= n; i += 8)
    vst1q_u16(to + i,
              vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(x + i)), vld1q_f32(x + i + 4))));
  for (; i < n; ++i) to[i] = static_cast<std::uint16_t>(round_to_bfloat16(x[i]));
}

}  // namespace fnnfast::FNNFAST_ISA
