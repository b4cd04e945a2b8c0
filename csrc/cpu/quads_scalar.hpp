// Plain C++.
#pragma once

namespace fnnfast::FNNFAST_ISA {

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

}  // namespace fnnfast::FNNFAST_ISA
