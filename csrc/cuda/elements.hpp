// The types of elements on the device, and the types in which their products are summed.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../core/macros.hpp"
#include "platform.hpp"

namespace fnnfast::cuda {

using Half = __half;
using Bfloat16 = __nv_bfloat16;

// float32 to be multiplied as tf32: a type of its own, so that kernels distinguish it from float.
struct Tf32 {
  float value;
};

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class S, class T>
FNNFAST_INLINE S widen(T v) {
  if constexpr (std::is_same_v<T, Half>)
    return static_cast<S>(__half2float(v));
  else if constexpr (std::is_same_v<T, Bfloat16>)
    return static_cast<S>(__bfloat162float(v));
  else if constexpr (std::is_same_v<T, Tf32>)
    return static_cast<S>(v.value);
  else
    return static_cast<S>(v);
}

// The nearest T.
template <class T, class S>
FNNFAST_INLINE T narrow(S v) {
  if constexpr (std::is_same_v<T, S>)
    return v;
  else if constexpr (std::is_same_v<T, Half>)
    return __float2half_rn(v);
  else if constexpr (std::is_same_v<T, Bfloat16>)
    return __float2bfloat16_rn(v);
  else if constexpr (std::is_same_v<T, Tf32>)
    return T{v};
  else
    return static_cast<T>(v);
}

// The first (0) or second (1) of two elements of 2 bytes in a register.
template <class T>
FNNFAST_INLINE T element_of_pair(std::uint32_t pair, int which) {
  const auto bits = static_cast<unsigned short>(pair >> 16 * which);
  if constexpr (std::is_same_v<T, Half>)
    return __ushort_as_half(bits);
  else
    return __ushort_as_bfloat16(bits);
}

template <class T>
FNNFAST_INLINE std::uint32_t pair_of(T first, T second) {
  if constexpr (std::is_same_v<T, Half>)
    return std::uint32_t{__half_as_ushort(first)} | std::uint32_t{__half_as_ushort(second)} << 16;
  else
    return std::uint32_t{__bfloat16_as_ushort(first)} | std::uint32_t{__bfloat16_as_ushort(second)} << 16;
}

// a b + c, rounded once.
template <class T>
FNNFAST_INLINE T fused(T a, T b, T c) {
  if constexpr (sizeof(T) == 4)
    return __builtin_fmaf(a, b, c);
  else
    return __builtin_fma(a, b, c);
}

// 16 bytes of elements, loaded and stored at once.
template <class T>
struct alignas(16) Chunk {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T at[kSize];
};

// The first `count` elements of a chunk in a row, which is whole if it is aligned; zeros beyond.
template <class T>
FNNFAST_INLINE Chunk<T> load_chunk(const T* from, std::int64_t count, bool aligned) {
  Chunk<T> chunk{};
  if (aligned && count >= Chunk<T>::kSize) {
    chunk = *reinterpret_cast<const Chunk<T>*>(from);
  } else {
    FNNFAST_UNROLL(8)
    for (int e = 0; e < Chunk<T>::kSize; ++e)
      if (e < count) chunk.at[e] = from[e];
  }
  return chunk;
}
template <class T>
FNNFAST_INLINE void store_chunk(T* to, const Chunk<T>& chunk, std::int64_t count, bool aligned) {
  if (aligned && count >= Chunk<T>::kSize) {
    *reinterpret_cast<Chunk<T>*>(to) = chunk;
  } else {
    FNNFAST_UNROLL(8)
    for (int e = 0; e < Chunk<T>::kSize; ++e)
      if (e < count) to[e] = chunk.at[e];
  }
}

}  // namespace fnnfast::cuda
