// A warp's tile of a product of few rows on the CUDA cores: one output per thread, one chain of fused multiply-adds in
// ascending order over k, as in SimtTile. The time of a chain is the latency of its steps, which therefore do nothing
// else: both operands have k contiguous, and a load brings a chunk of it.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

template <class T, int M>
struct ChainTile {
  using Element = T;
  using Value = T;
  static constexpr int kM = M, kN = 32 / M, kK = 128 / static_cast<int>(sizeof(T));
  static constexpr int kThreads = 32;
  static constexpr int kStages = 1;
  static constexpr int kOutputsEach = 1;

 private:
  // Neighbouring rows are 4 banks apart.
  static constexpr int kPad = Chunk<T>::kSize, kPitch = kK + kPad;

 public:
  static constexpr int kElementsA = M * kPitch, kElementsB = kN * kPitch;

  static __device__ __forceinline__ void copy_a(T* stage, const Source<T>& a, std::int64_t m, std::int64_t k) {
    copy_tile<M, kK, kPitch, kThreads>(stage, a, m, k);
  }
  static __device__ __forceinline__ void copy_b(T* stage, const Source<T>& b, std::int64_t k, std::int64_t n) {
    copy_tile_transposed<kK, kN, kPitch, kThreads>(stage, b, k, n);
  }

  static constexpr int pitch_a(int columns) { return columns + kPad; }
  static constexpr int elements_a(int columns) { return M * pitch_a(columns); }
  static __device__ __forceinline__ int place_a(int m, int k, int pitch) { return m * pitch + k; }

  __device__ __forceinline__ void multiply(const T* of_a, int pitch, const T* of_b) {
    const T* const a = of_a + row() * pitch;
    const T* const b = of_b + column() * kPitch;
    FNNFAST_UNROLL(16)
    for (int k = 0; k < kK; k += Chunk<T>::kSize) {
      const auto x = *reinterpret_cast<const Chunk<T>*>(a + k), w = *reinterpret_cast<const Chunk<T>*>(b + k);
      FNNFAST_UNROLL(4)
      for (int e = 0; e < Chunk<T>::kSize; ++e) sum_ = fused(x.at[e], w.at[e], sum_);
    }
  }

  template <class F>
  __device__ __forceinline__ void for_each(F f) {
    f(row(), column(), sum_);
  }

 private:
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) % M; }
  static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) % 32 / M; }

  T sum_;
};

}  // namespace fnnfast::cuda
