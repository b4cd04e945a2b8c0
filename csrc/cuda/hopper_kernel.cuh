// The kernel of Hopper's products: c (m, n) = f(a (m, k) b (k, n) + bias).
#pragma once

#include "hopper_epilogues.cuh"

namespace fnnfast::cuda {

// TransposedA: a is stored as (k, m), else as (m, k). TransposedB: b is stored as (n, k), else as (k, n).
template <class T, class Tile, Finish Kind, bool TransposedB>
struct HopperProduct {
  static constexpr bool kTransposedA = Kind == Finish::kWeightGradient;
  static constexpr int kN = Tile::kN, kStages = Tile::kStages, kColumns = kResultColumns<Kind, Tile>;
  static constexpr std::uint64_t kKMajor = operand_form(16, 1024), kMnMajor = operand_form(8192, 1024);

  const HopperArguments& of;
  const HopperShared<Tile> shared;
  const int first = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int tiles = of.slices * of.down * of.across;

  // The producer, one thread.
  __device__ __forceinline__ void copy() const {
    prefetch_map(of.a);
    prefetch_map(of.b);
    RingPlace<kStages> at;
    for (int tile = first; tile < tiles; tile += blocks) {
      const HopperPlace place(of, tile);
      const int m = place.m * Tile::kM, n = place.n * kColumns;
      const int steps = HopperPlace::steps_of(of, place.slice);
      for (int group = 0; group < groups_of<Kind>(of); ++group) {
        for (int step = 0; step < steps; ++step) {
          const int k = (place.slice * of.slice_steps + step) * Tile::kK;
          const unsigned a = shared.stages + at.stage * Tile::kStageBytes, b = a + Tile::kBytesA;
          const unsigned barrier = shared.full + 8 * at.stage;
          barrier_wait(shared.empty + 8 * at.stage, at.parity ^ 1);
          barrier_arrive_expecting(barrier, Tile::kStageBytes);
          if constexpr (kTransposedA) {
            FNNFAST_UNROLL(2)
            for (int i = 0; i < Tile::kM / 64; ++i) load_box(a + i * 8192, of.a, m + 64 * i, k, barrier);
          } else {
            load_box(a, of.a, k, m, barrier);
          }
          FNNFAST_UNROLL(4)
          for (int i = 0; i < (TransposedB ? 1 : kN / 64); ++i) {
            if constexpr (TransposedB)
              load_box(b, of.b, k, n, barrier);
            else if constexpr (Kind == Finish::kMaxout)
              load_box(b + i * 8192, of.b, n, k, group * kPiecesOfTile + i, barrier);
            else
              load_box(b + i * 8192, of.b, n + 64 * i, k, barrier);
          }
          at.next();
        }
      }
    }
  }

  // The warps beside the producer: the sums of b's columns, with k in ascending order. The tiles below each other share
  // their columns, and the threads those of a tile. The warps hold a stage like the consumers.
  __device__ __forceinline__ void sum_columns(unsigned thread) const {
    constexpr int kThreads = Tile::kSummingThreads, kMost = (kN + kThreads - 1) / kThreads;
    const int each = (kN + of.down - 1) / of.down;
    RingPlace<kStages> ring;
    for (int tile = first; tile < tiles; tile += blocks) {
      const HopperPlace place(of, tile);
      const int steps = HopperPlace::steps_of(of, place.slice);
      float sum[kMost] = {};
      for (int step = 0; step < steps; ++step) {
        barrier_wait(shared.full + 8 * ring.stage, ring.parity);
        const unsigned b = shared.stages + ring.stage * Tile::kStageBytes + Tile::kBytesA;
        FNNFAST_UNROLL(3)
        for (int i = 0; i < kMost; ++i) {
          const int nth = static_cast<int>(thread) + i * kThreads, column = place.m * each + nth;
          if (nth >= each || column >= kN) break;
          sum[i] = sum_column(sum[i], b + static_cast<unsigned>(column / 64 * 8192 + column % 64 * 2));
        }
        __syncwarp();
        if (thread % 32 == 0) barrier_arrive(shared.empty + 8 * ring.stage);
        ring.next();
      }
      FNNFAST_UNROLL(3)
      for (int i = 0; i < kMost; ++i) {
        const int nth = static_cast<int>(thread) + i * kThreads, of_tile = place.m * each + nth;
        const int column = place.n * kColumns + of_tile;
        if (nth >= each || of_tile >= kN || column >= of.columns) break;
        if (of.rounded_column_sums != nullptr)
          static_cast<T*>(of.rounded_column_sums)[column] = narrow<T>(sum[i]);
        else
          of.column_sums[place.slice * of.slice_sums + column] = sum[i];
      }
    }
  }

