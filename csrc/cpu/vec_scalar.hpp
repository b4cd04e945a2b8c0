// One lane, in plain C++: the reference for the other instruction sets, and what runs where there is none.
#pragma once

namespace fnnfast::FNNFAST_ISA {

// The layout of an IEEE number: what pow2, exponent and mantissa need.
template <class T>
struct Ieee;
template <>
struct Ieee<float> {
  using Bits = std::uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr int kBias = 127;
};
template <>
struct Ieee<double> {
  using Bits = std::uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr int kBias = 1023;
};

template <class T>
struct Vec {
  using Scalar = T;
  struct Mask {
    bool m;
    friend FNNFAST_INLINE Mask operator&(Mask a, Mask b) { return {a.m && b.m}; }
    friend FNNFAST_INLINE Mask operator|(Mask a, Mask b) { return {a.m || b.m}; }
    friend FNNFAST_INLINE Mask operator!(Mask a) { return {!a.m}; }
    FNNFAST_INLINE bool any() const { return m; }
  };
  using Bits = typename Ieee<T>::Bits;
  static constexpr int kLanes = 1;
  static constexpr Bits kOne = Bits{Ieee<T>::kBias} << Ieee<T>::kMantissa;
  static constexpr Bits kFraction = (Bits{1} << Ieee<T>::kMantissa) - 1;

  T v;

  static FNNFAST_INLINE Vec load(const T* p) { return {*p}; }
  static FNNFAST_INLINE Vec load_partial(const T* p, std::ptrdiff_t n) { return {n > 0 ? *p : T(0)}; }
  static FNNFAST_INLINE Vec broadcast(T s) { return {s}; }
  static FNNFAST_INLINE Vec lower_halves(const T* p) { return from_bits(to_bits(*p) << 16); }
  static FNNFAST_INLINE Vec upper_halves(const T* p) { return from_bits(to_bits(*p) & 0xffff0000u); }
  FNNFAST_INLINE void store(T* p) const { *p = v; }
  FNNFAST_INLINE void store_partial(T* p, std::ptrdiff_t n) const {
    if (n > 0) *p = v;
  }

  friend FNNFAST_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
  friend FNNFAST_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
  friend FNNFAST_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
  friend FNNFAST_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
  friend FNNFAST_INLINE Vec operator-(Vec a) { return {-a.v}; }
  friend FNNFAST_INLINE Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
  friend FNNFAST_INLINE Mask operator<=(Vec a, Vec b) { return {a.v <= b.v}; }
  friend FNNFAST_INLINE Mask operator>(Vec a, Vec b) { return {a.v > b.v}; }
  friend FNNFAST_INLINE Mask operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
  friend FNNFAST_INLINE Mask operator==(Vec a, Vec b) { return {a.v == b.v}; }
  friend FNNFAST_INLINE Mask operator!=(Vec a, Vec b) { return {a.v != b.v}; }

  // Without a hardware instruction this is the C library's fma: slow, and exact.
  friend FNNFAST_INLINE Vec fma(Vec a, Vec b, Vec c) {
    if constexpr (sizeof(T) == 4) return {__builtin_fmaf(a.v, b.v, c.v)};
    return {static_cast<T>(__builtin_fma(a.v, b.v, c.v))};
  }
  friend FNNFAST_INLINE Vec select(Mask m, Vec a, Vec b) { return m.m ? a : b; }
  friend FNNFAST_INLINE Vec min(Vec a, Vec b) { return a.v < b.v ? a : b; }
  friend FNNFAST_INLINE Vec max(Vec a, Vec b) { return a.v > b.v ? a : b; }
  friend FNNFAST_INLINE Vec abs(Vec a) { return from_bits(to_bits(a.v) & ~kSign); }
  friend FNNFAST_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return from_bits((to_bits(magnitude.v) & ~kSign) | (to_bits(sign.v) & kSign));
  }
  friend FNNFAST_INLINE Vec sqrt(Vec a) {
    if constexpr (sizeof(T) == 4) return {__builtin_sqrtf(a.v)};
    return {static_cast<T>(__builtin_sqrt(a.v))};
  }
  friend FNNFAST_INLINE Vec round(Vec a) {
    if constexpr (sizeof(T) == 4) return {__builtin_rintf(a.v)};
    return {static_cast<T>(__builtin_rint(a.v))};
  }
  friend FNNFAST_INLINE Vec pow2(Vec n) {
    return from_bits(static_cast<Bits>(static_cast<std::int64_t>(n.v) + Ieee<T>::kBias) << Ieee<T>::kMantissa);
  }
  // 2^n may be no number. Each of two halves is one, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const Vec half = round(Vec{n.v * T(0.5)});
    return a * pow2(half) * pow2(n - half);
  }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    return {static_cast<T>(static_cast<std::int64_t>(to_bits(a.v) >> Ieee<T>::kMantissa) - Ieee<T>::kBias)};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) { return from_bits((to_bits(a.v) & kFraction) | kOne); }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    if (n > 0) *p = static_cast<std::uint8_t>(a.v);
  }

 private:
  static constexpr Bits kSign = Bits{1} << (8 * sizeof(T) - 1);
  static FNNFAST_INLINE Bits to_bits(T x) { return __builtin_bit_cast(Bits, x); }
  static FNNFAST_INLINE Vec from_bits(Bits x) { return {__builtin_bit_cast(T, x)}; }
};

}  // namespace fnnfast::FNNFAST_ISA
