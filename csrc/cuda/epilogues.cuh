// What happens to a finished tile: passes over it in shared memory, as on the CPU over its tile in L1. The accumulators
// are stored there first, so the passes have all registers to themselves, and are compiled once, not once for each
// shape of tile.
//
// A pass ends with a barrier. Row and column are the tile's place in the whole matrix.
#pragma once

#include "../core/epilogues.hpp"
#include "product.hpp"
#include "vec.cuh"

namespace fnnfast {

// Values in shared memory, without what lies beyond the matrix' edges.
template <class S>
struct Finished {
  S* values;
  int pitch;
  int rows, columns;
  std::int64_t row, column;

  __device__ __forceinline__ S& at(int r, int c) const { return values[r * pitch + c]; }
};

// Calls f(row, column) for the tile's elements, each by one thread, neighbouring threads side by side.
template <class S, class F>
__device__ __forceinline__ void for_elements(const Finished<S>& tile, F f) {
  const int count = tile.rows * tile.columns;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const int r = i / tile.columns;
    f(r, i - r * tile.columns);
  }
}

// In place, by one thread a row: rows are short where they fit a tile.
template <class S>
__device__ FNNFAST_NOINLINE void softmax(Finished<S> tile) {
  for (int r = static_cast<int>(threadIdx.x); r < tile.rows; r += static_cast<int>(blockDim.x)) {
    ElementwiseTask<S> row{};
    row.rows = 1;
    row.columns = tile.columns;
    row.in = row.out = &tile.at(r, 0);
    cuda::softmax_forward<S>(row);
  }
  __syncthreads();
}

// y = f(z), in place.
template <class S>
__device__ FNNFAST_NOINLINE void activate(Finished<S> tile, ActivationOf<S> act) {
  using V = cuda::Vec<S>;
  visit_activation(act.index, [&]<class Act>(Act) {
    if constexpr (Act::kRowwise) {
      softmax(tile);
    } else if constexpr (!std::is_same_v<Act, Identity>) {
      for_elements(tile, [&](int r, int c) {
        S& z = tile.at(r, c);
        z = Act::template forward<cuda::Math<S>>(V{z}, act.template at<Act>(tile.column + c)).v;
      });
    }
  });
  __syncthreads();
}

// dz = dy f', in place, from what forward saved.
template <class S, class T>
__device__ FNNFAST_NOINLINE void differentiate(Finished<S> tile, ActivationOf<S> act, Matrix<const T> saved) {
  using V = cuda::Vec<S>;
  visit_activation(act.index, [&]<class Act>(Act) {
    if constexpr (Act::kDifferentiable && !Act::kRowwise && Act::kSaves != Saves::kNothing) {
      for_elements(tile, [&](int r, int c) {
        const V of{widen<S>(saved.data[(tile.row + r) * saved.stride + tile.column + c])};
        tile.at(r, c) *= saved_derivative<Act>(of, act.template at<Act>(tile.column + c)).v;
      });
    }
  });
  __syncthreads();
}

template <class S, class T>
__device__ FNNFAST_NOINLINE void add(Finished<S> tile, Matrix<const T> from) {
  for_elements(tile, [&](int r, int c) {
    tile.at(r, c) += widen<S>(from.data[(tile.row + r) * from.stride + tile.column + c]);
  });
  __syncthreads();
}

// Rounds to T and stores, 16 bytes at a time where the rows allow it.
template <class S, class T>
__device__ FNNFAST_NOINLINE void store(Finished<S> tile, Matrix<T> to) {
  constexpr int kSize = Chunk<T>::kSize;
  T* const out = to.data + tile.row * to.stride + tile.column;
  const bool aligned = tile.columns % kSize == 0 && (to.stride * static_cast<std::int64_t>(sizeof(T))) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(out) % 16 == 0;
  if (aligned) {
    const int chunks = tile.columns / kSize;
    for (int i = static_cast<int>(threadIdx.x); i < tile.rows * chunks; i += static_cast<int>(blockDim.x)) {
      const int r = i / chunks, c = i % chunks * kSize;
      Chunk<T> chunk;
      FNNFAST_UNROLL(8)
      for (int e = 0; e < kSize; ++e) chunk.at[e] = narrow<T>(tile.at(r, c + e));
      *reinterpret_cast<Chunk<T>*>(out + r * to.stride + c) = chunk;
    }
  } else {
    for_elements(tile, [&](int r, int c) { out[r * to.stride + c] = narrow<T>(tile.at(r, c)); });
  }
  __syncthreads();
}

}  // namespace fnnfast
