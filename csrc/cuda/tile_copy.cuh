// Asynchronous copies of tiles from global to shared memory.
#pragma once

#include <cstdint>

#include "elements.hpp"

namespace fnnfast::cuda {

// A matrix in global memory: rows of `columns` contiguous elements, `stride` apart.
template <class T>
struct Source {
  const T* data;
  std::int64_t stride;
  std::int64_t rows, columns;
  bool aligned;  // every row is aligned to 16 bytes
  // Maxout's backward pass: an element is not zero only if its argmax is this piece.
  const std::uint8_t* argmax;  // or null
  std::int64_t argmax_stride;
  int piece;

  __device__ __forceinline__ bool counts(std::int64_t row, std::int64_t column) const {
    return row < rows && column < columns &&
           (argmax == nullptr || argmax[row * argmax_stride + column] == static_cast<std::uint8_t>(piece));
  }
};

// Only kernels distinguish Tf32 from float.
template <class T, class P>
FNNFAST_INLINE auto elements(P* p) {
  if constexpr (std::is_const_v<P>)
    return reinterpret_cast<const T*>(p);
  else
    return reinterpret_cast<T*>(p);
}

template <class T>
bool is_aligned(const T* data, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0;
}

// A matrix, or several of its shape, `step` elements apart.
template <class T, class M>
Source<T> source(const M& matrix, std::int64_t rows, std::int64_t columns, std::int64_t step = 0) {
  const T* const data = elements<T>(matrix.data);
  const bool aligned = is_aligned(data, matrix.stride) && is_aligned(data, step);
  return {data, matrix.stride, rows, columns, aligned, nullptr, 0, 0};
}

// Copies Rows x Columns elements from (row, column) on, by Threads threads (of a block, or of each warp), to rows of
// shared memory Pitch elements apart; zeros beyond the edges. Complete after copy_wait.
template <int Rows, int Columns, int Pitch, int Threads, class T>
__device__ __forceinline__ void copy_tile(T* to, const Source<T>& from, std::int64_t row, std::int64_t column) {
  constexpr int kSize = Chunk<T>::kSize;
  constexpr int kChunks = Rows * (Columns / kSize);
  static_assert(Columns % kSize == 0 && Pitch % kSize == 0);
  const auto for_chunk = [&](int first, auto copy) {
    const int i = first + static_cast<int>(threadIdx.x % Threads);
    if (kChunks % Threads != 0 && i >= kChunks) return;
    const int r = i / (Columns / kSize), c = i % (Columns / kSize) * kSize;
    copy(to + r * Pitch + c, from.data + (row + r) * from.stride + column + c, row + r, column + c);
  };
  if (from.aligned && from.argmax == nullptr) {
    FNNFAST_UNROLL(16)
    for (int first = 0; first < kChunks; first += Threads)
      for_chunk(first, [&](T* place, const T* start, std::int64_t r, std::int64_t c) {
        const std::int64_t rest = r < from.rows ? from.columns - c : 0;
        const int valid = rest >= kSize ? kSize : rest > 0 ? static_cast<int>(rest) : 0;
        copy_async<16>(place, valid > 0 ? start : from.data, valid * static_cast<int>(sizeof(T)));
      });
    return;
  }
  FNNFAST_ROLLED
  for (int first = 0; first < kChunks; first += Threads)
    for_chunk(first, [&](T* place, const T* start, std::int64_t r, std::int64_t c) {
      if constexpr (sizeof(T) >= 4) {
        for (int e = 0; e < kSize; ++e) {
          const bool counts = from.counts(r, c + e);
          copy_async<sizeof(T)>(place + e, counts ? start + e : from.data, counts ? static_cast<int>(sizeof(T)) : 0);
        }
      } else {  // there are no asynchronous copies of 2 bytes
        Chunk<T> chunk;
        for (int e = 0; e < kSize; ++e) chunk.at[e] = from.counts(r, c + e) ? start[e] : narrow<T>(0.0f);
        *reinterpret_cast<Chunk<T>*>(place) = chunk;
      }
    });
}

// The same, transposed: element (r, c) goes to to[c * Pitch + r].
template <int Rows, int Columns, int Pitch, int Threads, class T>
__device__ __forceinline__ void copy_tile_transposed(T* to, const Source<T>& from, std::int64_t row,
                                                     std::int64_t column) {
  constexpr int kElements = Rows * Columns;
  static_assert(kElements % Threads == 0);
  const int thread = static_cast<int>(threadIdx.x) % Threads;
  FNNFAST_UNROLL(16)
  for (int first = 0; first < kElements; first += Threads) {
    const int r = (first + thread) / Columns, c = (first + thread) % Columns;
    const bool counts = from.counts(row + r, column + c);
    copy_async<sizeof(T)>(to + c * Pitch + r, counts ? from.data + (row + r) * from.stride + column + c : from.data,
                          counts ? static_cast<int>(sizeof(T)) : 0);
  }
}

// A thread's share of such copies, tile after tile along k, for tiles that are whole along k and aligned rows: an
// offset that advances, and no bounds checks. Size elements at a time go from (r, c) to to[r * RowPitch + c *
// ColumnPitch]. Across k, elements beyond the edge are read from the last row or chunk, since the outputs that use them
// are not stored. With single elements there are too many addresses to hold, so all their rows must exist. OverRows: k
// goes down the rows.
template <class T, int Rows, int Columns, int Size, int RowPitch, int ColumnPitch, int Threads, bool OverRows>
class TileWalk {
 public:
  static constexpr bool kOverRows = OverRows;
  static __device__ __forceinline__ bool is_possible(const Source<T>& from, std::int64_t row, std::int64_t column) {
    return (from.aligned || Size == 1) && from.argmax == nullptr && row + (kHolds ? 0 : Rows - 1) < from.rows &&
           column < from.columns && (!OverRows || from.columns % Size == 0);
  }

