// 256-bit registers: AVX2 and FMA.
#pragma once

#include <immintrin.h>

namespace fnnfast::FNNFAST_ISA {

inline constexpr int kRegisters = 16;

template <class Register>
FNNFAST_INLINE void hold(Register& v) {
  asm("" : "+x"(v));
}

template <>
struct Vec<float> {
  using Scalar = float;
  static constexpr int kLanes = 8;
  struct Mask {
    __m256 m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) {
      return {_mm256_xor_ps(a.m, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
    }
    FNNFAST_INLINE bool any() const { return _mm256_movemask_ps(m) != 0; }
  };

  __m256 v;

  static FNNFAST_INLINE __m256i first(std::ptrdiff_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static FNNFAST_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static FNNFAST_INLINE Vec load_partial(const float* p, std::ptrdiff_t n) { return {_mm256_maskload_ps(p, first(n))}; }
  static FNNFAST_INLINE Vec broadcast(float s) { return {_mm256_set1_ps(s)}; }
  static FNNFAST_INLINE Vec lower_halves(const float* p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(_mm256_loadu_ps(p)), 16))};
  }
  static FNNFAST_INLINE Vec upper_halves(const float* p) {
    return {_mm256_and_ps(_mm256_loadu_ps(p), _mm256_castsi256_ps(_mm256_set1_epi32(-65536)))};
  }
  static FNNFAST_INLINE void load_transposed(const float* p, std::ptrdiff_t row, Vec (&out)[4]) {
    const auto rows = [&](std::ptrdiff_t r) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + r * row)), _mm_loadu_ps(p + (r + 4) * row),
                                  1);
    };
    const __m256 r0 = rows(0), r1 = rows(1), r2 = rows(2), r3 = rows(3);
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    out[0] = {_mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23))};
    out[1] = {_mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23))};
    out[2] = {_mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23))};
    out[3] = {_mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23))};
  }
  FNNFAST_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  FNNFAST_INLINE void store_partial(float* p, std::ptrdiff_t n) const { _mm256_maskstore_ps(p, first(n), v); }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {-a.v}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)}; }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.m)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(biased, 23))};
  }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return a * pow2(n); }
  // 2^n may not be representable. 2^(n/2) is, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second))};
  }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(a.v), 23);
    return {_mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) {
    const __m256i fraction = _mm256_and_si256(_mm256_castps_si256(a.v), _mm256_set1_epi32(0x007fffff));
    return {_mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3f800000)))};
  }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    const __m256i index = _mm256_cvtps_epi32(a.v);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(index), _mm256_extracti128_si256(index, 1));
    alignas(8) std::uint8_t bytes[kLanes];
    _mm_storel_epi64(reinterpret_cast<__m128i*>(n >= kLanes ? p : bytes), _mm_packus_epi16(halves, halves));
    for (std::ptrdiff_t i = 0; n < kLanes && i < n; ++i) p[i] = bytes[i];
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  static constexpr int kLanes = 4;
  struct Mask {
    __m256d m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_pd(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_pd(a.m, b.m)}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) {
      return {_mm256_xor_pd(a.m, _mm256_castsi256_pd(_mm256_set1_epi32(-1)))};
    }
    FNNFAST_INLINE bool any() const { return _mm256_movemask_pd(m) != 0; }
  };

  __m256d v;

  static FNNFAST_INLINE __m256i first(std::ptrdiff_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static FNNFAST_INLINE Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static FNNFAST_INLINE Vec load_partial(const double* p, std::ptrdiff_t n) {
    return {_mm256_maskload_pd(p, first(n))};
  }
  static FNNFAST_INLINE Vec broadcast(double s) { return {_mm256_set1_pd(s)}; }
  static FNNFAST_INLINE void load_transposed(const double* p, std::ptrdiff_t row, Vec (&out)[2]) {
    const auto rows = [&](std::ptrdiff_t r) {
      return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p + r * row)), _mm_loadu_pd(p + (r + 2) * row),
                                  1);
    };
    const __m256d even = rows(0), odd = rows(1);
    out[0] = {_mm256_unpacklo_pd(even, odd)};
    out[1] = {_mm256_unpackhi_pd(even, odd)};
  }
  FNNFAST_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  FNNFAST_INLINE void store_partial(double* p, std::ptrdiff_t n) const { _mm256_maskstore_pd(p, first(n), v); }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {-a.v}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ)}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_NEQ_UQ)}; }

  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_pd(b.v, a.v, m.m)}; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_pd(a.v, b.v)}; }
  friend FNNFAST_INLINE Vec abs(Vec a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m256d bit = _mm256_set1_pd(-0.0);
    return {_mm256_or_pd(_mm256_andnot_pd(bit, magnitude.v), _mm256_and_pd(bit, sign.v))};
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_pd(a.v)}; }
  friend FNNFAST_INLINE Vec round(Vec a) {
    return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    const __m256i integer = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n.v));
    return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(integer, _mm256_set1_epi64x(1023)), 52))};
  }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return a * pow2(n); }
  // 2^n may not be representable. 2^(n/2) is, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const __m128i whole = _mm256_cvtpd_epi32(n.v);
    const __m128i half = _mm_srai_epi32(whole, 1);
    const __m128i bias = _mm_set1_epi32(1023);
    const __m256i first = _mm256_cvtepi32_epi64(_mm_add_epi32(half, bias));
    const __m256i second = _mm256_cvtepi32_epi64(_mm_add_epi32(_mm_sub_epi32(whole, half), bias));
    const __m256d once = _mm256_mul_pd(a.v, _mm256_castsi256_pd(_mm256_slli_epi64(first, 52)));
    return {_mm256_mul_pd(once, _mm256_castsi256_pd(_mm256_slli_epi64(second, 52)))};
  }
  // AVX2 cannot convert 64-bit integers. The biased exponent, below 2^52, is exact when or-ed into the fraction of
  // 2^52.
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    const __m256i biased = _mm256_srli_epi64(_mm256_castpd_si256(a.v), 52);
    const __m256d shifted = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_set1_epi64x(0x4330000000000000)));
    return {_mm256_sub_pd(shifted, _mm256_set1_pd(4503599627370496.0 + 1023.0))};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) {
    const __m256i fraction = _mm256_and_si256(_mm256_castpd_si256(a.v), _mm256_set1_epi64x(0x000fffffffffffff));
    return {_mm256_castsi256_pd(_mm256_or_si256(fraction, _mm256_set1_epi64x(0x3ff0000000000000)))};
  }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    alignas(16) std::int32_t index[kLanes];
    _mm_store_si128(reinterpret_cast<__m128i*>(index), _mm256_cvtpd_epi32(a.v));
    for (std::ptrdiff_t i = 0; i < kLanes; ++i)
      if (i < n) p[i] = static_cast<std::uint8_t>(index[i]);
  }
};

}  // namespace fnnfast::FNNFAST_ISA
