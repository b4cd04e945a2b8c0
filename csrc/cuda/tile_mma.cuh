// A block's tile of a product on the tensor cores (mma.sync, from sm_80 on), for float16, bfloat16 and tf32, summed in
// float32 in ascending steps over k.
#pragma once

#include "tile_copy.cuh"

namespace fnnfast::cuda {

// As SimtTile; each warp has WarpM x WarpN outputs. The tiles have the same order in shared as in global memory, since
// the fragments are gathered either way. The padding of rows avoids bank conflicts.
template <class T, int M, int N, int WarpM, int WarpN, bool TransposedA, bool TransposedB>
struct MmaTile {
  using Element = T;
  using Value = float;
  static constexpr int kM = M, kN = N, kK = 64 / static_cast<int>(sizeof(T));
  static constexpr int kThreads = (M / WarpM) * (N / WarpN) * 32;
  static constexpr int kBlocksEach = 2;  // per multiprocessor: while one waits or stores, the other multiplies
  static constexpr int kStages = 4;
  static constexpr int kOutputsEach = WarpM * WarpN / 32;  // per thread

 private:
  static constexpr bool kTf32 = sizeof(T) == 4;
  static constexpr int kStep = kTf32 ? 8 : 16;  // along k, per instruction
  static constexpr int kTilesM = WarpM / 16, kTilesN = WarpN / 8;
  static constexpr int kPadK = Chunk<T>::kSize, kPadOther = 8;
  static constexpr int kPitchA = TransposedA ? M + kPadOther : kK + kPadK;
  static constexpr int kPitchB = TransposedB ? kK + kPadK : N + kPadOther;

 public:
  static constexpr int kElementsA = (TransposedA ? kK : M) * kPitchA;
  static constexpr int kElementsB = (TransposedB ? N : kK) * kPitchB;
  static constexpr int kStageElements = kElementsA + kElementsB;

  static __device__ __forceinline__ void copy_a(T* stage, const Source<T>& a, std::int64_t m, std::int64_t k) {
    if constexpr (TransposedA)
      copy_tile<kK, M, kPitchA, kThreads>(stage, a, k, m);
    else
      copy_tile<M, kK, kPitchA, kThreads>(stage, a, m, k);
  }
  static __device__ __forceinline__ void copy_b(T* stage, const Source<T>& b, std::int64_t k, std::int64_t n) {
    if constexpr (TransposedB)
      copy_tile<N, kK, kPitchB, kThreads>(stage, b, n, k);
    else
      copy_tile<kK, N, kPitchB, kThreads>(stage, b, k, n);
  }
  static __device__ __forceinline__ void copy(T* stage, const Source<T>& a, const Source<T>& b, std::int64_t m,
                                              std::int64_t n, std::int64_t k) {
    copy_a(stage, a, m, k);
    copy_b(stage + kElementsA, b, k, n);
  }

  using Walk = ProductWalk<
      T, TileWalk<T, TransposedA ? kK : M, TransposedA ? M : kK, Chunk<T>::kSize, kPitchA, 1, kThreads, TransposedA>,
      TileWalk<T, TransposedB ? N : kK, TransposedB ? kK : N, Chunk<T>::kSize, kPitchB, 1, kThreads, !TransposedB>,
      kElementsA>;

  // The layout of an A that is computed in shared memory instead of copied: its pitch, its size in elements, and the
  // place of an element. It has whole steps of kK columns.
  static constexpr bool kRowsOutside = !TransposedA;
  static constexpr int pitch_a(int columns) { return TransposedA ? kPitchA : columns + kPadK; }
  static constexpr int elements_a(int columns) { return TransposedA ? columns * kPitchA : M * pitch_a(columns); }
  static __device__ __forceinline__ int place_a(int m, int k, int pitch) {
    return TransposedA ? k * pitch + m : m * pitch + k;
  }

  static __device__ __forceinline__ float element_b(const T* stage, int k, int n) {
    return widen<float>(stage[kElementsA + (TransposedB ? n * kPitchB + k : k * kPitchB + n)]);
  }

  __device__ __forceinline__ void multiply(const T* stage) { multiply(stage, kPitchA, stage + kElementsA); }

