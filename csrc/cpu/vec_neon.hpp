// 128-bit registers: NEON of aarch64.
#pragma once

#include <arm_neon.h>

namespace fnnfast::FNNFAST_ISA {

inline constexpr int kRegisters = 32;

template <class Register>
FNNFAST_INLINE void hold(Register& v) {
  asm("" : "+w"(v));
}

template <>
struct Vec<float> {
  using Scalar = float;
  static constexpr int kLanes = 4;
  struct Mask {
    uint32x4_t m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {vandq_u32(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {vorrq_u32(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) { return {vmvnq_u32(a.m)}; }
    FNNFAST_INLINE bool any() const { return vmaxvq_u32(m) != 0; }
  };

  float32x4_t v;

  static FNNFAST_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
  // NEON has no masked access: lane by lane, in registers.
  static FNNFAST_INLINE Vec load_partial(const float* p, std::ptrdiff_t n) {
    float32x4_t lanes = vdupq_n_f32(0);
    if (n > 0) lanes = vld1q_lane_f32(p, lanes, 0);
    if (n > 1) lanes = vld1q_lane_f32(p + 1, lanes, 1);
    if (n > 2) lanes = vld1q_lane_f32(p + 2, lanes, 2);
    if (n > 3) lanes = vld1q_lane_f32(p + 3, lanes, 3);
    return {lanes};
  }
  static FNNFAST_INLINE Vec broadcast(float s) { return {vdupq_n_f32(s)}; }
  static FNNFAST_INLINE Vec lower_halves(const float* p) {
    return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(vld1q_f32(p)), 16))};
  }
  static FNNFAST_INLINE Vec upper_halves(const float* p) {
    return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vld1q_f32(p)), vdupq_n_u32(0xffff0000u)))};
  }
  static FNNFAST_INLINE void load_transposed(const float* p, std::ptrdiff_t row, Vec (&out)[4]) {
    const float32x4_t r0 = vld1q_f32(p), r1 = vld1q_f32(p + row);
    const float32x4_t r2 = vld1q_f32(p + 2 * row), r3 = vld1q_f32(p + 3 * row);
    const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1)),
                      odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
    const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3)),
                      odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
    out[0] = {vreinterpretq_f32_f64(vtrn1q_f64(even01, even23))};
    out[1] = {vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23))};
    out[2] = {vreinterpretq_f32_f64(vtrn2q_f64(even01, even23))};
    out[3] = {vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23))};
  }
  FNNFAST_INLINE void store(float* p) const { vst1q_f32(p, v); }
  FNNFAST_INLINE void store_partial(float* p, std::ptrdiff_t n) const {
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
    if (n > 3) vst1q_lane_f32(p + 3, v, 3);
  }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {vnegq_f32(a.v)}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {vcleq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {vcgeq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return !(a == b); }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.m, a.v, b.v)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return {vbslq_f32(vdupq_n_u32(0x80000000), sign.v, magnitude.v)};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n.v), vdupq_n_s32(127));
    return {vreinterpretq_f32_s32(vshlq_n_s32(biased, 23))};
  }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return a * pow2(n); }
  // 2^n may not be representable. 2^(n/2) is, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const int32x4_t whole = vcvtq_s32_f32(n.v);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    const int32x4_t bias = vdupq_n_s32(127);
    const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return {vmulq_f32(vmulq_f32(a.v, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second))};
  }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const int32x4_t biased = vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_f32(a.v), 23));
    return {vcvtq_f32_s32(vsubq_s32(biased, vdupq_n_s32(127)))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) { return {vbslq_f32(vdupq_n_u32(0x007fffff), a.v, vdupq_n_f32(1))}; }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    const uint32x4_t index = vcvtq_u32_f32(a.v);
    if (n > 0) p[0] = static_cast<std::uint8_t>(vgetq_lane_u32(index, 0));
    if (n > 1) p[1] = static_cast<std::uint8_t>(vgetq_lane_u32(index, 1));
    if (n > 2) p[2] = static_cast<std::uint8_t>(vgetq_lane_u32(index, 2));
    if (n > 3) p[3] = static_cast<std::uint8_t>(vgetq_lane_u32(index, 3));
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  static constexpr int kLanes = 2;
  struct Mask {
    uint64x2_t m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {vandq_u64(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {vorrq_u64(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) {
      return {vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(a.m)))};
    }
    FNNFAST_INLINE bool any() const { return vmaxvq_u32(vreinterpretq_u32_u64(m)) != 0; }
  };

  float64x2_t v;

  static FNNFAST_INLINE Vec load(const double* p) { return {vld1q_f64(p)}; }
  static FNNFAST_INLINE Vec load_partial(const double* p, std::ptrdiff_t n) {
    float64x2_t lanes = vdupq_n_f64(0);
    if (n > 0) lanes = vld1q_lane_f64(p, lanes, 0);
    if (n > 1) lanes = vld1q_lane_f64(p + 1, lanes, 1);
    return {lanes};
  }
  static FNNFAST_INLINE Vec broadcast(double s) { return {vdupq_n_f64(s)}; }
  static FNNFAST_INLINE void load_transposed(const double* p, std::ptrdiff_t row, Vec (&out)[2]) {
    const float64x2_t r0 = vld1q_f64(p), r1 = vld1q_f64(p + row);
    out[0] = {vtrn1q_f64(r0, r1)};
    out[1] = {vtrn2q_f64(r0, r1)};
  }
  FNNFAST_INLINE void store(double* p) const { vst1q_f64(p, v); }
  FNNFAST_INLINE void store_partial(double* p, std::ptrdiff_t n) const {
    if (n > 0) vst1q_lane_f64(p, v, 0);
    if (n > 1) vst1q_lane_f64(p + 1, v, 1);
  }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {vaddq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {vsubq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {vmulq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {vdivq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {vnegq_f64(a.v)}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {vcltq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {vcleq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {vcgtq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {vcgeq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {vceqq_f64(a.v, b.v)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return !(a == b); }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {vbslq_f64(m.m, a.v, b.v)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {vabsq_f64(a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return {vbslq_f64(vdupq_n_u64(0x8000000000000000), sign.v, magnitude.v)};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {vsqrtq_f64(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) { return {vrndnq_f64(a.v)}; }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const int64x2_t biased = vaddq_s64(vcvtq_s64_f64(n.v), vdupq_n_s64(1023));
    return {vreinterpretq_f64_s64(vshlq_n_s64(biased, 52))};
  }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return a * pow2(n); }
  // 2^n may not be representable. 2^(n/2) is, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const int64x2_t whole = vcvtq_s64_f64(n.v);
    const int64x2_t half = vshrq_n_s64(whole, 1);
    const int64x2_t bias = vdupq_n_s64(1023);
    const int64x2_t first = vshlq_n_s64(vaddq_s64(half, bias), 52);
    const int64x2_t second = vshlq_n_s64(vaddq_s64(vsubq_s64(whole, half), bias), 52);
    return {vmulq_f64(vmulq_f64(a.v, vreinterpretq_f64_s64(first)), vreinterpretq_f64_s64(second))};
  }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const int64x2_t biased = vreinterpretq_s64_u64(vshrq_n_u64(vreinterpretq_u64_f64(a.v), 52));
    return {vcvtq_f64_s64(vsubq_s64(biased, vdupq_n_s64(1023)))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) {
    return {vbslq_f64(vdupq_n_u64(0x000fffffffffffff), a.v, vdupq_n_f64(1))};
  }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    const uint64x2_t index = vcvtq_u64_f64(a.v);
    if (n > 0) p[0] = static_cast<std::uint8_t>(vgetq_lane_u64(index, 0));
    if (n > 1) p[1] = static_cast<std::uint8_t>(vgetq_lane_u64(index, 1));
  }
};

}  // namespace fnnfast::FNNFAST_ISA
