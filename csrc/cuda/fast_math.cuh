// Elementary functions for results that are rounded to 16 bits, by the device's approximate instructions. Their
// relative error is at most 2^-16, where rounding to float16 may add 2^-11 and to bfloat16 2^-8. Results are thus the
// nearest element, or next to it where the exact value lies almost in the middle of two.
//
// The same limits hold as for Math: NaN gives NaN, an infinity the limit. Subnormal results are rounded like others.
#pragma once

#include "elements.hpp"
#include "vec.cuh"

namespace fnnfast::cuda {

struct FastMath : device::Math<float> {
  static __device__ __forceinline__ Vector reciprocal(Vector b) { return {rough_reciprocal(b.v)}; }

  static __device__ __forceinline__ Vector exp(Vector z) {
    const Vector half = half_exp(z);
    return half * half;
  }

  // exp(z) - 1; its series where that cancels.
  static __device__ __forceinline__ Vector expm1(Vector z) {
    const Vector far = {rough_exp2(z.v * kLog2e) - 1.0f};
    Vector near = constant(1.0 / 720);
    near = fma(near, z, constant(1.0 / 120));
    near = fma(near, z, constant(1.0 / 24));
    near = fma(near, z, constant(1.0 / 6));
    near = fma(near, z, constant(0.5));
    near = fma(near * z, z, z);
    return copysign(select(abs(z) < constant(0.4), near, far), z);
  }

  // (1 - e) / (1 + e), e = exp(-2 |z|); its series where that cancels.
  static __device__ __forceinline__ Vector tanh(Vector z) {
    const Vector e = {rough_exp2(abs(z).v * (-2.0f * kLog2e))};
    const Vector far = (constant(1) - e) * reciprocal(e + constant(1));
    const Vector v = z * z;
    Vector near = constant(62.0 / 2835);
    near = fma(near, v, constant(-17.0 / 315));
    near = fma(near, v, constant(2.0 / 15));
    near = fma(near, v, constant(-1.0 / 3));
    near = fma(near * v, z, z);
    return copysign(select(abs(z) < constant(0.4), near, far), z);
  }

  static __device__ __forceinline__ Vector sigmoid(Vector z) {
    const Vector half = half_exp(-abs(z)), e = half * half;
    return select(z < constant(0), e, constant(1)) * reciprocal(e + constant(1));
  }

  // y sigmoid(z). A small sigmoid may be subnormal while y times it is not, so y is multiplied by its root twice. Where
  // the root has underflowed, the limit is 0 for an infinite y, too.
  static __device__ __forceinline__ Vector times_sigmoid(Vector y, Vector z) {
    const Vector half = half_exp(-abs(z));
    const Vector small = select(half == constant(0), copysign(half, y), (y * half) * half);
    return select(z < constant(0), small, y) * reciprocal(fma(half, half, constant(1)));
  }
  static __device__ __forceinline__ Vector times_sigmoid(Vector y, Vector z, Vector) { return times_sigmoid(y, z); }

  // max(z, 0) + log(1 + exp(-|z|)); the series of the logarithm where its argument is near 1.
  static __device__ __forceinline__ Vector softplus(Vector z) {
    const Vector e = exp(-abs(z));
    Vector near = constant(-0.25);
    near = fma(near, e, constant(1.0 / 3));
    near = fma(near, e, constant(-0.5));
    near = fma(near * e, e, e);
    const Vector far = {rough_log2(e.v + 1.0f) * kLn2};
    return select(z < constant(0), constant(0), z) + select(e < constant(0.05), near, far);
  }

  // The standard normal distribution
  static __device__ __forceinline__ Vector normal_cdf(Vector z) {
    const Tail tail(z);
    const Vector small = (tail.value * tail.half) * tail.half;
    return select(z < constant(0), small, constant(1) - small);
  }

  // z Phi(z) = max(z, 0) - |z| Phi(-|z|); -0 for z < 0 where that has underflowed.
  static __device__ __forceinline__ Vector times_normal_cdf(Vector z) {
    const Tail tail(z);
    const Vector small = ((tail.size * tail.value) * tail.half) * tail.half;
    return select(constant(-0.0) > z, constant(-0.0), z) - small;
  }

  static __device__ __forceinline__ Vector normal_pdf(Vector z) {
    const Tail tail(z);
    return (constant(0.39894228040143267794) * tail.half) * tail.half;
  }

 private:
  static constexpr float kLog2e = 1.44269504f, kLn2 = 0.69314718f;

  // exp(z / 2), 0 where exp(z) is far below all numbers. Its square may be subnormal, which the instruction cannot be.
  static __device__ __forceinline__ Vector half_exp(Vector z) { return {rough_exp2(z.v * (0.5f * kLog2e))}; }

  // Phi(-a) = value half^2, for a = |z|: half = exp(-a^2 / 4), and value a polynomial of 1 / (a + 3.2), as in Math.
  struct Tail {
    Vector size, value, half;
    explicit __device__ __forceinline__ Tail(Vector z) {
      const Vector a = abs(z);
      size = select(a > constant(20.0), constant(20.0), a);  // NaN stays
      const Vector u = reciprocal(size + constant(3.2));
      Vector sum = constant(-77.0575027);
      sum = fma(sum, u, constant(56.5763588));
      sum = fma(sum, u, constant(2.76475906));
      sum = fma(sum, u, constant(4.24882269));
      sum = fma(sum, u, constant(1.25266683));
      sum = fma(sum, u, constant(0.399333149));
      value = sum * u;
      half = {rough_exp2(size.v * size.v * (-0.25f * kLog2e))};
    }
  };
};

// For activations of elements T.
template <class T>
using MathOf =
    std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>, FastMath, device::Math<Sum<T>>>;

}  // namespace fnnfast::cuda
