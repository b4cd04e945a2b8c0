// AVX-512 VNNI.
#pragma once

namespace fnnfast::FNNFAST_ISA {

struct Quads {
  // Not __m512i: its lanes are 64 bits, and GCC 12 would copy all sums between the types through memory.
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

}  // namespace fnnfast::FNNFAST_ISA
