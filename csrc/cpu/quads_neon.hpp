// NEON.
#pragma once

namespace fnnfast::FNNFAST_ISA {

// Bytes 0 and 2 of each word, and 1 and 3, as 16-bit numbers. Products of them have 16 bits, since x is at most 255 and
// w at most 127.
struct Quads {
  int32x4_t v;
  static FNNFAST_INLINE Quads load(const float* p) { return {vreinterpretq_s32_f32(vld1q_f32(p))}; }
  FNNFAST_INLINE Vec<float> to_float() const { return {vcvtq_f32_s32(v)}; }
};
struct QuadWeights {
  int16x8_t even, odd;
  static FNNFAST_INLINE QuadWeights load(const float* p) {
    const int16x8_t w = vreinterpretq_s16_f32(vld1q_f32(p));
    return {vshrq_n_s16(vshlq_n_s16(w, 8), 8), vshrq_n_s16(w, 8)};
  }
};
struct QuadInputs {
  int16x8_t even, odd;
  static FNNFAST_INLINE QuadInputs broadcast(const float* p) {
    const uint16x8_t x = vreinterpretq_u16_f32(vld1q_dup_f32(p));
    return {vreinterpretq_s16_u16(vandq_u16(x, vdupq_n_u16(255))), vreinterpretq_s16_u16(vshrq_n_u16(x, 8))};
  }
};
FNNFAST_INLINE Quads dot(Quads sum, QuadInputs x, QuadWeights w) {
  return {vpadalq_s16(vpadalq_s16(sum.v, vmulq_s16(x.even, w.even)), vmulq_s16(x.odd, w.odd))};
}

}  // namespace fnnfast::FNNFAST_ISA
