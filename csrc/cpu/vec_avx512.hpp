// 512-bit registers: AVX-512 F, VL, BW and DQ.
#pragma once

#include <immintrin.h>

namespace fnnfast::FNNFAST_ISA {

inline constexpr int kRegisters = 32;

template <class Register>
FNNFAST_INLINE void hold(Register& v) {
  asm("" : "+v"(v));
}

template <>
struct Vec<float> {
  using Scalar = float;
  static constexpr int kLanes = 16;
  struct Mask {
    __mmask16 m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.m | b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) { return {static_cast<__mmask16>(~a.m)}; }
    FNNFAST_INLINE bool any() const { return m != 0; }
  };

  __m512 v;

  static FNNFAST_INLINE __mmask16 first(std::ptrdiff_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static FNNFAST_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static FNNFAST_INLINE Vec load_partial(const float* p, std::ptrdiff_t n) {
    return {_mm512_maskz_loadu_ps(first(n), p)};
  }
  static FNNFAST_INLINE Vec broadcast(float s) { return {_mm512_set1_ps(s)}; }
  static FNNFAST_INLINE Vec lower_halves(const float* p) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
  }
  static FNNFAST_INLINE Vec upper_halves(const float* p) {
    return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-65536)))};
  }
  static FNNFAST_INLINE void load_transposed(const float* p, std::ptrdiff_t row, Vec (&out)[4]) {
    const auto half = [&](std::ptrdiff_t r) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + r * row)), _mm_loadu_ps(p + (r + 4) * row),
                                  1);
    };
    const auto rows = [&](std::ptrdiff_t r) {
      return _mm512_insertf32x8(_mm512_castps256_ps512(half(r)), half(r + 8), 1);
    };
    const __m512 r0 = rows(0), r1 = rows(1), r2 = rows(2), r3 = rows(3);
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    out[0] = {_mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23))};
    out[1] = {_mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23))};
    out[2] = {_mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23))};
    out[3] = {_mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23))};
  }
  FNNFAST_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  FNNFAST_INLINE void store_partial(float* p, std::ptrdiff_t n) const { _mm512_mask_storeu_ps(p, first(n), v); }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {-a.v}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m512 bit = _mm512_set1_ps(-0.0f);
    return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
  }
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return scale(a, n); }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const __m512i biased = _mm512_srli_epi32(_mm512_castps_si512(a.v), 23);
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(biased, _mm512_set1_epi32(127)))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) {
    const __m512i fraction = _mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x007fffff));
    return {_mm512_castsi512_ps(_mm512_or_si512(fraction, _mm512_set1_epi32(0x3f800000)))};
  }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    const __m512i index = _mm512_cvtps_epi32(a.v);
    if (n >= kLanes)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(index));
    else
      _mm512_mask_cvtepi32_storeu_epi8(p, first(n), index);
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  static constexpr int kLanes = 8;
  struct Mask {
    __mmask8 m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask8>(a.m & b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask8>(a.m | b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) { return {static_cast<__mmask8>(~a.m)}; }
    FNNFAST_INLINE bool any() const { return m != 0; }
  };

  __m512d v;

  static FNNFAST_INLINE __mmask8 first(std::ptrdiff_t n) { return static_cast<__mmask8>((1u << n) - 1u); }
  static FNNFAST_INLINE Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static FNNFAST_INLINE Vec load_partial(const double* p, std::ptrdiff_t n) {
    return {_mm512_maskz_loadu_pd(first(n), p)};
  }
  static FNNFAST_INLINE Vec broadcast(double s) { return {_mm512_set1_pd(s)}; }
  static FNNFAST_INLINE void load_transposed(const double* p, std::ptrdiff_t row, Vec (&out)[2]) {
    const auto half = [&](std::ptrdiff_t r) {
      return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p + r * row)), _mm_loadu_pd(p + (r + 2) * row),
                                  1);
    };
    const __m512d even = _mm512_insertf64x4(_mm512_castpd256_pd512(half(0)), half(4), 1);
    const __m512d odd = _mm512_insertf64x4(_mm512_castpd256_pd512(half(1)), half(5), 1);
    out[0] = {_mm512_unpacklo_pd(even, odd)};
    out[1] = {_mm512_unpackhi_pd(even, odd)};
  }
  FNNFAST_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  FNNFAST_INLINE void store_partial(double* p, std::ptrdiff_t n) const { _mm512_mask_storeu_pd(p, first(n), v); }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {-a.v}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_NEQ_UQ)}; }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_pd(m.m, b.v, a.v)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {_mm512_andnot_pd(_mm512_set1_pd(-0.0), a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m512d bit = _mm512_set1_pd(-0.0);
    return {_mm512_or_pd(_mm512_andnot_pd(bit, magnitude.v), _mm512_and_pd(bit, sign.v))};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_pd(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) {
    return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const __m512i biased = _mm512_add_epi64(_mm512_cvtpd_epi64(n.v), _mm512_set1_epi64(1023));
    return {_mm512_castsi512_pd(_mm512_slli_epi64(biased, 52))};
  }
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) { return {_mm512_scalef_pd(a.v, n.v)}; }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return scale(a, n); }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const __m512i biased = _mm512_srli_epi64(_mm512_castpd_si512(a.v), 52);
    return {_mm512_cvtepi64_pd(_mm512_sub_epi64(biased, _mm512_set1_epi64(1023)))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) {
    const __m512i fraction = _mm512_and_si512(_mm512_castpd_si512(a.v), _mm512_set1_epi64(0x000fffffffffffff));
    return {_mm512_castsi512_pd(_mm512_or_si512(fraction, _mm512_set1_epi64(0x3ff0000000000000)))};
  }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    _mm512_mask_cvtepi64_storeu_epi8(p, first(n), _mm512_cvtpd_epi64(a.v));
  }
};

}  // namespace fnnfast::FNNFAST_ISA
