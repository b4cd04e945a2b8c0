// A block's tile of a product on the CUDA cores, for float32 and float64: one chain of fused multiply-adds per output,
// in ascending order over k. The bits are the CPU's.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

// C (M x N) += A (M x k) B (k x N) by (M / ThreadM) (N / ThreadN) threads. Shared memory holds steps of K along k, with
// k as the outer index of both operands, so that a step reads consecutive rows and columns. TransposedA: A is stored
// with k as the outer index; TransposedB: B is stored with n as the outer index.
template <class T, int M, int N, int K, int ThreadM, int ThreadN, bool TransposedA, bool TransposedB>
struct SimtTile {
  using Element = T;
  using Value = T;
  static constexpr int kM = M, kN = N, kK = K;
  static constexpr int kThreads = (M / ThreadM) * (N / ThreadN);
  static constexpr int kBlocksEach = 1;  // per multiprocessor: sums and operands take the registers of two
  static constexpr int kStages = 3;
  static constexpr int kOutputsEach = ThreadM * ThreadN;  // per thread

 private:
  // A thread's rows are groups of 4, spread over the tile, so that the threads of a warp read neighbouring words.
  // Likewise its columns.
  static constexpr int kGroup = 4;
  static constexpr int kPitchA = M + Chunk<T>::kSize, kPitchB = N + Chunk<T>::kSize;
  static_assert(ThreadM % kGroup == 0 && ThreadN % kGroup == 0);
  struct alignas(16) Group {
    T at[kGroup];
  };

 public:
  static constexpr int kElementsA = K * kPitchA, kElementsB = K * kPitchB;
  static constexpr int kStageElements = kElementsA + kElementsB;

  // The tile at row m and column n, from k on.
  static __device__ __forceinline__ void copy_a(T* stage, const Source<T>& a, std::int64_t m, std::int64_t k) {
    if constexpr (TransposedA)
      copy_tile<K, M, kPitchA, kThreads>(stage, a, k, m);
    else
      copy_tile_transposed<M, K, kPitchA, kThreads>(stage, a, m, k);
  }
  static __device__ __forceinline__ void copy_b(T* stage, const Source<T>& b, std::int64_t k, std::int64_t n) {
    if constexpr (TransposedB)
      copy_tile_transposed<N, K, kPitchB, kThreads>(stage, b, n, k);
    else
      copy_tile<K, N, kPitchB, kThreads>(stage, b, k, n);
  }
  static __device__ __forceinline__ void copy(T* stage, const Source<T>& a, const Source<T>& b, std::int64_t m,
                                              std::int64_t n, std::int64_t k) {
    copy_a(stage, a, m, k);
    copy_b(stage + kElementsA, b, k, n);
  }

  // Operands with k as the inner index are copied by element.
  using Walk =
      ProductWalk<T,
                  std::conditional_t<TransposedA, TileWalk<T, K, M, Chunk<T>::kSize, kPitchA, 1, kThreads, true>,
                                     TileWalk<T, M, K, 1, 1, kPitchA, kThreads, false>>,
                  std::conditional_t<TransposedB, TileWalk<T, N, K, 1, 1, kPitchB, kThreads, false>,
                                     TileWalk<T, K, N, Chunk<T>::kSize, kPitchB, 1, kThreads, true>>,
                  kElementsA>;

  // The layout of an A that is computed in shared memory instead of copied: its pitch, its size in elements, and the
  // place of an element. It has whole steps of kK columns.
  static constexpr bool kRowsOutside = false;
  static constexpr int pitch_a(int) { return kPitchA; }
  static constexpr int elements_a(int columns) { return columns * kPitchA; }
  static __device__ __forceinline__ int place_a(int m, int k, int pitch) { return k * pitch + m; }

  // An element of B's tile, widened.
  static __device__ __forceinline__ T element_b(const T* stage, int k, int n) {
    return stage[kElementsA + k * kPitchB + n];
  }

  __device__ __forceinline__ void multiply(const T* stage) { multiply(stage, kPitchA, stage + kElementsA); }

  // The pitch is always kPitchA, so it is not read.
  __device__ __forceinline__ void multiply(const T* of_a, int, const T* of_b) {
    const T* const a = of_a + row(0);
    const T* const b = of_b + column(0);
    FNNFAST_UNROLL(16)
    for (int k = 0; k < K; ++k) {
      Group of_a[ThreadM / kGroup], of_b[ThreadN / kGroup];
      FNNFAST_UNROLL(8)
      for (int g = 0; g < ThreadM / kGroup; ++g)
        of_a[g] = *reinterpret_cast<const Group*>(a + k * kPitchA + g * (M / (ThreadM / kGroup)));
      FNNFAST_UNROLL(8)
      for (int g = 0; g < ThreadN / kGroup; ++g)
        of_b[g] = *reinterpret_cast<const Group*>(b + k * kPitchB + g * (N / (ThreadN / kGroup)));
      FNNFAST_UNROLL(8)
      for (int i = 0; i < ThreadM; ++i) FNNFAST_UNROLL(8)
      for (int j = 0; j < ThreadN; ++j)
        sum_[i][j] = fused(of_a[i / kGroup].at[i % kGroup], of_b[j / kGroup].at[j % kGroup], sum_[i][j]);
    }
  }

  // Calls f(row, column, value&) for this thread's outputs.
  template <class F>
  __device__ __forceinline__ void for_each(F f) {
    FNNFAST_UNROLL(8)
    for (int i = 0; i < ThreadM; ++i) FNNFAST_UNROLL(8)
    for (int j = 0; j < ThreadN; ++j) f(row(i), column(j), sum_[i][j]);
  }

  // Sets all outputs of a column to f(column), which is called once.
  template <class F>
  __device__ __forceinline__ void fill_columns(F f) {
    FNNFAST_UNROLL(8)
    for (int j = 0; j < ThreadN; ++j) {
      const T value = f(column(j));
      FNNFAST_UNROLL(8)
      for (int i = 0; i < ThreadM; ++i) sum_[i][j] = value;
    }
  }

 private:
  static __device__ __forceinline__ int row(int i) {
    return static_cast<int>(threadIdx.x) / (N / ThreadN) * kGroup + i / kGroup * (M / (ThreadM / kGroup)) + i % kGroup;
  }
  static __device__ __forceinline__ int column(int j) {
    return static_cast<int>(threadIdx.x) % (N / ThreadN) * kGroup + j / kGroup * (N / (ThreadN / kGroup)) + j % kGroup;
  }

  T sum_[ThreadM][ThreadN];
};

}  // namespace fnnfast::cuda
