// A warp's part of a narrow layer in registers (mma.sync): its rows as the left operand of the layer's product, and
// their sums of 16 columns, which, rounded, are 16 columns of the next layer's operand.
#pragma once

#include "elements.hpp"
#include "fused_plan.hpp"

namespace fnnfast::cuda {

__device__ __forceinline__ int warp_lane() { return static_cast<int>(threadIdx.x) % 32; }

// The columns of a lane's elements in 16 columns of a layer: two neighbours of each of two products. In the last layer,
// columns are permuted, so that a lane's outputs of a row are four neighbours, which it stores at once.
struct LaneColumns {
  int first, step;

  __device__ __forceinline__ LaneColumns(int column, bool last)
      : first(column + warp_lane() % 4 * (last ? 4 : 2)), step(last ? 2 : 8) {}
  __device__ __forceinline__ int at(int product, int element) const { return first + product * step + element; }
};
// The place in the last layer's products of an even column and the next one.
__device__ __forceinline__ int last_place(int column) {
  return column / 16 * 16 + column / 2 % 2 * 8 + column % 16 / 4 * 2;
}

// A lane's part of a warp's rows of a layer's outputs, as the left operand of mma16816.
template <class T>
struct RegisterRows {
  static constexpr int kTiles = RegistersPlan::kRows / 16, kSteps = RegistersPlan::kColumns / 16;
  std::uint32_t at[kTiles][kSteps][4];

  // From rows in shared memory kPitch elements apart.
  __device__ __forceinline__ void load(const T* rows) {
    constexpr int kPitch = RegistersPlan::kPitch;
    const T* const own = rows + warp_lane() % 16 * kPitch + warp_lane() / 16 * 8;
    FNNFAST_UNROLL(2)
    for (int i = 0; i < kTiles; ++i) {
      FNNFAST_UNROLL(4)
      for (int s = 0; s < kSteps; ++s) load_matrix(at[i][s], own + 16 * i * kPitch + 16 * s);
    }
  }
  // From contiguous rows of that many columns.
  __device__ __forceinline__ void gather(const T* rows, int columns) {
    FNNFAST_UNROLL(4)
    for (int s = 0; s < kSteps; ++s) {
      if (16 * s >= columns) {
        clear(s);
        continue;
      }
      FNNFAST_UNROLL(8)
      for (int e = 0; e < 4 * kTiles; ++e) {
        const int row = e / 4 * 16 + e % 2 * 8 + warp_lane() / 4, column = 16 * s + e / 2 % 2 * 8 + warp_lane() % 4 * 2;
        const auto element = [&](int c) {
          const T read = rows[row * columns + c];  // always, so that lanes do not diverge; there is memory for it
          return c < columns ? read : narrow<T>(0.0f);
        };
        at[e / 4][s][e % 4] = pair_of(element(column), element(column + 1));
      }
    }
  }
  __device__ __forceinline__ void clear(int step) {
    FNNFAST_UNROLL(2)
    for (int i = 0; i < kTiles; ++i) {
      FNNFAST_UNROLL(4)
      for (int e = 0; e < 4; ++e) at[i][step][e] = 0;
    }
  }
  // Clears the columns from there on: the weights are zero, but an infinite input makes NaN of them.
  __device__ __forceinline__ void clear_beyond(int columns) {
    FNNFAST_UNROLL(4)
    for (int s = 0; s < kSteps; ++s) {
      FNNFAST_UNROLL(2)
      for (int product = 0; product < 2; ++product) {
        const int rest = columns - LaneColumns(16 * s, false).at(product, 0);
        const std::uint32_t mask = rest > 1 ? 0xFFFFFFFF : rest > 0 ? 0xFFFF : 0;
        FNNFAST_UNROLL(4)
        for (int e = 0; e < 2 * kTiles; ++e) at[e / 2][s][2 * product + e % 2] &= mask;
      }
    }
  }
};

// A lane's sums of 16 columns, of two products for each 16 rows.
struct RegisterSums {
  static constexpr int kTiles = RegistersPlan::kRows / 16;
  float at[kTiles][2][4];

  __device__ __forceinline__ void begin(const Chunk<float>* biases) {
    FNNFAST_UNROLL(2)
    for (int j = 0; j < 2; ++j) {
      const Chunk<float> bias = biases[4 * j + warp_lane() % 4];
      FNNFAST_UNROLL(2)
      for (int i = 0; i < kTiles; ++i) {
        FNNFAST_UNROLL(4)
        for (int e = 0; e < 4; ++e) at[i][j][e] = bias.at[e];
      }
    }
  }
  template <class T>
  __device__ __forceinline__ void multiply(const RegisterRows<T>& rows, int step, const std::uint32_t (&weights)[4]) {
    const std::uint32_t b[2][2] = {{weights[0], weights[1]}, {weights[2], weights[3]}};
    FNNFAST_UNROLL(2)
    for (int i = 0; i < kTiles; ++i) {
      FNNFAST_UNROLL(2)
      for (int j = 0; j < 2; ++j) mma16816<T>(at[i][j], rows.at[i][step], b[j]);
    }
  }
  template <class T>
  __device__ __forceinline__ void round_tile(RegisterRows<T>& rows, int tile, int step, bool relu) const {
    FNNFAST_UNROLL(4)
    for (int e = 0; e < 4; ++e) {
      const float* const sums = &at[tile][e / 2][e % 2 * 2];
      const std::uint32_t pair = round_pair<T>(sums[0], sums[1]);
      rows.at[tile][step][e] = relu ? larger_pair<T>(pair, 0) : pair;
    }
  }
  template <class T>
  __device__ __forceinline__ void round_to(RegisterRows<T>& rows, int step, bool relu) const {
    FNNFAST_UNROLL(2)
    for (int i = 0; i < kTiles; ++i) round_tile(rows, i, step, relu);
  }
  // Calls f(row in the warp, column, sum).
  template <class F>
  __device__ __forceinline__ void for_each(LaneColumns columns, F f) {
    FNNFAST_UNROLL(2)
    for (int i = 0; i < kTiles; ++i) {
      FNNFAST_UNROLL(8)
      for (int e = 0; e < 8; ++e)
        f(16 * i + e / 2 % 2 * 8 + warp_lane() / 4, columns.at(e / 4, e % 2), at[i][e / 4][e % 4]);
    }
  }
};

}  // namespace fnnfast::cuda
