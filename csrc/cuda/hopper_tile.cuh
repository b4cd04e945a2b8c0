// Shapes, shared memory and order of tiles of Hopper's products. Their blocks are persistent and process tile after
// tile. One warpgroup of a block only copies (the producer), two multiply and run the epilogue (the consumers), so that
// copies run ahead across tiles: during the epilogue of one tile, the operands of the next one arrive.
//
// The two consumers share each tile (kTogether), or take turns: then one multiplies during the other's epilogue, which
// hides an epilogue of many instructions.
#pragma once

#include "fast_math.cuh"
#include "instructions_sm90.cuh"
#include "product.hpp"

namespace fnnfast::cuda {

enum class Consumers { kTogether, kInTurns };

// The epilogues: identity or ReLU only; any activation; the same with all results of a forward task; a derivative; the
// gradients of weights and bias; maxout.
enum class Finish { kPlain, kActivation, kResults, kDerivative, kWeightGradient, kMaxout };

// 128 x N sums per tile, and Stages stages of 64 along k. A warp stores its results through Boxes boxes of 16 rows x 64
// columns: two halves in turn, each with a box for every result.
template <Consumers Kind, int N, int Stages, int Boxes>
struct HopperTile {
  static constexpr bool kTogether = Kind == Consumers::kTogether;
  static constexpr int kM = 128, kN = N, kK = 64, kStages = Stages, kConsumers = 2;
  static constexpr int kSummingThreads = 96;  // those of the producer's warpgroup that do not copy
  static constexpr int kThreads = (1 + kConsumers) * 128, kWarps = kConsumers * 4;
  static constexpr int kParts = kM / 64 / (kTogether ? kConsumers : 1);  // of 64 rows, of a consumer
  static constexpr int kSums = kParts * N / 2;                           // of a thread
  // Registers after the producer has given some to the consumers: all three warpgroups have 504 in total.
  static constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;
  static constexpr unsigned kBytesA = kM * kK * 2, kBytesB = N * kK * 2, kStageBytes = kBytesA + kBytesB;
  static constexpr unsigned kBoxBytes = 16 * 128, kHalfBytes = Boxes / 2 * kBoxBytes;
  static constexpr unsigned kResultBytes = kWarps * 2 * kHalfBytes;
  static constexpr unsigned kBarriers = 2 * Stages + kConsumers + 2 * kWarps;
  // 1024 more, since swizzled boxes must begin at multiples of 1024, and dynamic shared memory may not.
  static constexpr unsigned kSharedBytes = 1024 + Stages * kStageBytes + kResultBytes + 8 * kBarriers;
  static_assert(kSums == 128 && kSharedBytes <= 227 * 1024);
};
using HopperWide = HopperTile<Consumers::kTogether, 256, 4, 2>;
using HopperSquare = HopperTile<Consumers::kInTurns, 128, 5, 4>;

struct HopperArguments {
  CUtensorMap a, b;
  // The last result, one before it, and the operand that is added or that the derivative reads.
  CUtensorMap last, first, other;
  bool has_last, has_other, first_is_z, first_is_y;
  int steps, slice_steps;  // over k: in total, and per slice except the last
  int slices;
  int down, across;  // tiles of a slice
  int rows, columns;
  int pieces;
  const float* bias;  // or null: zero; 8-byte aligned
  std::int64_t bias_piece;
  ActivationOf<float> activation;
  std::uint32_t floor;  // kPlain: the lower limit of results, twice, as in a register
  float* sums;          // unrounded, or null; one set per slice
  std::int64_t sums_stride, slice_sums;
  // The sums of b's columns, or null; rounded_column_sums replaces them if there is one slice.
  float* column_sums;
  void* rounded_column_sums;
  Matrix<std::uint8_t> argmax;
};

// The layout of shared memory. The barriers: a stage is full, a stage is empty, a consumer may begin, a box has
// arrived.
template <class Tile>
struct HopperShared {
  unsigned stages, results, full, empty, turn, arrived;
  __device__ __forceinline__ explicit HopperShared(unsigned begin)
      : stages((begin + 1023) & ~1023u),
        results(stages + Tile::kStages * Tile::kStageBytes),
        full(results + Tile::kResultBytes),
        empty(full + 8 * Tile::kStages),
        turn(empty + 8 * Tile::kStages),
        arrived(turn + 8 * Tile::kConsumers) {}

  // By one thread. A stage is empty again when all warps that read it have arrived: the consumers' and `others` more.
  __device__ __forceinline__ void begin(unsigned others) const {
    for (int i = 0; i < Tile::kConsumers; ++i) barrier_init(turn + 8 * i, 4);
    for (int i = 0; i < Tile::kStages; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, (Tile::kTogether ? Tile::kConsumers : 1) * 4 + others);
    }
    for (int i = 0; i < 2 * Tile::kWarps; ++i) barrier_init(arrived + 8 * i, 1);
    barrier_init_fence();
  }
};

// A tile's place, in tiles: down the columns of a band of rows, so that concurrent tiles share rows of a and columns of
// b in the L2 cache.
struct HopperPlace {
  int slice, m, n;
  __device__ __forceinline__ HopperPlace(const HopperArguments& of, int tile) {
    constexpr int kBand = 8;
    slice = slice_of(of, tile);
    tile -= slice * of.down * of.across;
    const int above = tile / (kBand * of.across) * kBand, rest = of.down - above;
    const int high = rest < kBand ? rest : kBand, i = tile - above * of.across;
    m = above + i % high;
    n = i / high;
  }
  static __device__ __forceinline__ int slice_of(const HopperArguments& of, int tile) {
    return of.slices == 1 ? 0 : tile / (of.down * of.across);
  }
  static __device__ __forceinline__ int steps_of(const HopperArguments& of, int slice) {
    const int left = of.steps - slice * of.slice_steps;
    return left < of.slice_steps ? left : of.slice_steps;
  }
};

// The first (0) or second (1) of two elements in a register, widened by one instruction.
template <class T>
__device__ __forceinline__ float widen_of_pair(std::uint32_t pair, int which) {
  if constexpr (std::is_same_v<T, Bfloat16>)
    return __uint_as_float(which == 0 ? pair << 16 : pair & 0xffff0000u);
  else
    return widen<float>(element_of_pair<T>(pair, which));
}

// A place in the ring of stages.
template <int Stages>
struct RingPlace {
  unsigned stage = 0, parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
  __device__ __forceinline__ void skip(int steps) {
    const unsigned to = stage + static_cast<unsigned>(steps);
    stage = to % Stages;
    parity ^= to / Stages & 1;
  }
};

// Maxout has four pieces of 64 columns side by side in a tile, and processes pieces in groups of four.
inline constexpr int kPiecesOfTile = 4;

template <Finish Kind, class Tile>
inline constexpr int kResultColumns = Kind == Finish::kMaxout ? Tile::kN / kPiecesOfTile : Tile::kN;

template <Finish Kind>
__device__ __forceinline__ int groups_of(const HopperArguments& of) {
  return Kind == Finish::kMaxout ? (of.pieces + kPiecesOfTile - 1) / kPiecesOfTile : 1;
}

}  // namespace fnnfast::cuda
