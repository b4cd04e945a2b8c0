// Numbers of two bytes, and bits as numbers: what cuda_fp16.h, cuda_bf16.h and the device's intrinsics give.
#pragma once

#include <bit>
#include <cstdint>

// Storage alone, as kernels use them.
struct __half {
  std::uint16_t __x;
};
struct __nv_bfloat16 {
  std::uint16_t __x;
};

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline unsigned short __half_as_ushort(__half h) { return h.__x; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.__x; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }

// To nearest, ties to even. Like the device, NaNs become the one that is all ones but the sign.
inline __half __float2half_rn(float x) {
  const std::uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7FFFFFFF;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000) return {0x7FFF};
  if (magnitude >= 0x477FF000) {  // 65520, half way from the largest half to the next: infinity
    half = 0x7C00;
  } else if (magnitude >= 0x38800000) {  // 2^-14 and above: normal. The exponent's bias is less by 112.
    half = (magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  } else {  // beside 1/2 a float's last place is 2^-24, as that of a subnormal half: the addition rounds
    half = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000;
  }
  return {static_cast<std::uint16_t>((bits >> 16 & 0x8000) | half)};
}

inline float __half2float(__half h) {
  const std::uint32_t sign = (h.__x & 0x8000u) << 16, exponent = h.__x & 0x7C00u, magnitude = (h.__x & 0x7FFFu) << 13;
  if (exponent == 0x7C00) return __uint_as_float(sign | 0x7F800000 | magnitude);
  if (exponent != 0) return __uint_as_float(sign | (magnitude + (112u << 23)));
  return __uint_as_float(sign | __float_as_uint(static_cast<float>(h.__x & 0x3FF) * 0x1p-24f));
}

inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  const std::uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return {0x7FFF};
  return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

inline float __bfloat162float(__nv_bfloat16 h) { return __uint_as_float(std::uint32_t{h.__x} << 16); }

namespace fnnfast::cuda {

// cvt.rna.tf32.f32: 10 bits of mantissa, to nearest, ties away from zero.
inline std::uint32_t round_to_tf32(float x) {
  const std::uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7FFFFFFF;
  if (magnitude == 0x7F800000) return bits;
  return (bits + 0x1000) & ~0x1FFFu;
}

}  // namespace fnnfast::cuda
