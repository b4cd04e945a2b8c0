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

  // The row, with zeros up to `whole` elements, by all threads of the block; and kN columns of the weights from
  // `column` on, with zeros up to `whole` rows, by the threads from `first` on. The loops are short, since the time of
  // instructions that run once is that of fetching them.
  static __device__ __forceinline__ void copy_row(T* to, const Source<T>& a, int whole) {
    const int across = whole / Chunk<T>::kSize;
    copy_chunks(to, a, across, 0, 0, [](int i) { return Spot{0, i}; });
  }
  static __device__ __forceinline__ void copy_columns(T* to, const Source<T>& b, int whole, int column, int first) {
    constexpr int kAcross = kN / Chunk<T>::kSize;
    copy_chunks(to, b, whole * kAcross, column, first, [](int i) { return Spot{i / kAcross, i % kAcross}; });
  }

  static constexpr int pitch_a(int columns) { return columns; }
  static constexpr int elements_a(int columns) { return columns; }
  static __device__ __forceinline__ int place_a(int, int k, int) { return k; }

  // Over that many steps, whose operands are contiguous. They are loaded three turns ahead: a wait for a load is also
  // one for the loads after it.
  __device__ __forceinline__ void multiply_steps(const T* a, const T* b, int steps) {
    constexpr int kTurns = 4, kTurn = kK / kTurns, kAhead = kTurns - 1;
    const T* const own = b + column();
    const auto load = [&](Terms<kTurn>& terms, int k) {
      FNNFAST_UNROLL(8)
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
    Terms<kTurn> turns[kTurns];
    FNNFAST_UNROLL(3)
    for (int i = 0; i < kAhead; ++i) load(turns[i], i * kTurn);
    FNNFAST_ROLLED
    for (int k = 0; k < end; k += kK) {
      FNNFAST_UNROLL(4)
      for (int turn = 0; turn < kTurns; ++turn) {
        const int next = k + (turn + kAhead) * kTurn;
        load(turns[(turn + kAhead) % kTurns], next < end ? next : k);
        const Terms<kTurn>& now = turns[turn];
        FNNFAST_UNROLL(8)
        for (int i = 0; i < kTurn; ++i)
          sum_ = fused(now.x[i / Chunk<T>::kSize].at[i % Chunk<T>::kSize], now.w[i], sum_);
      }
    }
  }

  // The other lanes compute the same, which is not used.
  template <class F>
  __device__ __forceinline__ void for_each(F f) {
    if (threadIdx.x % 32 < kN) f(0, column(), sum_);
  }

 private:
  struct Spot {
    int row, chunk;
  };
  // Copies chunks that follow each other in `to`; spot(i) is the place of the i-th, from `column` on.
  template <class F>
  static __device__ __forceinline__ void copy_chunks(T* to, const Source<T>& from, int count, int column, int first,
                                                     F spot) {
    constexpr int kSize = Chunk<T>::kSize;
    const int threads = static_cast<int>(blockDim.x) - first;
    FNNFAST_ROLLED
    for (int i = static_cast<int>(threadIdx.x) - first; i < count; i += threads) {
      const auto [r, chunk] = spot(i);
      const int c = chunk * kSize;
      const std::int64_t rest = r < from.rows ? from.columns - (column + c) : 0;
      const T* const start = from.data + r * from.stride + column + c;
      T* const place = to + i * kSize;
      if (from.aligned) {
        const int valid = rest >= kSize ? kSize : rest > 0 ? static_cast<int>(rest) : 0;
        copy_async<16>(place, valid > 0 ? start : from.data, valid * static_cast<int>(sizeof(T)));
      } else {
        FNNFAST_ROLLED
        for (int e = 0; e < kSize; ++e)
          copy_async<sizeof(T)>(place + e, e < rest ? start + e : from.data,
                                e < rest ? static_cast<int>(sizeof(T)) : 0);
      }
    }
  }

  template <int Count>
  struct Terms {
    Chunk<T> x[Count / Chunk<T>::kSize];
    T w[Count];
  };
  static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) % kN; }

  T sum_ = T(0);
};

}  // namespace fnnfast::cuda