  // A consumer. When taking turns, it begins after the other has begun the last step of its tile: a wait distinguishes
  // the phases of a stage's barrier only by parity, and could take one of the other's tile for its own.
  __device__ __forceinline__ void multiply(unsigned consumer, unsigned warp, unsigned lane) const {
    const unsigned first_part = Tile::kTogether ? consumer * Tile::kParts : 0;
    HopperFinish<T, Tile, Kind> finish(of, shared, warp, lane);
    RingPlace<kStages> at;
    unsigned turn_parity = consumer ^ 1;  // the first consumer's first turn has no one before it
    const auto skip = [&](int others) {   // past the stages of the other's tile
      at.skip(HopperPlace::steps_of(of, HopperPlace::slice_of(of, others)));
    };
    int tile = first;
    if (!Tile::kTogether && consumer == 1) {
      skip(tile);
      tile += blocks;
    }
    HopperPlace place = place_of(tile);
    while (tile < tiles) {
      const int n = place.n * kColumns, steps = HopperPlace::steps_of(of, place.slice);
      finish.begin(place.m * Tile::kM + static_cast<int>(first_part * 64 + warp % 4 * 16), n);
      float sum[Tile::kParts][kN / 2];
      if constexpr (Kind == Finish::kMaxout) {
        float best[1][32] = {};
        std::uint32_t argmax[8] = {};
        for (int group = 0; group < groups_of<Kind>(of); ++group) {
          begin(sum, n, group * kPiecesOfTile, lane);
          products(sum, at, steps, first_part, lane, [] {});
          take_largest(sum[0], group * kPiecesOfTile, best[0], argmax);
        }
        if (of.argmax.data != nullptr) finish.store_argmax(argmax);
        finish(best);
        tile += blocks;
        place = place_of(tile);
        continue;
      }
      begin(sum, n, 0, lane);
      if constexpr (!Tile::kTogether) {
        barrier_wait(shared.turn + 8 * consumer, turn_parity);
        turn_parity ^= 1;
      }
      const int slice = place.slice;
      products(sum, at, steps, first_part, lane, [&] {
        if (!Tile::kTogether && lane == 0) barrier_arrive(shared.turn + 8 * (consumer ^ 1));
        // Prepares the next tile while the last products run.
        tile += (Tile::kTogether ? 1 : Tile::kConsumers) * blocks;
        place = place_of(tile);
        if (Tile::kTogether && tile < tiles) prefetch_bias(place.n * kColumns, lane);
      });
      if (!Tile::kTogether && tile - blocks < tiles) skip(tile - blocks);
      if (Kind == Finish::kWeightGradient && of.sums != nullptr)
        finish.store_sums(sum, slice);
      else
        finish(sum);
    }
    finish.end();
  }

 private:
  // Adds a column of a stage's b, at `at` of its first row.
  static __device__ __forceinline__ float sum_column(float sum, unsigned at) {
    constexpr unsigned kRows = 8;  // loaded while those before are added
    T rows[2][kRows];
    const auto load = [&](unsigned k) {
      FNNFAST_UNROLL(8)
      for (unsigned j = 0; j < kRows; ++j)
        rows[k / kRows % 2][j] = load_element<T>(((at + k * 128) ^ j * 16) + j * 128);
    };
    load(0);
    FNNFAST_UNROLL(8)
    for (unsigned k = 0; k < Tile::kK; k += kRows) {
      if (k + kRows < Tile::kK) load(k + kRows);
      FNNFAST_UNROLL(8)
      for (unsigned j = 0; j < kRows; ++j) sum += widen<float>(rows[k / kRows % 2][j]);
    }
    return sum;
  }

  // Past the last tile, any place.
  __device__ __forceinline__ HopperPlace place_of(int tile) const { return {of, tile < tiles ? tile : 0}; }

  static __device__ __forceinline__ void hold_all(float (&sum)[Tile::kParts][kN / 2]) {
    FNNFAST_UNROLL(2)
    for (int p = 0; p < Tile::kParts; ++p) {
      FNNFAST_UNROLL(128)
      for (int i = 0; i < kN / 2; ++i) hold_sum(sum[p][i]);
    }
  }

  // Sums begin with the bias, as in every tile: adding it last would round differently. Beyond the edges, a bias of
  // another column or piece is used, and the result is not. No branches, which would copy the sums and delay the
  // products.
  __device__ __forceinline__ void begin(float (&sum)[Tile::kParts][kN / 2], int n, int piece, unsigned lane) const {
    const int own = n + static_cast<int>(lane % 4) * 2, last = of.columns - 2;
    FNNFAST_UNROLL(4)
    for (int group = 0; group < kN / kColumns; ++group) {
      const float* const from = of.bias + (piece + group < of.pieces ? piece + group : 0) * of.bias_piece;
      FNNFAST_UNROLL(32)
      for (int j = 0; j < kColumns / 8; ++j) {
        const int column = own + j * 8 < last ? own + j * 8 : last, i = group * (kColumns / 2) + 4 * j;
        const float2 bias = of.bias == nullptr ? float2{0.0f, 0.0f} : *reinterpret_cast<const float2*>(from + column);
        FNNFAST_UNROLL(2)
        for (int p = 0; p < Tile::kParts; ++p) {
          sum[p][i] = sum[p][i + 2] = bias.x;
          sum[p][i + 1] = sum[p][i + 3] = bias.y;
        }
      }
    }
    hold_all(sum);
  }

