// AVX2.
#pragma once

namespace fnnfast::FNNFAST_ISA {

// Bytes 0 and 2 of each word, and 1 and 3, as 16-bit numbers, whose products in pairs are exact. (The instruction that
// multiplies bytes saturates.)
struct Quads {
  __m256i v;
  static FNNFAST_INLINE Quads load(const float* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  FNNFAST_INLINE Vec<float> to_float() const { return {_mm256_cvtepi32_ps(v)}; }
};
struct QuadWeights {
  __m256i even, odd;
  static FNNFAST_INLINE QuadWeights load(const float* p) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
  }
};
struct QuadInputs {
  __m256i even, odd;
  static FNNFAST_INLINE QuadInputs broadcast(const float* p) {
    const __m256i x = _mm256_castps_si256(_mm256_set1_ps(*p));
    return {_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16(x, 8)};
  }
};
FNNFAST_INLINE Quads dot(Quads sum, QuadInputs x, QuadWeights w) {
  const __m256i both = _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd));
  return {_mm256_add_epi32(sum.v, both)};
}

}  // namespace fnnfast::FNNFAST_ISA