  __device__ __forceinline__ TileWalk(const Source<T>& from, std::int64_t row, std::int64_t column)
      : step_(OverRows ? Rows * from.stride : Columns), down_(kDown * from.stride) {
    const unsigned thread = threadIdx.x % Threads;
    copies_ = thread < kDown * kAcross;
    const int r = static_cast<int>(thread / kAcross), c = static_cast<int>(thread % kAcross) * Size;
    to_ = r * RowPitch + c * ColumnPitch;
    FNNFAST_UNROLL(16)
    for (int i = 0; i < (kHolds ? kCopies : 1); ++i) {
      const std::int64_t at_row = row + r + i * kDown, at_column = column + c;
      from_[i] = from.data + (OverRows ? at_row : least(at_row, from.rows - 1)) * from.stride +
                 (OverRows ? least(at_column, from.columns - Size) : at_column);
      hold(from_[i]);
    }
    hold(to_);
  }

  __device__ __forceinline__ void copy(T* to) {
    if (kDown * kAcross < Threads && !copies_) return;
    const T* next = from_[0] + at_;
    FNNFAST_UNROLL(16)
    for (int i = 0; i < kCopies; ++i) {
      copy_async<kBytes>(to + to_ + i * kDown * RowPitch, kHolds ? from_[i] + at_ : next);
      next += down_;
    }
    at_ += step_;
  }

 private:
  static constexpr int kAcross = Columns / Size, kDown = Threads / kAcross < Rows ? Threads / kAcross : Rows;
  static constexpr int kCopies = Rows / kDown;
  static constexpr int kBytes = Size * static_cast<int>(sizeof(T));
  static constexpr bool kHolds = Size > 1;  // holds the address of each copy
  static_assert(Columns % Size == 0 && Threads % kAcross == 0 && Rows % kDown == 0);

  static __device__ __forceinline__ std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

  const T* from_[kHolds ? kCopies : 1];
  std::int64_t at_ = 0, step_, down_;
  int to_;
  bool copies_;  // of tiles with fewer chunks than threads, not all
};

// Both operands of a product: A at row m and column k, B at row k and column n, B's tile OffsetB elements after A's.
template <class T, class WalkA, class WalkB, int OffsetB>
class ProductWalk {
 public:
  static __device__ __forceinline__ bool is_possible(const Source<T>& a, const Source<T>& b, std::int64_t m,
                                                     std::int64_t n, std::int64_t k) {
    return WalkA::is_possible(a, kTransposedA ? k : m, kTransposedA ? m : k) &&
           WalkB::is_possible(b, kTransposedB ? n : k, kTransposedB ? k : n);
  }
  __device__ __forceinline__ ProductWalk(const Source<T>& a, const Source<T>& b, std::int64_t m, std::int64_t n,
                                         std::int64_t k)
      : a_(a, kTransposedA ? k : m, kTransposedA ? m : k), b_(b, kTransposedB ? n : k, kTransposedB ? k : n) {}
  __device__ __forceinline__ void copy(T* stage) {
    a_.copy(stage);
    b_.copy(stage + OffsetB);
  }

 private:
  static constexpr bool kTransposedA = WalkA::kOverRows, kTransposedB = !WalkB::kOverRows;
  WalkA a_;
  WalkB b_;
};

}  // namespace fnnfast::cuda
