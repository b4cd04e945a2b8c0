// The epilogues of Hopper's products: a warp stores its part of a tile from registers to boxes in shared memory, which
// the copy engine stores to global memory. Operands that are combined with the sums come through the same boxes, to the
// places of the results. Rounding is as in epilogues.cuh.
#pragma once

#include <utility>

#include "../core/epilogues.hpp"
#include "hopper_tile.cuh"

namespace fnnfast::cuda {

// Calls f with sums [16 which, 16 which + 16), where `which` is a run-time value: registers cannot be indexed.
template <int Parts, int Each, class F, int... I>
__device__ __forceinline__ void with_sums(const float (&sum)[Parts][Each], int which, F f,
                                          std::integer_sequence<int, I...>) {
  float v[16];
  const auto take = [&]<int At>(std::integral_constant<int, At>) {
    FNNFAST_UNROLL(16)
    for (int j = 0; j < 16; ++j) v[j] = copy_of(sum[(16 * At + j) / Each][(16 * At + j) % Each]);
  };
  ((which == I && (take(std::integral_constant<int, I>()), true)) || ...);
  f(v);
}

template <class T, class Tile, Finish Kind>
class HopperFinish {
 public:
  __device__ __forceinline__ HopperFinish(const HopperArguments& of, const HopperShared<Tile>& shared, unsigned warp,
                                          unsigned lane)
      : of_(of),
        boxes_(shared.results + warp * 2 * Tile::kHalfBytes),
        arrived_(shared.arrived + warp * 16),
        lane_(lane) {}

  // Before the products: the warp's first row and column.
  __device__ __forceinline__ void begin(int m, int n) {
    m_ = m;
    n_ = n;
    hold(m_);
    hold(n_);
    if (kCombines && of_.has_other) request(0);
  }

  // A pass is 16 rows x 32 columns, half a box.
  template <int Parts, int Each>
  __device__ __forceinline__ void operator()(const float (&sum)[Parts][Each]) {
    constexpr int kPasses = Parts * Each / 16;
    if constexpr (kRolled) {
      FNNFAST_ROLLED
      for (int i = 0; i < kPasses; ++i)
        with_sums(sum, i, [&](float (&v)[16]) { pass<Each / 16>(i, v); }, std::make_integer_sequence<int, kPasses>());
    } else {
      FNNFAST_UNROLL(8)
      for (int i = 0; i < kPasses; ++i) {
        float v[16];
        FNNFAST_UNROLL(16)
        for (int j = 0; j < 16; ++j) v[j] = sum[(16 * i + j) / Each][(16 * i + j) % Each];
        pass<Each / 16>(i, v);
      }
    }
  }

  // Unrounded sums of a slice, or of all.
  template <int Parts, int Each>
  __device__ __forceinline__ void store_sums(const float (&sum)[Parts][Each], int slice) const {
    float* const to = of_.sums + slice * of_.slice_sums;
    FNNFAST_UNROLL(2)
    for (int p = 0; p < Parts; ++p) {
      FNNFAST_UNROLL(64)
      for (int i = 0; i < Each; i += 2)
        store_pair(to, m_ + p * 64 + i / 2 % 2 * 8, n_ + i / 4 * 8, sum[p][i], sum[p][i + 1]);
    }
  }

  // Stores maxout's argmax for the result's 64 columns, a byte each, four per register.
  __device__ __forceinline__ void store_argmax(const std::uint32_t (&argmax)[8]) const {
    FNNFAST_UNROLL(16)
    for (int i = 0; i < 32; i += 2) {
      const int row = m_ + i / 2 % 2 * 8 + static_cast<int>(lane_ / 4), at = column(n_ + i / 4 * 8);
      if (row < of_.rows && at < of_.columns)
        *reinterpret_cast<std::uint16_t*>(&of_.argmax.at(row, at)) =
            static_cast<std::uint16_t>(argmax[i / 4] >> i % 4 * 8);
    }
  }

  __device__ __forceinline__ void end() const {
    if (lane_ == 0) store_wait();
  }

 private:
  static constexpr bool kCombines = Kind == Finish::kResults || Kind == Finish::kDerivative;
  // Passes whose code is too long to be repeated.
  static constexpr bool kRolled = kCombines || Kind == Finish::kActivation;

  __device__ __forceinline__ int column(int block) const { return block + static_cast<int>(lane_ % 4) * 2; }
  __device__ __forceinline__ unsigned half_of_boxes() const { return boxes_ + box_ % 2 * Tile::kHalfBytes; }

  // Requests the operand that the tile's box `ahead` boxes further is combined with, once its place is free.
  __device__ __forceinline__ void request(unsigned ahead) {
    if (lane_ == 0) {
      constexpr int kAcross = Tile::kN / 64;
      const unsigned next = box_ + ahead, barrier = arrived_ + next % 2 * 8;
      const int number = static_cast<int>(next % kBoxesOfTile);
      store_wait_read<0>();
      barrier_arrive_expecting(barrier, Tile::kBoxBytes);
      load_box(boxes_ + next % 2 * Tile::kHalfBytes, of_.other, n_ + number % kAcross * 64, m_ + number / kAcross * 64,
               barrier);
    }
    __syncwarp();
  }

