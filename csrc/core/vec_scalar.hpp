// Vec in plain C++: the reference for the instruction sets, the fallback, and the GPU's.
//
// A vector is one number. In the GPU's row kernels, which define FNNFAST_LANES_ARE_THREADS, it is one number in each of
// 16 neighbouring threads (csrc/cuda/lanes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "macros.hpp"

#if defined(FNNFAST_LANES_ARE_THREADS)
#include "../cuda/lanes.hpp"
#endif

namespace fnnfast::FNNFAST_ISA {

#if !defined(FNNFAST_LANES_ARE_THREADS)
struct Lanes {
  static constexpr int kCount = 1;
  static FNNFAST_INLINE int own() { return 0; }
};
#endif

inline constexpr int kRegisters = 16;

template <class Register>
FNNFAST_INLINE void hold(Register&) {}

// The layout of an IEEE number, for pow2, exponent and mantissa.
template <class T>
struct Ieee;
template <>
struct Ieee<float> {
  using Bits = std::uint32_t;
  using Integer = std::int32_t;
  static constexpr int kMantissa = 23;
  static constexpr int kBias = 127;
};
template <>
struct Ieee<double> {
  using Bits = std::uint64_t;
  using Integer = std::int64_t;
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
  using Integer = typename Ieee<T>::Integer;
  static constexpr int kLanes = Lanes::kCount;
  static constexpr Bits kOne = Bits{Ieee<T>::kBias} << Ieee<T>::kMantissa;
  static constexpr Bits kFraction = (Bits{1} << Ieee<T>::kMantissa) - 1;

  T v;

  static FNNFAST_INLINE Vec load(const T* p) { return {p[Lanes::own()]}; }
  static FNNFAST_INLINE Vec load_partial(const T* p, std::ptrdiff_t n) {
    return {Lanes::own() < n ? p[Lanes::own()] : T(0)};
  }
  static FNNFAST_INLINE Vec broadcast(T s) { return {s}; }
  static FNNFAST_INLINE Vec lower_halves(const T* p) { return from_bits(to_bits(*p) << 16); }
  static FNNFAST_INLINE Vec upper_halves(const T* p) { return from_bits(to_bits(*p) & 0xffff0000u); }
  FNNFAST_INLINE void store(T* p) const { p[Lanes::own()] = v; }
  FNNFAST_INLINE void store_partial(T* p, std::ptrdiff_t n) const {
    if (Lanes::own() < n) p[Lanes::own()] = v;
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
#if defined(__CUDACC__)
  // Division on the device tests for subnormal and huge numbers, and calls a function for them, which blocks the
  // compiler's scheduling. This is division without the test (Newton's steps, each rounded once).
  friend FNNFAST_INLINE Vec reciprocal(Vec b) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == 4) {
      const float r = roughly_reciprocal(b.v);
      return {__builtin_fmaf(r, -__builtin_fmaf(b.v, r, -1.0f), r)};
    }
#endif
    return {T(1) / b.v};
  }
  friend FNNFAST_INLINE Vec quotient(Vec a, Vec b) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == 4) {
      const float r = reciprocal(b).v;
      const float q = __builtin_fmaf(r, __builtin_fmaf(-b.v, a.v * r, a.v), a.v * r);
      return {__builtin_fmaf(r, __builtin_fmaf(-b.v, q, a.v), q)};
    }
#endif
    return {a.v / b.v};
  }
#endif
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
    return from_bits(static_cast<Bits>(static_cast<Integer>(n.v) + Ieee<T>::kBias) << Ieee<T>::kMantissa);
  }
  friend FNNFAST_INLINE Vec scale_normal(Vec a, Vec n) { return a * pow2(n); }
  // 2^n may not be representable. 2^(n/2) is, and only the second product rounds.
  friend FNNFAST_INLINE Vec scale(Vec a, Vec n) {
    const Vec half = round(Vec{n.v * T(0.5)});
    return a * pow2(half) * pow2(n - half);
  }
  friend FNNFAST_INLINE Vec exponent(Vec a) {
    return {static_cast<T>(static_cast<Integer>(to_bits(a.v) >> Ieee<T>::kMantissa) - Ieee<T>::kBias)};
  }
  friend FNNFAST_INLINE Vec mantissa(Vec a) { return from_bits((to_bits(a.v) & kFraction) | kOne); }
  friend FNNFAST_INLINE void store_index(Vec a, std::uint8_t* p, std::ptrdiff_t n) {
    if (Lanes::own() < n) p[Lanes::own()] = static_cast<std::uint8_t>(a.v);
  }

 private:
#if defined(__CUDA_ARCH__)
  static __device__ __forceinline__ float roughly_reciprocal(float b) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(b));
    return r;
  }
#endif
  static constexpr Bits kSign = Bits{1} << (8 * sizeof(T) - 1);
  static FNNFAST_INLINE Bits to_bits(T x) { return __builtin_bit_cast(Bits, x); }
  static FNNFAST_INLINE Vec from_bits(Bits x) { return {__builtin_bit_cast(T, x)}; }
};

}  // namespace fnnfast::FNNFAST_ISA