  __device__ __forceinline__ void multiply(const T* of_a, int pitch_a, const T* of_b) {
    FNNFAST_UNROLL(2)
    for (int k = 0; k < kK; k += kStep) {
      std::uint32_t a[kTilesM][4], b[kTilesN][2];
      FNNFAST_UNROLL(8)
      for (int i = 0; i < kTilesM; ++i) fragment_a(of_a, pitch_a, warp_row() + 16 * i, k, a[i]);
      FNNFAST_UNROLL(8)
      for (int j = 0; j < kTilesN; j += 2) fragments_b(of_b, warp_column() + 8 * j, k, b[j], b[j + 1]);
      FNNFAST_UNROLL(8)
      for (int i = 0; i < kTilesM; ++i) {
        FNNFAST_UNROLL(8)
        for (int j = 0; j < kTilesN; ++j) {
          if constexpr (kTf32)
            mma1688(sum_[i][j], a[i], b[j]);
          else
            mma16816<T>(sum_[i][j], a[i], b[j]);
        }
      }
    }
  }

  template <class F>
  __device__ __forceinline__ void for_each(F f) {
    const int row = warp_row() + lane() / 4, column = warp_column() + lane() % 4 * 2;
    FNNFAST_UNROLL(8)
    for (int i = 0; i < kTilesM; ++i) {
      FNNFAST_UNROLL(8)
      for (int j = 0; j < kTilesN; ++j) {
        FNNFAST_UNROLL(4)
        for (int e = 0; e < 4; ++e) f(row + 16 * i + e / 2 * 8, column + 8 * j + e % 2, sum_[i][j][e]);
      }
    }
  }

  // Sets all outputs of a column to f(column), which is called once.
  template <class F>
  __device__ __forceinline__ void fill_columns(F f) {
    const int column = warp_column() + lane() % 4 * 2;
    FNNFAST_UNROLL(8)
    for (int j = 0; j < kTilesN; ++j) {
      FNNFAST_UNROLL(2)
      for (int e = 0; e < 2; ++e) {
        const float value = f(column + 8 * j + e);
        FNNFAST_UNROLL(8)
        for (int i = 0; i < kTilesM; ++i) sum_[i][j][e] = sum_[i][j][e + 2] = value;
      }
    }
  }

 private:
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x % kThreads / 32); }
  static __device__ __forceinline__ int warp_row() { return warp() / (N / WarpN) * WarpM; }
  static __device__ __forceinline__ int warp_column() { return warp() % (N / WarpN) * WarpN; }

  // The 16 rows from m on, and kStep columns from k on.
  static __device__ __forceinline__ void fragment_a(const T* of_a, int pitch, int m, int k, std::uint32_t (&r)[4]) {
    if constexpr (kTf32) {
      FNNFAST_UNROLL(4)
      for (int e = 0; e < 4; ++e) {
        const int row = m + lane() / 4 + e % 2 * 8, at = k + lane() % 4 + e / 2 * 4;
        r[e] = round_to_tf32(of_a[place_a(row, at, pitch)].value);
      }
    } else if constexpr (TransposedA) {
      load_matrix_transposed(r, of_a + (k + lane() % 8 + lane() / 16 * 8) * pitch + m + lane() / 8 % 2 * 8);
    } else {
      load_matrix(r, of_a + (m + lane() % 8 + lane() / 8 % 2 * 8) * pitch + k + lane() / 16 * 8);
    }
  }

  // The 8 columns from n on, and the next 8.
  static __device__ __forceinline__ void fragments_b(const T* of_b, int n, int k, std::uint32_t (&first)[2],
                                                     std::uint32_t (&second)[2]) {
    std::uint32_t r[4];
    if constexpr (kTf32) {
      FNNFAST_UNROLL(4)
      for (int e = 0; e < 4; ++e) {
        const int at = k + lane() % 4 + e % 2 * 4, column = n + lane() / 4 + e / 2 * 8;
        r[e] = round_to_tf32(of_b[TransposedB ? column * kPitchB + at : at * kPitchB + column].value);
      }
    } else if constexpr (TransposedB) {
      load_matrix(r, of_b + (n + lane() % 8 + lane() / 16 * 8) * kPitchB + k + lane() / 8 % 2 * 8);
    } else {
      load_matrix_transposed(r, of_b + (k + lane() % 8 + lane() / 8 % 2 * 8) * kPitchB + n + lane() / 16 * 8);
    }
    first[0] = r[0], first[1] = r[1];
    second[0] = r[2], second[1] = r[3];
  }

  float sum_[kTilesM][kTilesN][4];
};

}  // namespace fnnfast::cuda
