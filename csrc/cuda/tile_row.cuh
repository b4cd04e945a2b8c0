// ChainTile for a single row: the weights have the order of global memory, so that they are copied in whole chunks and
// a warp reads neighbouring columns, and no lane is for other rows. The operands of a step are loaded during the
// previous one.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

template <class T>
struct RowTile {
  using Element = T;
  using Value = T;
  // Fewer columns than lanes, so that more warps, each on its own multiprocessor, share the reading of the weights.
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

  // Over that many steps, whose operands are contiguous.
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
          hold(terms.w[i + e]);  // so that it is loaded here
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

  // The other lanes compute the same, which is not used.
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