  // Pass i with a thread's 16 sums; PassesAcross passes span a part's columns. Of each 8 sums, the first 4 are two of a
  // row and two 8 rows below, the other 4 the same 8 columns to the right.
  template <int PassesAcross>
  __device__ __forceinline__ void pass(int i, float (&v)[16]) {
    const int row = m_ + i / PassesAcross * 64, left = n_ + i % PassesAcross * 32;
    const bool begins = i % 2 == 0;
    if (begins) {
      if (kCombines && of_.has_other) {
        barrier_wait(arrived_ + box_ % 2 * 8, box_ / 2 % 2);
      } else {
        if (lane_ == 0) store_wait_read<1>();  // for the box before the previous one
        __syncwarp();
      }
    } else if (kCombines && of_.has_other && (box_ + 1) % kBoxesOfTile != 0) {
      request(1);
    }
    const unsigned to = half_of_boxes(), to_first = to + Tile::kBoxBytes;
    if constexpr (Kind == Finish::kActivation) {
      activate(left, v);
    } else if constexpr (Kind == Finish::kResults) {
      if (of_.first_is_z) put(to_first, i, v);
      activate(left, v);
      if (of_.first_is_y) put(to_first, i, v);
      if (of_.has_other) combine(to, i, v, [](float& value, int, float other) { value += other; });
      if (of_.sums != nullptr) {
        FNNFAST_UNROLL(8)
        for (int j = 0; j < 16; j += 2) store_pair(of_.sums, row + j / 2 % 2 * 8, left + j / 4 * 8, v[j], v[j + 1]);
        __syncwarp();
      }
    } else if constexpr (Kind == Finish::kDerivative) {
      if (of_.has_other) differentiate(to, i, left, v);
    }
    put(to, i, v);
    if (!begins) {
      shared_store_fence();
      __syncwarp();
      if (lane_ == 0) {
        if (of_.has_last) store_box(of_.last, left - 32, row, to);
        if (Kind == Finish::kResults && (of_.first_is_z || of_.first_is_y))
          store_box(of_.first, left - 32, row, to_first);
        store_commit();
      }
      ++box_;
    }
  }

  // This lane's row address for ldmatrix and stmatrix, in the j-th 16 columns of pass i: a row of matrix lane / 8,
  // which has the upper or lower 8 rows and the left or right 8 columns.
  __device__ __forceinline__ unsigned place(unsigned box, int i, int j) const {
    const unsigned row = lane_ % 16, chunk = static_cast<unsigned>(i % 2 * 4 + 2 * j) + lane_ / 16;
    return box + row * 128 + (chunk ^ row % 8) * 16;
  }

  __device__ __forceinline__ void put(unsigned box, int i, const float (&v)[16]) const {
    FNNFAST_UNROLL(2)
    for (int j = 0; j < 2; ++j) {
      std::uint32_t packed[4];
      FNNFAST_UNROLL(4)
      for (int e = 0; e < 4; ++e) {
        packed[e] = round_pair<T>(v[8 * j + 2 * e], v[8 * j + 2 * e + 1]);
        if constexpr (Kind == Finish::kPlain) packed[e] = larger_pair<T>(packed[e], of_.floor);
      }
      store_matrix(place(box, i, j), packed);
    }
  }

  // Calls f(value&, index of the value, element of the box at its place).
  template <class F>
  __device__ __forceinline__ void combine(unsigned box, int i, float (&v)[16], F f) const {
    FNNFAST_UNROLL(2)
    for (int j = 0; j < 2; ++j) {
      std::uint32_t packed[4];
      load_matrix(packed, place(box, i, j));
      FNNFAST_UNROLL(8)
      for (int e = 0; e < 8; ++e) f(v[8 * j + e], 8 * j + e, widen_of_pair<T>(packed[e / 2], e % 2));
    }
  }

  // The activation's parameters for the columns of 16 sums.
  template <class Act>
  struct Parameters {
    device::Vec<float> of[8];
    __device__ __forceinline__ Parameters(const HopperFinish& finish, int left) {
      FNNFAST_UNROLL(8)
      for (int i = 0; i < 8; ++i) {
        const int at = finish.column(left + i / 2 * 8) + i % 2;
        of[i] = finish.of_.activation.template at<Act>(at < finish.of_.columns ? at : 0);
      }
    }
    // Of the j-th sum.
    __device__ __forceinline__ device::Vec<float> at(int j) const { return of[j / 4 * 2 + j % 2]; }
  };

  __device__ __forceinline__ void activate(int left, float (&v)[16]) const {
    visit_activation(of_.activation.index, [&]<class Act>(Act) {
      if constexpr (!Act::kRowwise && !std::is_same_v<Act, Identity>) {
        const Parameters<Act> parameters(*this, left);
        FNNFAST_UNROLL(16)
        for (int j = 0; j < 16; ++j)
          v[j] = Act::template forward<MathOf<T>>(device::Vec<float>{v[j]}, parameters.at(j)).v;
      }
    });
  }

  __device__ __forceinline__ void differentiate(unsigned box, int i, int left, float (&v)[16]) const {
    visit_activation(of_.activation.index, [&]<class Act>(Act) {
      if constexpr (Act::kDifferentiable && !Act::kRowwise && Act::kSaves != Saves::kNothing) {
        const Parameters<Act> parameters(*this, left);
        combine(box, i, v, [&](float& value, int j, float saved) {
          value *= saved_derivative<Act, MathOf<T>>(device::Vec<float>{saved}, parameters.at(j)).v;
        });
      }
    });
  }

  __device__ __forceinline__ void store_pair(float* to, int row, int block, float first, float second) const {
    const int at = column(block);
    row += static_cast<int>(lane_ / 4);
    if (row < of_.rows && at < of_.columns)
      *reinterpret_cast<float2*>(to + row * of_.sums_stride + at) = float2{first, second};
  }

  static constexpr unsigned kBoxesOfTile = Tile::kSums / 32;

  const HopperArguments& of_;
  unsigned boxes_, arrived_, lane_;
  unsigned box_ = 0;  // boxes finished so far
  int m_ = 0, n_ = 0;
};

}  // namespace fnnfast::cuda
