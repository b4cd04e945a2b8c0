// USDOT, of the extension I8MM of aarch64.
#pragma once

namespace fnnfast::FNNFAST_ISA {

struct Quads {
  int32x4_t v;
  static FNNFAST_INLINE Quads load(const float* p) { return {vreinterpretq_s32_f32(vld1q_f32(p))}; }
  FNNFAST_INLINE Vec<float> to_float() const { return {vcvtq_f32_s32(v)}; }
};
struct QuadWeights {
  int8x16_t v;
  static FNNFAST_INLINE QuadWeights load(const float* p) { return {vreinterpretq_s8_f32(vld1q_f32(p))}; }
};
struct QuadInputs {
  uint8x16_t v;
  static FNNFAST_INLINE QuadInputs broadcast(const float* p) { return {vreinterpretq_u8_f32(vld1q_dup_f32(p))}; }
};
FNNFAST_INLINE Quads dot(Quads sum, QuadInputs x, QuadWeights w) { return {vusdotq_s32(sum.v, x.v, w.v)}; }

}  // namespace fnnfast::FNNFAST_ISA
