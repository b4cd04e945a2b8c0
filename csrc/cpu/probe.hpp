// Measures the limits of the hardware with the same vectors. `python -m fnnfast bench` prints shares of them.
#pragma once

#include "kernels.hpp"
#include "vec.hpp"

namespace fnnfast::FNNFAST_ISA {

// Independent multiply-add chains in registers, enough to hide the latency.
template <class T>
T fma_peak(ptrdiff_t iterations) {
  using V = Vec<T>;
  constexpr int kChains = 12;
  V acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) acc[i] = V::broadcast(static_cast<T>(i));
  V factor = V::broadcast(static_cast<T>(0.5)), addend = V::broadcast(1);
  for (ptrdiff_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = fma(acc[i], factor, addend);
  }
  V sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum = sum + acc[i];
  T lane[V::kLanes];
  sum.store(lane);
  return lane[0];
}

// Reads n elements, a multiple of 8 vectors, and adds them in 8 chains.
template <class T>
T read_buffer(const T* buffer, ptrdiff_t n) {
  using V = Vec<T>;
  constexpr int kChains = 8;
  V acc[kChains];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) acc[i] = V::broadcast(0);
  for (ptrdiff_t at = 0; at < n; at += kChains * V::kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] + V::load(buffer + at + i * V::kLanes);
  }
  V sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum = sum + acc[i];
  T lane[V::kLanes];
  sum.store(lane);
  return lane[0];
}

}  // namespace fnnfast::FNNFAST_ISA
