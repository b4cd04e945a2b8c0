// AVX-512 BF16.
#pragma once

namespace fnnfast::FNNFAST_ISA {

struct PairWeights {
  static constexpr bool kInBlocks = false;
  __m512i v;
  static FNNFAST_INLINE PairWeights load(const float* p) {
    __m512i v = _mm512_loadu_si512(p);
    hold(v);
    return {v};
  }
};

struct PairInputs {
  __m512i v;
  static FNNFAST_INLINE PairInputs broadcast(const float* p) { return {_mm512_castps_si512(_mm512_set1_ps(*p))}; }
  static FNNFAST_INLINE PairInputs of(Vec<float> lo, Vec<float> hi) {
    const __m512i low = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(lo.v)));
    const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(hi.v)));
    return {_mm512_or_si512(low, _mm512_slli_epi32(high, 16))};
  }
};

FNNFAST_INLINE Vec<float> dot(Vec<float> sum, PairInputs x, PairWeights w) {
  return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(x.v), reinterpret_cast<__m512bh>(w.v))};
}

FNNFAST_INLINE void round_to_pairs(const float* x, std::ptrdiff_t n, std::uint16_t* to) {
  std::ptrdiff_t i = 0;
  for (; i + 32 <= n; i += 32)
    _mm512_storeu_si512(
        to + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i))));
  for (; i < n; i += 16) {
    const __mmask16 mask = n - i >= 16 ? __mmask16{0xFFFF} : Vec<float>::first(n - i);
    _mm256_mask_storeu_epi16(to + i, mask,
                             reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i))));
  }
}
FNNFAST_INLINE void round_to_pairs(Vec<float> v, std::uint16_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v.v)));
}

}  // namespace fnnfast::FNNFAST_ISA
