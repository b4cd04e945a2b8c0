// ChainTile for a single row: the weights lie as in memory, so that they come in whole chunks and a warp reads
// neighbouring columns; no lane is left to other rows. What a step of the chains reads is on its way during the one
// before.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

template <class T>
struct RowTile {
  using Element = T;
  using Value = T;
  // Fewer columns than lanes: more warps, each on a multiprocessor of its own, share out reading the weights.
  static constexpr int kM = 1, kN = 16, kK = 128 / static_cast<int>(sizeof(T));
  static constexpr int kThreads = 32;
  static constexpr int kStages = 1;
  static constexpr int kOutputsEach = 1;
  static constexpr int kElementsA = kK, kElementsB = kK * kN;

  static __device__ __forceinline__ void copy_a(T* stage, const Source<T>& a, std::int64_t m, std::int64_t k) {
    copy_tile<1, kK, kK, kThreads>(stage, a, m, k);
  }
  static __device__ __forceinline__ void copy_b(T* stage, const Source<T>& b, std::int64_t k, std::int64_t n) {
    copy_tile<kK, kN, kN, kThreads>(stage, b, k, n);
  }

  static constexpr int pitch_a(int columns) { return columns; }
  static constexpr int elements_a(int columns) { return columns; }
  static __device__ __forceinline__ int place_a(int, int k, int) { return k; }

  // The operands of so many steps, which lie one behind the other.
  __device__ __forceinline__ void multiply_steps(const T* a, const T* b, int steps) {
    constexpr int kTurn = 16;
    static_assert(kK % kTurn == 0);
    const T* const own = b + column();
    const auto load = [&](Terms<kTurn>& terms, int k) {
      FNNFAST_UNROLL(16)
      for (int i = 0; i < kTurn; i += Chunk<T>::kSize) {
        terms.x[i / Chunk<T>::kSize] = *reinterpret_cast<const Chunk<T>*>(a + k + i);
        FNNFAST_UNROLL(4)
        for (int e = 0; e < Chunk<T>::kSize; ++e) {
          terms.w[i + e] = own[(k + i + e) * kN];
          hold(terms.w[i + e]);  // not where it is needed
        }
      }
    };
    const int end = steps * kK;
    Terms<kTurn> now, next;
    load(now, 0);
    FNNFAST_UNROLL(2)
    for (int k = 0; k < end; k += kTurn) {
      load(next, k + kTurn < end ? k + kTurn : k);
      FNNFAST_UNROLL(16)
      for (int i = 0; i < kTurn; ++i) sum_ = fused(now.x[i / Chunk<T>::kSize].at[i % Chunk<T>::kSize], now.w[i], sum_);
      now = next;
    }
  }

  // The other lanes do the same, for nothing.
  template <class F>
  __device__ __forceinline__ void for_each(F f) {
    if (threadIdx.x % 32 < kN) f(0, column(), sum_);
  }

 private:
  template <int Count>
  struct Terms {
    Chunk<T> x[Count / Chunk<T>::kSize];
    T w[Count];
  };
  static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) % kN; }

  T sum_ = T(0);
};

}  // namespace fnnfast::cuda
