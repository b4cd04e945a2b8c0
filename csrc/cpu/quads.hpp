// Products of 8-bit numbers, four to a word: what int8.hpp needs of an instruction set.
//
//   Quads                   kLanes sums of 32 bits: load(p), to_float()
//   QuadWeights, QuadInputs one word a lane: load(p), broadcast(p)
//   dot(sum, x, w)          sum + the four products of unsigned x and signed w of each word, exact
#pragma once

#include "vec.hpp"

namespace fnnfast::FNNFAST_ISA {

#if defined(FNNFAST_ISA_AVX512)  // with VNNI

struct Quads {
  // Not __m512i: its lanes are 64 bits, and GCC 12 would copy all sums from one type to the other, through memory.
  typedef std::int32_t Words __attribute__((vector_size(64)));
  Words v;
  static FNNFAST_INLINE Quads load(const float* p) { return {reinterpret_cast<Words>(_mm512_loadu_si512(p))}; }
  FNNFAST_INLINE Vec<float> to_float() const { return {_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(v))}; }
};
struct QuadWeights {
  __m512i v;
  static FNNFAST_INLINE QuadWeights load(const float* p) {
    __m512i v = _mm512_loadu_si512(p);
    hold(v);
    return {v};
  }
};
struct QuadInputs {
  __m512i v;
  static FNNFAST_INLINE QuadInputs broadcast(const float* p) { return {_mm512_castps_si512(_mm512_set1_ps(*p))}; }
};
FNNFAST_INLINE Quads dot(Quads sum, QuadInputs x, QuadWeights w) {
  return {reinterpret_cast<Quads::Words>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum.v), x.v, w.v))};
}

#elif defined(FNNFAST_ISA_AVX2)

// Bytes 0 and 2 of each word, and 1 and 3, as numbers of 16 bits, whose products in pairs are exact. (The instruction
// that multiplies bytes saturates.)
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

#else

struct Quads {
  std::int32_t v;
  static FNNFAST_INLINE Quads load(const float* p) { return {__builtin_bit_cast(std::int32_t, *p)}; }
  FNNFAST_INLINE Vec<float> to_float() const { return {static_cast<float>(v)}; }
};
struct Bytes {
  std::uint8_t at[4];
};
struct QuadWeights {
  Bytes v;
  static FNNFAST_INLINE QuadWeights load(const float* p) { return {__builtin_bit_cast(Bytes, *p)}; }
};
struct QuadInputs {
  Bytes v;
  static FNNFAST_INLINE QuadInputs broadcast(const float* p) { return {__builtin_bit_cast(Bytes, *p)}; }
};
FNNFAST_INLINE Quads dot(Quads sum, QuadInputs x, QuadWeights w) {
  for (int i = 0; i < 4; ++i) sum.v += x.v.at[i] * static_cast<std::int8_t>(w.v.at[i]);
  return sum;
}

#endif

}  // namespace fnnfast::FNNFAST_ISA
