// Epilogues as passes over a finished tile in shared memory, as on the CPU over its tile in L1. The accumulators are
// stored there first, so that the passes have all registers, and are compiled once instead of once per shape of tile.
//
// A pass ends with a barrier. Row and column are the tile's place in the whole matrix.
#pragma once

#include "../core/epilogues.hpp"
#include "fast_math.cuh"
#include "product.hpp"

namespace fnnfast::cuda {

// Values in shared memory, within the edges of the matrix.
template <class S>
struct Finished {
  S* values;
  int pitch;
  int rows, columns;
  std::int64_t row, column;

  __device__ __forceinline__ S& at(int r, int c) const {
    assume_shared(values);
    return values[r * pitch + c];
  }
  // A column of the whole matrix, at most the last one.
  __device__ __forceinline__ std::int64_t column_at(int c) const { return column + (c < columns ? c : columns - 1); }
};

// Calls f(row, column) for the tile's elements, or the first of each Size in a row, each by one thread, with
// neighbouring threads side by side. Threads span a power of two of columns, so nothing is divided.
template <int Size = 1, class S, class F>
__device__ __forceinline__ void for_elements(const Finished<S>& tile, F f) {
  const int across = (tile.columns + Size - 1) / Size;
  const unsigned threads = blockDim.x;
  int shift = 0;
  while (1 << shift < across && 2u << shift <= threads) ++shift;
  const int step = static_cast<int>(threads >> shift);
  for (int c = static_cast<int>(threadIdx.x & ((1u << shift) - 1)); c < across; c += 1 << shift)
    for (int r = static_cast<int>(threadIdx.x >> shift); r < tile.rows; r += step) f(r, c * Size);
}

// Neighbours in a row, moved between registers and shared memory 16 bytes at a time.
template <class S, int Size>
struct alignas(16) Neighbours {
  S at[Size];
};

// Calls f(neighbours&, row, column) for the whole tile, also beyond the edge of the matrix, where results are not used.
// Several values at a time hide the latency of their arithmetic.
template <int Size, class S, class F>
__device__ __forceinline__ void for_neighbours(const Finished<S>& tile, F f) {
  for_elements<Size>(tile, [&](int r, int c) {
    auto& place = reinterpret_cast<Neighbours<S, Size>&>(tile.at(r, c));
    Neighbours<S, Size> values = place;
    f(values, r, c);
    place = values;
  });
}

template <class T, class S>
__device__ __forceinline__ bool in_chunks(const Finished<S>& tile, const T* data, std::int64_t stride) {
  return stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0 && reinterpret_cast<std::uintptr_t>(data) % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(tile.values) % 16 == 0 && tile.pitch * static_cast<int>(sizeof(S)) % 16 == 0;
}

// Calls f(value&, column, other) for the tile's values and those of a matrix at the same place.
template <class S, class T, class F>
__device__ __forceinline__ void for_elements_with(const Finished<S>& tile, const Matrix<const T>& other, F f) {
  constexpr int kSize = Chunk<T>::kSize;
  const T* const in = other.data + tile.row * other.stride + tile.column;
  assume_global(in);
  const bool aligned = in_chunks(tile, in, other.stride);
  for_neighbours<kSize>(tile, [&](Neighbours<S, kSize>& values, int r, int c) {
    const T* const from = in + r * other.stride + c;
    const Chunk<T> chunk = load_chunk(from, tile.columns - c, aligned);
    FNNFAST_UNROLL(8)
    for (int e = 0; e < kSize; ++e) f(values.at[e], tile.column_at(c + e), widen<S>(chunk.at[e]));
  });
}

// Prefetches the part of a matrix that the finished tile will be combined with, before the product.
template <class S, class T>
__device__ __forceinline__ void prefetch(const Finished<S>& tile, const Matrix<T>& from) {
  constexpr int kLine = 128 / static_cast<int>(sizeof(T));
  if (from.data == nullptr) return;
  for_elements<kLine>(tile, [&](int r, int c) { prefetch(&from.at(tile.row + r, tile.column + c)); });
}

// In place, one row per thread: rows that fit a tile are short.
template <class S>
__device__ FNNFAST_NOINLINE void softmax(Finished<S> tile) {
  for (int r = static_cast<int>(threadIdx.x); r < tile.rows; r += static_cast<int>(blockDim.x)) {
    ElementwiseTask<S> row{};
    row.rows = 1;
    row.columns = tile.columns;
    row.in = row.out = &tile.at(r, 0);
    device::softmax_forward<S>(row);
  }
  __syncthreads();
}

// y = f(z), in place, by M.
template <class M, class S>
__device__ FNNFAST_NOINLINE void activate(Finished<S> tile, ActivationOf<S> act) {
  using V = device::Vec<S>;
  visit_activation(act.index, [&]<class Act>(Act) {
    if constexpr (Act::kRowwise) {
      softmax(tile);
    } else if constexpr (!std::is_same_v<Act, Identity>) {
      constexpr int kSize = Chunk<S>::kSize;
      for_neighbours<kSize>(tile, [&](Neighbours<S, kSize>& z, int, int c) {
        FNNFAST_UNROLL(4)
        for (int e = 0; e < kSize; ++e)
          z.at[e] = Act::template forward<M>(V{z.at[e]}, act.template at<Act>(tile.column_at(c + e))).v;
      });
    }
  });
  __syncthreads();
}

// dz = dy f', in place, from what the forward pass saved.
template <class S, class T>
__device__ FNNFAST_NOINLINE void differentiate(Finished<S> tile, ActivationOf<S> act, Matrix<const T> saved) {
  using V = device::Vec<S>;
  visit_activation(act.index, [&]<class Act>(Act) {
    if constexpr (Act::kDifferentiable && !Act::kRowwise && Act::kSaves != Saves::kNothing) {
      for_elements_with(tile, saved, [&](S& value, std::int64_t column, S of) {
        value *= saved_derivative<Act, MathOf<T>>(V{of}, act.template at<Act>(column)).v;
      });
    }
  });
  __syncthreads();
}

template <class S, class T>
__device__ FNNFAST_NOINLINE void add(Finished<S> tile, Matrix<const T> from) {
  for_elements_with(tile, from, [](S& value, std::int64_t, S other) { value += other; });
  __syncthreads();
}

// Rounds to T and stores, 16 bytes at a time if the alignment of the rows allows it.
template <class S, class T>
__device__ FNNFAST_NOINLINE void store(Finished<S> tile, Matrix<T> to) {
  constexpr int kSize = Chunk<T>::kSize;
  T* const out = to.data + tile.row * to.stride + tile.column;
  assume_global(out);
  if (tile.columns % kSize == 0 && in_chunks(tile, out, to.stride)) {
    for_elements<kSize>(tile, [&](int r, int c) {
      const auto values = reinterpret_cast<const Neighbours<S, kSize>&>(tile.at(r, c));
      Chunk<T> chunk;
      FNNFAST_UNROLL(16)
      for (int e = 0; e < kSize; ++e) chunk.at[e] = narrow<T>(values.at[e]);
      *reinterpret_cast<Chunk<T>*>(out + r * to.stride + c) = chunk;
    });
  } else {
    for_elements(tile, [&](int r, int c) { out[r * to.stride + c] = narrow<T>(tile.at(r, c)); });
  }
  __syncthreads();
}

}  // namespace fnnfast::cuda