  // Prefetches the bias of the next tile, 32 columns per lane.
  __device__ __forceinline__ void prefetch_bias(int n, unsigned lane) const {
    const int column = n + static_cast<int>(lane) * 32 % kColumns, piece = static_cast<int>(lane) * 32 / kColumns;
    if (of.bias != nullptr && column < of.columns && piece < (Kind == Finish::kMaxout ? of.pieces : 1))
      prefetch_near(of.bias + piece * of.bias_piece + column);
  }

  // Adds the products of a tile. last() is called when the last step has begun.
  template <class Last>
  __device__ __forceinline__ void products(float (&sum)[Tile::kParts][kN / 2], RingPlace<kStages>& at, int steps,
                                           unsigned first_part, unsigned lane, Last last) const {
    // Offsets of a step of 16 along k, and of a part of 64 rows, in the descriptor's units of 16 bytes.
    constexpr unsigned kStepA = (kTransposedA ? 16 * 128 : 32) / 16, kStepB = (TransposedB ? 32 : 16 * 128) / 16;
    constexpr unsigned kPart = 8192 / 16;
    const auto release = [&](unsigned stage) {
      if (lane == 0) barrier_arrive(shared.empty + 8 * stage);
    };
    unsigned previous = 0;
    for (int step = 0; step < steps; ++step) {
      const unsigned stage = shared.stages + at.stage * Tile::kStageBytes;
      const std::uint64_t a = operand_at(kTransposedA ? kMnMajor : kKMajor, stage + first_part * 8192);
      const std::uint64_t b = operand_at(TransposedB ? kKMajor : kMnMajor, stage + Tile::kBytesA);
      barrier_wait(shared.full + 8 * at.stage, at.parity);
      hold_all(sum);
      products_begin();
      FNNFAST_UNROLL(4)
      for (int i = 0; i < Tile::kK / 16; ++i) {
        FNNFAST_UNROLL(2)
        for (int p = 0; p < Tile::kParts; ++p)
          multiply_async<T, kN, kTransposedA ? 1 : 0, TransposedB ? 0 : 1>(sum[p], a + p * kPart + i * kStepA,
                                                                           b + i * kStepB);
      }
      products_commit();
      // One step is in flight while waiting for the next one's operands.
      products_wait<1>();
      if (step > 0) release(previous);
      previous = at.stage;
      at.next();
    }
    last();
    products_wait<0>();
    hold_all(sum);
    release(previous);
  }

  // The first of equal pieces wins, and the first NaN over all.
  __device__ __forceinline__ void take_largest(const float (&sum)[kN / 2], int piece, float (&best)[32],
                                               std::uint32_t (&argmax)[8]) const {
    FNNFAST_UNROLL(4)
    for (int p = 0; p < kPiecesOfTile; ++p) {
      const bool is_first = piece + p == 0, is_there = piece + p < of.pieces;
      const auto number = static_cast<std::uint32_t>((piece + p) & 0xff);
      FNNFAST_UNROLL(32)
      for (int i = 0; i < 32; ++i) {
        const float v = sum[32 * p + i];
        const int shift = i % 4 * 8;
        const bool wins = is_there & (is_first | Maxout<device::Vec<float>>::wins({v}, {best[i]}).m);
        best[i] = wins ? v : best[i];
        argmax[i / 4] = wins ? (argmax[i / 4] & ~(0xffu << shift)) | number << shift : argmax[i / 4];
      }
    }
  }
};

template <class T, class Tile, Finish Kind, bool TransposedB>
__global__ void __launch_bounds__(Tile::kThreads, 1) hopper_kernel(const __grid_constant__ HopperArguments arguments) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || defined(FNNFAST_EMULATED)  // never launched on other architectures
  const HopperShared<Tile> shared(shared_address(shared_memory()));
  if (threadIdx.x == 0) shared.begin(Kind == Finish::kWeightGradient ? Tile::kSummingThreads / 32 : 0);
  __syncthreads();
  const HopperProduct<T, Tile, Kind, TransposedB> product{arguments, shared};
  if (threadIdx.x < 128) {
    give_registers<Tile::kProducerRegisters>();
    if (threadIdx.x == 0) product.copy();
    if constexpr (Kind == Finish::kWeightGradient)
      if (threadIdx.x >= 128 - Tile::kSummingThreads) product.sum_columns(threadIdx.x - 32);
  } else {
    take_registers<Tile::kConsumerRegisters>();
    const unsigned warp = threadIdx.x / 32 - 4;
    product.multiply(warp / 4, warp, threadIdx.x % 32);
  }
#endif
}

}  // namespace fnnfast::cuda
